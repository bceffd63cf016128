--- Every mistake of a policy is told at once, with the file and line where it is written.

local lunette = require "lunette"
local support = require "support"

--- "LINE: FIELD" of each problem.
local function places(text, others)
  local list = {}
  for i, problem in ipairs(support.problems(text, others)) do
    list[i] = problem:match("^(%d+: [%w_%.%[%]]+): ") or problem
  end
  return list
end

describe("mistakes in many places of a file", function()
  local text = [[
local lunette = require "lunette"

local office = {
  action = "alow",
  destination = "10.0.0.0/33",
}

local config = {
  default_egress = "block",
  rules = {
    office,
    lunette.allow("nodots"):tcp(0),
    lunette.allow("exa mple.com"):udp("9000-8000"),
    { action = "allow", destination = "public",
      protocols = { "tcp", "tpc" },
      ports = { "443", 70000 } },
    lunette.allow("public"):icmpv4():ingress(),
    "allow@public:tcp:99999",
    nil,
    42,
  },
  dns = {
    rebind = true,
    nameservers = { "1.1.1.1", "not a host" },
  },
  ports = { [8080] = 80, [70000] = 1 },
  ipv4_pool = "10.0.0.1/8",
}

config.max_connections = -1
config.policy = "public-only"
return config
]]

  it("are all told, in the order of the file", function()
    assert.same({
      "4: rules[1].action", "5: rules[1].destination", "9: default_egress",
      "12: rules[2].ports[1]", "12: rules[2].destination", "13: rules[3].ports[1]", "13: rules[3].destination",
      "15: rules[4].protocols[2]", "16: rules[4].ports[2]", "17: rules[5].protocols[1]", "18: rules[6].ports[1]",
      "19: rules[7]", "20: rules[8]", "23: dns.rebind", "24: dns.nameservers[2]", "26: ports[70000]",
      "27: ipv4_pool", "30: max_connections", "31: policy",
    }, places(text))
  end)

  it("say what was found, what is accepted, and the nearest right spelling", function()
    local first = support.problems(text)[1]
    assert.equal('4: rules[1].action: unknown action (did you mean "allow"?): found "alow"; '
      .. 'accepted: "deny", "allow", "reject"', first)
  end)

  it("are a table of problems, and a string of lines", function()
    local path = support.policy_file(text)
    local ok, problems = pcall(lunette.load, path)
    assert.is_false(ok)
    assert.equal(19, #problems)
    assert.equal(path, problems[1].file)
    assert.equal(4, problems[1].line)
    assert.equal("rules[1].action", problems[1].field)
    assert.equal('"alow"', problems[1].found)
    assert.equal('"deny", "allow", "reject"', problems[1].accepted)
    assert.matches("unknown action", problems[1].message)
    local _, newlines = tostring(problems):gsub("\n", "")
    assert.equal(18, newlines)
    assert.equal(path .. ":4: rules[1].action: ", tostring(problems):sub(1, #path + #":4: rules[1].action: "))
  end)
end)

describe("the line of a mistake is", function()
  it("that of the field, however the table is written", function()
    assert.same({ "3: max_connections" }, places("return {\n  rules = {},\n  max_connections = 'many',\n}"))
    assert.same({ "2: max_connections" }, places("local t = {}\nt.max_connections = 'many'\nreturn t"))
    assert.same({ "2: max_connections" }, places("return {\n  ['max_connections'] = 'many' }"))
    assert.same({ "3: limits.pins" }, places("local limits = {\n\n  pins = 1 }\nreturn { limits = limits }"))
    assert.same({ "2: ports[80]" }, places("return { ports = {\n  [80] = 'x' } }"))
  end)

  it("that of the rule's call, for a chain", function()
    assert.same({ "5: rules[1].ports[1]" }, places([[
local lunette = require "lunette"
return {
  rules = {
    --[=[ a comment of
    two lines ]=] lunette.allow("public")
      :tcp(0),
  },
}]]))
  end)

  it("that of the call that made the rule in a module", function()
    local path = support.policy_file("return { rules = require 'web' }", {
      ["web.lua"] = "local lunette = require 'lunette'\n\nreturn { lunette.allow('public'):tcp(0) }",
    })
    local _, problems = pcall(lunette.load, path)
    assert.equal((path:gsub("policy.lua$", "web.lua")), problems[1].file)
    assert.equal(3, problems[1].line)
  end)

  it("that of the field around it, for tables made elsewhere", function()
    assert.same({ "2: rules[1].action" }, places("return {\n  rules = require 'web' }",
      { ["web.lua"] = "return { { action = 'alow', destination = '*' } }" }))
    assert.same({ "3: rules[2].action" }, places("local rules = { 'allow@dns' }\n"
      .. "rules[#rules + 1] = { action = 'alow', destination = '*' }\nreturn { rules = rules }"))
  end)

  it("not confused by strings, comments and functions", function()
    assert.same({ "9: max_connections" }, places([==[
local text = [[
return { max_connections = 1 }
]]
local function f() return { max_connections = 1 } end
-- return { max_connections = 1 }
local unused = { max_connections = "x", "}", '{', f = f, text }
return {
  rules = {},
  max_connections = "many", }]==]))
  end)

  it("that of the syntax error", function()
    assert.matches("^3: .*expected", support.problems("local x = 1\n\nreturn { rules = ( }")[1])
  end)

  it("that of the runtime error", function()
    assert.matches("^2: .*attempt to index a nil value", support.problems("local x\nx.y = 1\nreturn {}")[1])
    assert.matches("^1: boom", support.problems("error('boom')")[1])
    assert.matches("^2: allow%(%): the destination is nil", support.problems(
      "local lunette = require 'lunette'\nlocal rule = lunette.allow(nil)\nreturn {}")[1])
    assert.matches("^2: lunette has no alow; it has: allow, ", support.problems(
      "local lunette = require 'lunette'\nlocal rule = lunette.alow('a.b')\nreturn {}")[1])
  end)
end)

describe("in a table given to compile(), the line", function()
  it("is that of the field in the calling program", function()
    local ok, problems = pcall(function()
      local policy = lunette.compile {
        rules = {
          lunette.allow("public"):tcp(443),
          { action = "allow", destination = "pubic" },
        },
      }
      return policy
    end)
    local here = debug.getinfo(1, "l").currentline
    assert.is_false(ok)
    assert.equal(here - 5, problems[1].line)
    assert.equal("rules[2].destination", problems[1].field)
    assert.matches("errors_spec.lua$", problems[1].file)
  end)

  it("is that of the call where the table is not written there", function()
    local config = { max_connections = "many" }
    local line = debug.getinfo(1, "l").currentline + 1
    local ok, problems = pcall(function() local policy = lunette.compile(config) return policy end)
    assert.is_false(ok)
    assert.equal("max_connections", problems[1].field)
    assert.equal(line, problems[1].line)
  end)
end)

describe("what a policy returns", function()
  it("must be a table", function()
    for _, text in ipairs { "", "return nil", "return 1", "return 'public-only'", "return function() end" } do
      assert.matches("a policy returns a configuration: found", support.problems(text)[1])
    end
  end)

  it("may not have keys that are not known, and the nearest is told", function()
    assert.matches('did you mean "rules"', support.problems("return { rule = {} }")[1], 1, true)
    assert.matches("^1: %[1%]: a value without a key", support.problems("return { {} }")[1])
  end)

  it("may come behind a first line for the shell and a byte order mark", function()
    assert.equal(1, #support.load("#!/usr/bin/env lunette\nreturn { rules = { 'allow@dns' } }"):rules())
    assert.equal(1, #support.load("\xef\xbb\xbfreturn { rules = { 'allow@dns' } }"):rules())
    assert.same({ "3: max_connections" }, places("#!/x\n\nreturn { max_connections = 'x' }"))
  end)
end)

describe("a rule that is asked for what it has not", function()
  for call, message in pairs {
    ["port(443)"] = "a rule has no port(): say the protocol, as in :tcp(443) or :udp(53)",
    ["https()"] = "a rule has no https(): it has tcp, udp, icmpv4, icmpv6, egress, ingress, any, when, name, http",
  } do
    it("says so: " .. call, function()
      assert.same({ "2: " .. message }, support.problems(
        'local lunette = require "lunette"\nreturn { rules = { lunette.allow("public"):' .. call .. " } }"))
    end)
  end
end)

describe("a file", function()
  it("that is not there or cannot be read is told", function()
    for _, path in ipairs { "/nonexistent/policy.lua", "/tmp" } do
      local ok, problems = pcall(lunette.load, path)
      assert.is_false(ok)
      assert.equal(path, problems[1].file)
      assert.matches("cannot be read: ", problems[1].message)
    end
  end)

  it("that is not there, with nearly the name of a preset, brings that to mind", function()
    local ok, problems = pcall(lunette.load, "public_only")
    assert.is_false(ok)
    assert.equal("there is no such file (did you mean the preset public-only?)", problems[1].message)
  end)

  it("that returns no table is told by its name", function()
    for text, found in pairs { ["rules = {}"] = "nil", ["return 'none'"] = "string" } do
      assert.same({ "a policy returns a configuration: found " .. found .. "; accepted: a table" },
        support.problems(text))
    end
  end)

  it("of more than 8 MiB is refused", function()
    local path = support.policy_file("return {} --" .. ("x"):rep(8 << 20))
    local ok, problems = pcall(lunette.load, path)
    assert.is_false(ok)
    assert.matches("more than 8 MiB", tostring(problems))
  end)

  it("with the name of a preset is loaded by its path", function()
    local path = support.policy_file("return {}", { ["none"] = "return { rules = { 'allow@dns' } }" })
    assert.equal(1, #lunette.load((path:gsub("policy.lua$", "none"))):rules())
  end)

  it("of tens of thousands of rules loads", function()
    local lines = { "local lunette = require 'lunette'\nreturn { rules = {" }
    for i = 1, 20000 do lines[#lines + 1] = ("  lunette.allow('host%d.example'):tcp(443),"):format(i) end
    lines[#lines + 1] = "} }"
    local list = support.load(table.concat(lines, "\n")):rules()
    assert.equal(20000, #list)
    assert.matches(":20002$", list[20000].source)
  end)

  -- In 64 MiB, which every policy has. Were a rule to take much more than 350 bytes there, this would fail.
  for form, entry in pairs {
    chains = 'lunette.allow(("10.%d.%d.%d"):format(i >> 16, i >> 8 & 255, i & 255)):tcp(443)',
    tables = '{ action = "allow", destination = ("10.%d.%d.%d"):format(i >> 16, i >> 8 & 255, i & 255), '
      .. 'protocols = { "tcp" }, ports = { 443 } }',
    lines = '("allow@10.%d.%d.%d:tcp:443"):format(i >> 16, i >> 8 & 255, i & 255)',
  } do
    it("that builds a hundred thousand rules as " .. form .. " loads, and knows where they stand", function()
      local list = support.load("local lunette = require 'lunette'\nlocal rules = { lunette.allow_dns():tcp(853) }\n"
        .. "for i = 1, 100000 do\nrules[#rules + 1] =\n" .. entry .. "\nend\nreturn {\nrules = rules }"):rules()
      assert.equal(100002, #list)
      assert.equal("allow@10.1.134.160:tcp:443", list[100002].text)
      assert.equal("rules[100001]", list[100002].origin)
      assert.matches(form == "chains" and ":5$" or ":8$", list[100002].source)
    end)
  end

  it("with a hundred thousand denied names loads", function()
    local lines = { "return { deny_domains = {" }
    for i = 1, 100000 do lines[#lines + 1] = ("  'host%d.example',"):format(i) end
    lines[#lines + 1] = "} }"
    local list = support.load(table.concat(lines, "\n")):rules()
    assert.equal(100000, #list)
    assert.matches(":100001$", list[100000].source)
  end)
end)
