--- Policies in JSON, and what `lunette print --json` writes.

local json = require "dkjson"
local lunette = require "lunette"
local support = require "support"

local function file(text, name)
  local path = support.directory() .. "/" .. (name or "policy.json")
  support.write(path, text)
  return path
end

local function texts(policy)
  local list = {}
  for i, rule in ipairs(policy:rules()) do list[i] = rule.text end
  return list
end

--- "LINE: FIELD: …" of each problem.
local function problems(text)
  local path = file(text)
  local ok, list = pcall(lunette.load, path)
  assert(not ok, "the policy is valid")
  local lines = {}
  for i, problem in ipairs(list) do
    lines[i] = problem.text:sub(#path + 2)
  end
  return lines
end

local POLICY = [[
{
  "comment": ["whatever", {"is": "meant"}],
  "rules": [
    "deny@10.0.0.5",
    {"action": "allow", "destination": ["10.0.0.0/8", {"domain": "db"}], "protocol": "tcp", "ports": [443, "80-90"]},
    {"action": "allow", "destination": "a.example", "port": 443, "name": "caf\u00e9", "comment": 1}
  ],
  "deny_domain_suffixes": [".ads.example"],
  "default_ingress": "deny",
  "ports": {"8080": 80},
  "dns": {"rebind_protection": false, "nameservers": null}
}
]]

describe("a policy in JSON", function()
  it("is the table that it says", function()
    local policy = lunette.load(file(POLICY))
    assert.same({ "deny@ads.example", "deny@.ads.example", "deny@10.0.0.5", "allow@10.0.0.0/8:tcp:80-90,443",
      "allow@domain(db):tcp:80-90,443", "allow@a.example:*:443" }, texts(policy))
    assert.equal("café", policy:rule(6).name)
    assert.matches("policy.json:4$", policy:rule(3).source)
    assert.equal("rules[2]", policy:rule(4).origin)
    assert.equal("deny", policy:default("ingress"))
  end)

  it("stands wherever a policy does", function()
    local path = file(POLICY)
    assert.equal(0, support.lunette("check", path).status)
    assert.equal(0, support.lunette("match", path, "egress tcp 10.1.1.1:443").status)
    assert.matches("^1  deny@ads", support.lunette("print", path).out)
    assert.equal("6\n", support.lunette({ "#policy" }, "repl", path).out)
  end)

  it("is known by its name, or by the brace that it begins with", function()
    assert.equal(6, #lunette.load(file("\n " .. POLICY, "policy")))
    assert.same({ "1: this is not JSON" }, problems(""))
    local _, lua = pcall(lunette.load, file("return {", "policy"))
    assert.matches("near <eof>", tostring(lua))
  end)

  it("has its mistakes told with their lines and fields", function()
    assert.same({
      "2: max_connections: it is too small: found -1; accepted: an integer from 1 to 1048576",
      '5: rules[2].action: unknown action (did you mean "allow"?): found "alow"; accepted: "deny", "allow", "reject"',
      '6: rules[2].ports[1]: there is no port 0: found 0; accepted: 1-65535, as 443, "443" or "8000-9000"',
      '8: rule: unknown key (did you mean "rules"?)',
    }, (function(list)
      list[4] = list[4]:match("^(.-%)): found")
      return list
    end)(problems('{\n"max_connections": -1, "rules": [\n"allow@*",\n{\n"action": "alow", "destination": "*",\n'
      .. '"ports": [0]}\n],\n"rule": []}')))
  end)

  it("is strict", function()
    for text, mistake in pairs {
      ['{"rules": [],}'] = "1: ", ['{"rules": [],\n"rules": []}'] = "2: ", ["{'rules': []}"] = "1: ",
      ['{"rules": [] // none\n}'] = "1: ", ['{}\n\n{}'] = "3: ", ['{"max_connections": 01}'] = "1: ",
      ['{"rules": [\n"\xff"]}'] = "2: ",
    } do
      assert.equal(mistake, problems(text)[1]:sub(1, 3), text)
    end
    assert.matches("a policy returns a configuration", problems("null")[1])
  end)

  it("of a hundred thousand rules loads", function()
    local lines = {}
    for i = 1, 100000 do lines[i] = ('"allow@10.%d.%d.%d:tcp:443"'):format(i >> 16, i >> 8 & 255, i & 255) end
    assert.equal(100000, #lunette.load(file('{"rules":[\n' .. table.concat(lines, ",\n") .. "]}")))
  end)
end)

describe("what print --json writes", function()
  --- The policy that the printed form of a policy's text is.
  local function again(text, ...)
    local printed = support.lunette("print", "--json", support.policy_file(text, ...))
    assert.equal("", printed.err)
    return lunette.load(file(printed.out)), printed.out
  end

  it("loads again to the same rules and defaults", function()
    local text = [[
local lunette = require "lunette"
return {
  rules = {
    lunette.deny("10.0.0.5"), lunette.allow("10.0.0.0/8"):tcp(443, "8000-9000"):udp(53):name("café \1"),
    lunette.allow { "a.example", ".b.example", lunette.domain("db"), lunette.domain("public"), lunette.suffix("lan") },
    lunette.reject("*"):ingress():tcp(22), lunette.deny("2001:db8::/32"):any(), lunette.allow("::1"),
    lunette.allow("metadata"):icmpv4():icmpv6(), lunette.allow_dns(),
    lunette.allow("c.example"):tcp(80):http { methods = { "GET" }, path = "/x/*" },
  },
  deny_domains = { "ads.example" }, deny_domain_suffixes = { "tracker.example" },
  default_egress = "reject", default_ingress = "deny",
}]]
    local first, second = support.load(text), again(text)
    assert.same(texts(first), texts(second))
    for i = 1, #first do
      local a, b = first:rule(i), second:rule(i)
      assert.equal(a.name, b.name)
      assert.same(a.http, b.http)
      assert.same(a.ports, b.ports)
    end
    assert.equal("reject", second:default("egress"))
    assert.equal("deny", second:default("ingress"))
  end)

  it("is so for every preset", function()
    for _, name in ipairs { "none", "public-only", "allow-all", "non-local" } do
      local printed = support.lunette("print", "--json", name)
      local policy = lunette.load(file(printed.out))
      assert.same(texts(lunette.load(name)), texts(policy))
      assert.equal(lunette.load(name):default("egress"), policy:default("egress"))
    end
  end)

  it("says where each rule is written", function()
    local _, out = again("return { rules = { 'allow@public' } }")
    local comment = json.decode(out).rules[1].comment
    assert.equal(1, comment.rule)
    assert.equal("allow@public", comment.text)
    assert.matches("policy.lua:1$", comment.source)
    assert.equal("rules[1]", comment.origin)
  end)

  it("names functions, which keep it from being loaded: left out, a rule would open more", function()
    local path = support.policy_file("local lunette = require 'lunette'\nreturn { on_connect = function() end, "
      .. "rules = { lunette.allow('public'):when(function() return false end) } }")
    local printed = support.lunette("print", "--json", path)
    local lines = problems(printed.out)
    assert.equal(2, #lines)
    assert.matches('^1: on_connect: it has the wrong type: found "a function, which JSON cannot hold"', lines[1])
    assert.matches("^1: rules%[1%].when: it has the wrong type", lines[2])
  end)
end)
