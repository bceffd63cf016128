--- `lunette test`: tests of policies, run as a program.

local support = require "support"

local POLICY = [[
local lunette = require "lunette"
return {
  rules = {
    lunette.deny("10.0.0.5"),
    lunette.allow("10.0.0.0/8"):tcp(443),
    lunette.allow { "github.com", "api.github.com" }:tcp(443),
    lunette.allow(".pythonhosted.org"):tcp(443),
    lunette.reject("*"):ingress():tcp(22),
    lunette.allow("host"):tcp(8080),
    lunette.allow("2001:db8::/32"):icmpv6(),
  },
  deny_domains = { "gist.github.com" },
}
]]

--- A directory with the policy and a test of it; where that is.
local function files(test, others)
  others = others or {}
  others["policy_test.lua"] = test
  return (support.policy_file(POLICY, others):gsub("policy.lua$", ""))
end

local function run(test, ...)
  local directory = files(test)
  local arguments = { ... }
  arguments[#arguments + 1] = directory .. "policy_test.lua"
  local result = support.lunette("test", table.unpack(arguments))
  local out = result.out:gsub(directory:gsub("%p", "%%%0"), "")
  local err = result.err:gsub(directory:gsub("%p", "%%%0"), "")
  return result.status, out, err
end

local function assert_passes(cases, test)
  local status, out, err = run(test)
  assert.equal("", err)
  assert.equal(("1 file, %s: %d passed, 0 failed\n"):format(cases == 1 and "1 case" or cases .. " cases", cases), out)
  assert.equal(0, status)
end

--- The failures, without the summary.
local function failures(test)
  local status, out, err = run(test)
  assert.equal("", err)
  assert.equal(1, status)
  return (out:gsub("[^\n]*\n$", ""))
end

describe("a test file", function()
  it("says what the policy beside it allows, denies and rejects, in queries and tables", function()
    assert_passes(9, [[
allows "egress tcp 10.1.2.3:443"
denies "egress tcp 10.0.0.5:443"
denies "egress tcp 10.1.2.3:80"
rejects "ingress tcp 192.0.2.1 -> 22"
allows { address = "10.1.2.3", port = 443 }
rejects { direction = "ingress", address = "192.0.2.1", port = 22 }
allows { address = "2001:db8::7", protocol = "icmpv6" }
allows { address = "172.16.0.1", port = 8080 }
denies { address = "172.16.0.1", port = 22 }
]])
  end)

  it("asks for a name first, as a guest would", function()
    assert_passes(6, [[
allows { name = "api.github.com", port = 443 }
allows { name = "API.GitHub.com.", port = 443, sni = "api.github.com" }
denies { name = "api.github.com", port = 443, sni = "evil.example" }
denies { name = "api.github.com", port = 80 }
denies { name = "evil.example", port = 443 }
allows "egress tcp files.pythonhosted.org:443"
]])
    assert.equal("policy_test.lua:1: dns evil.example A: expected allow, came deny\n    default_egress\n",
      failures 'allows { name = "evil.example", port = 443 }')
  end)

  it("says which names may be asked for", function()
    assert_passes(7, [[
resolves { "github.com", "x.pythonhosted.org" }
resolves { name = "github.com", type = "AAAA" }
refuses "gist.github.com"
refuses { "pythonhosted.org", "dns github.com ANY" }
allows "dns github.com AAAA"
]])
  end)

  it("pins names to addresses, to its end or for a while", function()
    assert_passes(9, [[
pin("api.github.com", "192.0.2.7", "192.0.2.8")
allows { name = "api.github.com", port = 443 }
allows { address = "192.0.2.8", port = 443, sni = "api.github.com" }
denies { address = "192.0.2.8", port = 443, sni = "github.com" }
with_pins({ ["github.com"] = "192.0.2.8", ["api.github.com"] = { "192.0.2.9" } }, function()
  allows "egress tcp 192.0.2.8:443"
  allows { address = "192.0.2.8", port = 443, sni = "github.com" }
  allows "egress tcp 192.0.2.9:443"
end)
denies { address = "192.0.2.8", port = 443, sni = "github.com" }
allows "egress tcp 192.0.2.7:443"
denies "egress tcp 192.0.2.9:443"
]])
    -- What is taken to be a name's address is so for that case only.
    assert_passes(2, 'allows { name = "github.com", port = 443 }\ndenies "egress tcp 192.0.2.1:443"')
  end)

  it("has tables of cases, and what is common to them", function()
    assert_passes(5, [[
allows { port = 443, { name = "github.com" }, { name = "api.github.com" }, { address = "10.1.1.1" } }
for _, address in ipairs { "10.0.0.5", "127.0.0.1" } do denies { address = address, port = 443 } end
]])
    assert.equal("policy_test.lua:3: egress tcp 10.0.0.5:443: expected allow, came deny\n"
      .. "    rule 2 (policy.lua:4): deny@10.0.0.5\n", failures [[
allows { port = 443,
  { address = "10.1.1.1" },
  { address = "10.0.0.5" },
}]])
  end)

  it("chooses other policies", function()
    local directory = files('policy("other/none.lua") denies "egress tcp 1.1.1.1:443"\n'
      .. 'policy("allow-all") allows "egress tcp 1.1.1.1:443"\nlocal p = policy("policy.lua")\nassert(#p == 9)\n'
      .. 'assert(p:evaluate { address = "10.0.0.5", port = 443 }.rule == 2)',
      { ["other/none.lua"] = "return {}" })
    local result = support.lunette("test", directory .. "policy_test.lua")
    assert.equal("", result.err)
    assert.equal("1 file, 4 cases: 4 passed, 0 failed\n", result.out)
  end)

  it("may require what is beside it, and cannot leave its sandbox", function()
    local directory = files('policy "none" assert(require("hosts") == 1) assert(io == nil) '
      .. 'assert(not pcall(function() return os.execute("true") end))', { ["hosts.lua"] = "return 1" })
    local result = support.lunette("test", directory .. "policy_test.lua")
    assert.equal("", result.err)
    assert.equal(0, result.status)
  end)
end)

describe("the tests beside the policies", function()
  it("pass", function()
    local result = support.lunette("test", "policies/coding-agent_test.lua")
    assert.equal("", result.err)
    assert.matches(" 0 failed\n$", result.out)
  end)
end)

describe("a failure", function()
  it("tells the place, what was expected, what came, and the rule that decided", function()
    assert.equal("policy_test.lua:2: egress tcp 10.0.0.5:443: expected allow, came deny\n"
      .. "    rule 2 (policy.lua:4): deny@10.0.0.5\n", failures '\nallows "egress tcp 10.0.0.5:443"')
    assert.equal("policy_test.lua:1: ingress tcp 192.0.2.1 -> 22: expected deny, came reject\n"
      .. "    rule 7 (policy.lua:8): reject:ingress@*:tcp:22\n", failures 'denies "ingress tcp 192.0.2.1 -> 22"')
    assert.equal("policy_test.lua:1: egress tcp 127.0.0.1:80: expected allow, came deny\n"
      .. "    no policy can open this address\n", failures 'allows "egress tcp 127.0.0.1:80"')
    assert.equal("policy_test.lua:1: dns github.com AXFR: expected allow, came deny\n"
      .. "    no policy can open queries of this type\n", failures 'resolves "dns github.com AXFR"')
  end)

  it("does not keep the next cases from being run", function()
    assert.equal("policy_test.lua:1: egress tcp 10.0.0.5:443: expected allow, came deny\n"
      .. "    rule 2 (policy.lua:4): deny@10.0.0.5\n"
      .. "policy_test.lua:3: second: assert: no\npolicy_test.lua:6: third: error: boom\n",
      failures [[
allows "egress tcp 10.0.0.5:443"
test("second", function()
  assert(false, "no")
end)
test("third", function()
  error("boom")
end)
test("fourth", function() denies "egress tcp 10.0.0.5:443" end)]])
  end)
end)

describe("a file that cannot be run to its end is exit status 2", function()
  for what, case in pairs {
    ["a syntax error"] = { "\nallows(", "policy_test.lua:2: unexpected symbol near <eof>" },
    ["an error"] = { "\nlocal x\nx.y = 1", "policy_test.lua:3: attempt to index a nil value (local 'x')" },
    ["a case that is none"] = { "allows 'egress tcp 1.2.3.4'", "policy_test.lua:1: '1.2.3.4' has no port; " },
    ["a field that is none"] = { "allows { adress = '1.2.3.4' }", "policy_test.lua:1: there is no field 'adress'" },
    ["a policy that is not there"] = { "policy('x.lua')", "x.lua: cannot be read: No such file or directory" },
    ["no end"] = { "while true do end", "policy_test.lua: it ran too many instructions" },
  } do
    it(what, function()
      local status, _, err = run(case[1])
      assert.equal("lunette: " .. case[2], err:sub(1, #"lunette: " + #case[2]))
      assert.equal(2, status)
    end)
  end

  it("whatever the others are", function()
    local directory = files('denies "egress tcp 1.1.1.1:443"', { ["x.lua"] = "" })
    local result = support.lunette("test", directory .. "nothing.lua", directory .. "x.lua",
      directory .. "policy_test.lua")
    assert.equal(2, result.status)
    assert.equal("3 files, 1 case: 1 passed, 0 failed, 1 file not run to the end\n", result.out)
  end)
end)

describe("the option", function()
  local TEST = 'allows "egress tcp 10.1.2.3:443"\nallows "egress tcp 10.0.0.5:443"\n'
    .. 'rejects { direction = "ingress", address = "192.0.2.1", port = 22 }\n'

  it("--tap is the Test Anything Protocol", function()
    local status, out = run(TEST, "--tap")
    assert.equal(1, status)
    assert.equal("ok 1 - policy_test.lua:1: egress tcp 10.1.2.3:443\n"
      .. "not ok 2 - policy_test.lua:2: egress tcp 10.0.0.5:443\n  # expected allow, came deny\n"
      .. "  # rule 2 (policy.lua:4): deny@10.0.0.5\nok 3 - policy_test.lua:3: ingress tcp 192.0.2.1 -> 22\n1..3\n"
      .. "# 1 file, 3 cases: 2 passed, 1 failed\n", out)
  end)

  it("--junit writes XML", function()
    local path = support.directory() .. "/junit.xml"
    assert.equal(1, (run(TEST .. 'test("<&>", function() end)', "--junit", path)))
    local file = assert(io.open(path))
    local xml = file:read("a")
    file:close()
    assert.matches('^<%?xml version="1.0" encoding="UTF%-8"%?>\n<testsuites>\n<testsuite name="[^"]*policy_test.lua" '
      .. 'tests="3" failures="1" errors="0">\n', xml)
    assert.matches('<failure message="expected allow, came deny">rule 2 %([^)]*policy.lua:4%): deny@10.0.0.5<', xml)
    assert.matches("%-&gt; 22", xml)
    assert.matches("</testsuite>\n</testsuites>\n$", xml)
    assert.equal(2, (run(TEST, "--junit", "/nonexistent/x")))
  end)

  it("--coverage tells which rules and defaults decided no case", function()
    local status, out = run('allows "egress tcp 10.1.2.3:443"\ndenies "egress tcp 1.1.1.1:1"\nresolves "github.com"',
      "--coverage")
    assert.equal(0, status)
    assert.equal([[
policy.lua:12: rule 1 decided no case: deny@gist.github.com
policy.lua:4: rule 2 decided no case: deny@10.0.0.5
policy.lua:6: rule 5 decided no case: allow@api.github.com:tcp:443
policy.lua:7: rule 6 decided no case: allow@.pythonhosted.org:tcp:443
policy.lua:8: rule 7 decided no case: reject:ingress@*:tcp:22
policy.lua:9: rule 8 decided no case: allow@host:tcp:8080
policy.lua:10: rule 9 decided no case: allow@2001:db8::/32:icmpv6
policy.lua: default_ingress decided no case
coverage of policy.lua: 27.2 % (3 of 11: 9 rules, 2 defaults)
1 file, 3 cases: 3 passed, 0 failed
]], out)
  end)

  it("--coverage is of all files together", function()
    local directory = files('policy "policy.lua" denies "egress tcp 1.1.1.1:1"',
      { ["b.lua"] = 'policy "policy.lua" allows "ingress tcp 1.1.1.1 -> 1"' })
    local result = support.lunette("test", "--coverage", directory .. "policy_test.lua", directory .. "b.lua")
    assert.matches("18.1 %% %(2 of 11: 9 rules, 2 defaults%)\n2 files, 2 cases: 2 passed", result.out)
  end)

  it("--min-coverage makes too little a failure", function()
    assert.equal(0, (run('denies "egress tcp 1.1.1.1:1"', "--min-coverage", "9")))
    local status, out = run('denies "egress tcp 1.1.1.1:1"', "--min-coverage=10")
    assert.equal(1, status)
    assert.matches("coverage of policy.lua is below 10 %%\n", out)
    for _, value in ipairs { "x", "", "101", "-1", "5%" } do
      assert.equal(2, (run('denies "egress tcp 1.1.1.1:1"', "--min-coverage=" .. value)), value)
    end
  end)

  it("--bench tells how long a decision takes", function()
    local status, out = run(TEST, "--bench")
    assert.equal(1, status)
    assert.matches("\nbench: %d+ ns a decision over 3 cases; slowest %d+ ns: [%w ]+", out)
  end)
end)
