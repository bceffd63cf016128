--- What is installed: lunette from another place than it was built in, its manual page, and completion in the shells.

local support = require "support"

--- What a shell command prints, and its status. The sanitizers' runtime, which the spec itself may need, is for none of
--- the programs that it starts.
local function shell(command)
  local pipe = assert(io.popen("unset LD_PRELOAD; { " .. command .. "; } 2>&1"))
  local out = pipe:read "a"
  local _, _, status = pipe:close()
  return out, status
end

--- For a program that is built without sanitizers, and loads a library with them: their runtime.
local RUNTIME = ("LD_PRELOAD='%s'"):format(os.getenv "LD_PRELOAD" or "")

--- The names of all commands.
local function commands()
  local names = {}
  for line in support.lunette("--help").out:match "commands:\n(.-)\n\n":gmatch "[^\n]+" do
    names[#names + 1] = line:match "^  (%l+) "
  end
  return names
end

--- `it` where the program is there.
local function with(program)
  return os.execute("command -v " .. program .. " >/dev/null") and it or pending
end

local SOURCE = assert(io.popen "pwd":read "l")
local prefix, lunette

setup(function()
  prefix = support.directory() .. "/usr"
  lunette = prefix .. "/bin/lunette"
  local out, status = shell(("cmake --install '%s' --prefix '%s'"):format(support.build, prefix))
  assert(status == 0, out)
end)

describe("an installed lunette", function()
  it("finds its modules, from any directory", function()
    local out, status = shell(("cd / && '%s' print public-only"):format(lunette))
    assert.equal(0, status, out)
    assert.matches("allow@public", out)
  end)

  it("has policies that are valid where they are", function()
    local policy = prefix .. "/share/lunette/policies/coding-agent.lua"
    local out, status = shell(("cd / && '%s' check '%s'"):format(lunette, policy))
    assert.equal(0, status, out)
  end)

  it("is there for C programs, by pkg-config", function()
    local out, status = shell((("export PKG_CONFIG_PATH='PREFIX/lib/pkgconfig' LD_LIBRARY_PATH='PREFIX/lib' && " ..
      "cc -o 'PREFIX/vmm' '%s/tests/embed/vmm.c' $(pkg-config --cflags --libs lunette) && cd / && " ..
      "%s 'PREFIX/vmm' none </dev/null"):gsub("PREFIX", prefix)):format(SOURCE, RUNTIME))
    assert.equal(0, status, out)
  end)

  it("is there for stock Lua", function()
    support.write(prefix .. "/ask.lua", [[
      local policy = require "lunette".load "public-only"
      print(policy:evaluate { address = "192.0.2.1", port = 443, protocol = "tcp" }.action)]])
    local out = shell((("cd / && LUA_PATH='PREFIX/share/lua/5.4/?.lua;PREFIX/share/lua/5.4/?/init.lua' " ..
      "LUA_CPATH='PREFIX/lib/lua/5.4/?.so' %s lua5.4 'PREFIX/ask.lua'"):gsub("PREFIX", prefix))
      :format(RUNTIME))
    assert.equal("allow\n", out)
  end)

  with "systemd-analyze" ("has units that systemd has nothing to say about", function()
    local units = prefix .. "/lib/systemd/system"
    local out, status = shell(("SYSTEMD_UNIT_PATH='%s': systemd-analyze verify --man=no '%s/lunette@.service'")
      :format(units, units))
    assert.equal("", out)
    assert.equal(0, status)
  end)

  with "groff" ("has a manual page with every command, which roff has nothing to say about", function()
    local page = prefix .. "/share/man/man1/lunette.1"
    local command = "LC_ALL=C.UTF-8 groff -K utf8 -man -Tutf8 -P-c -ww '%s'"
    assert.equal("", (shell((command .. " 2>&1 >/dev/null"):format(page))))
    local out = shell((command .. " | sed 's/.\x08//g'"):format(page)):gsub("%s+", " ")
    for _, name in ipairs(commands()) do
      assert.matches("lunette " .. name, out)
    end
    assert.is_truthy(out:find("--observe-suffixes", 1, true))
    assert.is_truthy(out:find("default_egress", 1, true))
  end)
end)

--- The words that bash or zsh would offer for this line, whose last word is being typed.
local function complete(which, line)
  local words = {}
  for word in (line .. " "):gmatch "(%S*) " do words[#words + 1] = "'" .. word .. "'" end
  words[1] = "'" .. lunette .. "'"
  local file = prefix .. (which == "bash" and "/share/bash-completion/completions/lunette"
    or "/share/zsh/site-functions/_lunette")
  local script = which == "bash" and ([[. '%s'
    COMP_WORDS=(%s); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _lunette
    printf '%%s\n' "${COMPREPLY[@]}"]]):format(file, table.concat(words, " "))
    or ([[compadd() { shift; print -l -- "$@" }
    _describe() { print -l -- "${(@P)2%%%%:*}" }
    _files() { print -l -- * }
    _normal() { print -l -- ls }
    words=(%s); CURRENT=$#words; . '%s']]):format(table.concat(words, " "), file)
  local path = prefix .. "/script"
  support.write(path, script)
  local out = shell(("cd '%s' && %s '%s'"):format(prefix, which == "bash" and "bash --norc" or "zsh -f", path))
  local offered = {}
  for word in out:gmatch "[^\n]+" do offered[word:gsub(" $", "")] = true end
  return offered, out
end

for _, which in ipairs { "bash", "zsh" } do
  local test = with(which)
  describe("completion for " .. which, function()
    test("offers every command, and topics of help", function()
      local offered, out = complete(which, "lunette ")
      local topics = complete(which, "lunette help ")
      for _, name in ipairs(commands()) do
        assert.is_true(offered[name], name .. " not in\n" .. out)
        assert.is_true(topics[name], name)
      end
      assert.is_true(offered.help and topics.policy and topics.events)
    end)

    test("offers every option that a command has", function()
      for _, name in ipairs(commands()) do
        local offered, out = complete(which, "lunette " .. name .. " --")
        local help = support.lunette(name, "--help").out
        for option in help:gmatch "\n  [^\n]-(%-%-[%l-]+)[ %[=]" do
          assert.is_true(offered[option], ("%s %s not in\n%s"):format(name, option, out))
        end
        assert.is_true(offered["--help"])
      end
    end)

    test("offers every verb of ctl", function()
      local offered, out = complete(which, "lunette ctl --control x ")
      for verb in support.lunette("ctl", "--help").out:match "one of:\n(.-)\n\n":gmatch "%f[^\n\0]  (%l+)" do
        assert.is_true(offered[verb], verb .. " not in\n" .. out)
      end
      assert.is_nil(complete(which, "lunette ctl --control ")["stats"])
    end)

    test("offers presets and files for a policy, files for a value, and commands behind it", function()
      assert.is_true(complete(which, "lunette check ")["public-only"])
      assert.is_true(complete(which, "lunette check ")["share"])
      assert.is_true(complete(which, "lunette run --slot 3 -v --observe ")["non-local"])
      assert.is_nil(complete(which, "lunette run --events ")["non-local"])
      assert.is_true(complete(which, "lunette run --events ")["share"])
      for _, line in ipairs { "run none l", "run --events x none l", "run none -- l" } do
        assert.is_true(complete(which, "lunette " .. line)["ls"], line)
      end
      assert.is_nil(complete(which, "lunette run l")["ls"])
    end)
  end)
end
