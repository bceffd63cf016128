--- What changes from one policy to another, as the command tells it.

local json = require "dkjson"
local support = require "support"

local run = support.lunette

local function policy(rules, rest)
  return support.policy_file(('local lunette = require "lunette"\nreturn { rules = {\n%s\n}, %s }')
    :format(rules, rest or ""))
end

local function lines(text)
  local list = {}
  for line in text:gmatch "[^\n]+" do list[#list + 1] = line end
  return list
end

describe("diff", function()
  it("of a policy and itself is nothing", function()
    for _, name in ipairs { "none", "public-only", "allow-all", "non-local" } do
      local result = run("diff", name, name)
      assert.equal(0, result.status)
      assert.equal("", result.out .. result.err)
    end
  end)

  it("is 1 where something is allowed that was not, 0 the other way round", function()
    local a = policy 'lunette.allow_dns(),'
    local b = policy 'lunette.allow_dns(),\nlunette.allow("public"):tcp(80, 443),'
    local widened = run("diff", a, b)
    assert.equal(1, widened.status)
    assert.equal(1, #lines(widened.out))
    assert.matches("^%+ egress tcp 80,443 public: deny %-> allow "
      .. "%(default %-> rule 2, .*policy%.lua:4%); e%.g%. egress tcp ", widened.out)
    local narrowed = run("diff", b, a)
    assert.equal(0, narrowed.status)
    assert.matches("^%- egress tcp 80,443 public: allow %-> deny %(rule 2, .*policy%.lua:4 %-> default%)", narrowed.out)
  end)

  it("tells a deny that becomes a reject, which widens nothing", function()
    local a, b = policy 'lunette.deny("192.0.2.1"):tcp(25),', policy 'lunette.reject("192.0.2.1"):tcp(25),'
    local result = run("diff", a, b)
    assert.equal(0, result.status)
    assert.matches("^~ egress tcp 25 192%.0%.2%.1: deny %-> reject ", result.out)
  end)

  it("tells names by connection and by DNS, with examples that match confirms", function()
    local a = policy 'lunette.allow("a.example"):tcp(443),'
    local b = policy 'lunette.allow(".a.example"):tcp(443),'
    local result = run("diff", a, b)
    assert.equal(1, result.status)
    local examples = {}
    for _, line in ipairs(lines(result.out)) do
      local kind, example = line:match "^[+-] (%a+) .*; e%.g%. (.*)$"
      if kind == "egress" or line:find "dns query" then examples[#examples + 1] = example end
    end
    assert.equal(4, #examples)
    for _, example in ipairs(examples) do
      local words = {}
      for word in example:gmatch "%S+" do words[#words + 1] = word end
      local options = {}
      while words[1] == "--resolved" do
        options[#options + 1] = table.remove(words, 1)
        options[#options + 1] = table.remove(words, 1)
      end
      local function status(path)
        local arguments = { table.unpack(options) }
        arguments[#arguments + 1] = path
        arguments[#arguments + 1] = table.concat(words, " ")
        return run("match", table.unpack(arguments)).status
      end
      assert.are_not.equal(status(a), status(b), example)
    end
  end)

  it("tells what moving a rule changes", function()
    local a = policy 'lunette.deny("b.example"),\nlunette.allow("a.example"):tcp(443),'
    local b = policy 'lunette.allow("a.example"):tcp(443),\nlunette.deny("b.example"),'
    local result = run("diff", a, b)
    assert.equal(1, result.status)
    assert.equal(1, #lines(result.out))
    assert.matches("^%+ egress tcp 443 b%.example "
      .. "%(at an address that is also that of a%.example or the like%): deny %-> allow ", result.out)
  end)

  it("compares functions as if they all said yes, and no", function()
    local a = policy 'lunette.allow("192.0.2.1"):tcp(80):when(function() return true end),'
    local b = policy 'lunette.allow("192.0.2.1"):tcp(80),'
    local result = run("diff", a, b)
    assert.equal(1, result.status)
    assert.matches("192%.0%.2%.1 %(if functions say no%): deny %-> allow", result.out)
    assert.equal(0, run("diff", a, a).status)
    local hooked = policy("", "on_connect = function() end")
    result = run("diff", "none", hooked)
    assert.equal(1, result.status)
    assert.matches("~ on_connect is in only one of the two", result.out, 1, true)
  end)

  it("has a JSON form", function()
    local result = run("diff", "--json", "public-only", "non-local")
    assert.equal(1, result.status)
    local told = json.decode(result.out)
    assert.is_true(told.widened)
    assert.is_false(told.on_connect_differs)
    assert.equal(2, #told.regions)
    local region = told.regions[1]
    assert.equal("connection", region.kind)
    assert.equal("egress", region.direction)
    assert.equal("private", region.destination)
    assert.equal("deny", region.from)
    assert.equal("allow", region.to)
    assert.is_nil(region.rule_a)
    assert.equal("allow@private", region.rule_b.text)
    assert.same({ "tcp", "udp", "icmpv4", "icmpv6" }, { table.unpack(region.protocols) })
    assert.equal("dns answer", told.regions[2].kind)
    assert.is_false(json.decode(run("diff", "--json", "non-local", "public-only").out).widened)
  end)

  it("is 2 where a policy is wrong or missing", function()
    assert.equal(2, run("diff", "none").status)
    assert.equal(2, run("diff", "none", "none", "none").status)
    assert.equal(2, run("diff", "none", "/nonexistent.lua").status)
    assert.matches("rulse: unknown key", run("diff", support.policy_file "return { rulse = {} }", "none").err, 1, true)
  end)
end)
