--- Documentation that is executed: every example in README.md and in the reference, and that the reference knows every
--- key, the help every option.

local lunette = require "lunette"
local support = require "support"

local run = support.lunette

local function slurp(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read "a"
  file:close()
  return text
end

--- The fenced blocks of a Markdown text in this language ("" for none).
local function blocks(text, language)
  local found = {}
  for name, block in text:gmatch "```(%a*)\n(.-)```" do
    if name == language then found[#found + 1] = block end
  end
  return found
end

local README = slurp "README.md"

describe("the reference", function()
  local policy = run("help", "policy").out

  it("has examples that are valid policies", function()
    local examples = blocks(policy, "lua")
    assert.is_true(#examples > 20)
    for _, example in ipairs(examples) do
      local ok, problems = pcall(support.load, 'local lunette = require "lunette"\n' .. example)
      for _, problem in ipairs(ok and {} or problems) do -- databases are not there to be opened
        assert.matches("^geoip%.%l+_db: .*No such file", problem.field .. ": " .. problem.message, example)
      end
    end
  end)

  it("has one-line forms and chains that are valid rules", function()
    local count = 0
    for line in policy:gmatch "\n    ([^\n]+)" do
      for form in line:gmatch "%l+:?%l*@[%w:./-]+" do
        assert(pcall(support.load, ("return { rules = { '%s' } }"):format(form)), form)
        count = count + 1
      end
    end
    assert.is_true(count >= 3)
  end)

  it("tells every key, and none that is not there", function()
    local sections = {}
    local section
    for line in policy:gmatch "[^\n]+" do
      local title, key = line:match "^# (.+)", line:match "^## `([%w_]+)`"
      if title then
        section = {}
        sections[title] = section
      elseif key then
        section[#section + 1] = key
      end
    end
    for title, probe in pairs {
      Policies = "%s", Rules = "rules = { { %s } }", dns = "dns = { %s }", tls = "tls = { %s }",
      port_bindings = "port_bindings = { { %s } }", rate_limit = "rate_limit = { %s }",
      ["rate_limit.egress, rate_limit.ingress"] = "rate_limit = { egress = { %s } }",
      ["rate_limit.egress.bandwidth, …"] = "rate_limit = { egress = { packets = { %s } } }",
      budget = "budget = { %s }", upstream_proxy = "upstream_proxy = { %s }",
      secrets = "secrets = { { %s } }", ["secrets[].inject"] = "secrets = { { inject = { %s } } }",
      ["dns.budget"] = "dns = { budget = { %s } }", geoip = "geoip = { %s }", limits = "limits = { %s }",
    } do
      local accepted
      for _, problem in ipairs(support.problems("return { " .. probe:format "no_such_key = 1" .. " }")) do
        accepted = accepted or problem:match "unknown key: .*accepted: (.+)$"
      end
      local keys = {}
      for key in assert(accepted, title):gmatch "[%w_]+" do keys[#keys + 1] = key end
      local told = assert(sections[title], title)
      table.sort(keys)
      table.sort(told)
      assert.same(keys, told, title)
      sections[title] = nil
    end
    assert.is_nil(next(sections))
  end)

  it("tells the defaults that are there", function()
    assert.matches('## `default_egress`.-Default: "deny"', policy)
    local p = lunette.compile {}
    assert.equal("deny", p:evaluate { address = "192.0.2.1", port = 1 }.action)
    assert.equal("allow", p:evaluate { address = "192.0.2.1", port = 1, direction = "ingress" }.action)
  end)

  it("tells every field that an event can have", function()
    local events = run("help", "events").out
    for field in slurp "core/base/event_json.c":gmatch 'put_%l+%(&text,[^;]-"([%l_]+)"' do
      assert.is_truthy(events:find(("\n## `%s`:"):format(field), 1, true), field)
    end
    for kind in slurp "core/base/event_json.c":gmatch '%[LN_EVENT_[%u_]+%] = "([%l_]+)"' do
      assert.is_truthy(events:find(("\n    %s "):format(kind), 1, true), kind)
    end
  end)

  it("of a topic that is not there is exit status 2", function()
    local result = run("help", "polici")
    assert.equal(2, result.status)
    assert.equal("", result.out)
  end)
end)

describe("README.md", function()
  local directory = support.directory()

  --- Runs a shell command in the directory of the examples, with lunette in the path.
  local function shell(command)
    local out = directory .. "/out"
    local _, _, status = os.execute(("cd '%s' && PATH='%s':$PATH sh -c '%s' >'%s' 2>'%s.err' </dev/null")
      :format(directory, support.build, command:gsub("'", "'\\''"), out, out))
    return status, slurp(out), slurp(out .. ".err")
  end

  setup(function()
    for _, block in ipairs(blocks(README, "lua")) do
      local name = block:match "^%-%- (%S+%.lua)\n"
      if name then support.write(directory .. "/" .. name, block) end
    end
  end)

  it("has policies that are valid", function()
    assert.equal(0, (shell "lunette check agent.lua"))
  end)

  it("has commands that do what they say", function()
    local count = 0
    for _, block in ipairs(blocks(README, "")) do
      for line in block:gmatch "[^\n]+" do
        local command = line:gsub("%s+#.*$", "")
        local verb = command:match "^lunette (%l+)"
        if verb == "match" or verb == "check" or verb == "print" then
          count = count + 1
          local status, out, err = shell(command)
          assert(status == 0 or (verb == "match" and status == 1), command .. "\n" .. err)
          assert.is_true(#out > 0, command)
        elseif verb then
          assert.equal(0, run("help", verb).status, command)
        end
      end
    end
    assert.is_true(count >= 3)
  end)

  it("has programs that print what they say", function()
    local count = 0
    for _, block in ipairs(blocks(README, "lua")) do
      local wanted = {}
      for output in block:gmatch "%-%-> ([^\n]+)" do wanted[#wanted + 1] = output:gsub("%s+", " ") end
      if #wanted > 0 then
        support.write(directory .. "/program.lua", block)
        local status, out, err = shell "lua5.4 program.lua"
        assert.equal(0, status, err)
        local printed = {}
        for line in out:gmatch "[^\n]+" do printed[#printed + 1] = line:gsub("%s+", " ") end
        assert.same(wanted, printed)
        count = count + 1
      end
    end
    assert.is_true(count >= 1)
  end)
end)
