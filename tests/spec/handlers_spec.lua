--- Functions of a policy: what they see, what they may say, and what becomes of those that fail.

local lunette = require "lunette"
local support = require "support"

--- The decision on a connection to 192.0.2.1:443 of a policy file whose on_connect has this body.
local function on_connect(body, question)
  local policy = support.load(([[
    local lunette = require "lunette"
    return { on_connect = function(flow) %s end, rules = { lunette.allow("public"):tcp(443) } }
  ]]):format(body))
  local ask = { address = "192.0.2.1", port = 443 }
  for key, value in pairs(question or {}) do ask[key] = value end
  return policy:evaluate(ask)
end

--- The same for a rule's `when`.
local function when(body)
  return support.load(([[
    local lunette = require "lunette"
    return { rules = { lunette.allow("public"):tcp(443):when(function(flow) %s end) } }
  ]]):format(body)):evaluate { address = "192.0.2.1", port = 443 }
end

describe("on_connect", function()
  it("decides by what it returns", function()
    for _, action in ipairs { "allow", "deny", "reject" } do
      assert.same({ action = action, reason = "on_connect" }, on_connect(("return %q"):format(action)))
    end
  end)

  it("has no opinion when it returns nil or nothing", function()
    assert.equal("rule", on_connect("return nil").reason)
    assert.equal("rule", on_connect("").reason)
  end)

  it("denies by any other value", function()
    for _, value in ipairs { "true", "false", "'alow'", "1", "{}", "flow", "''" } do
      local d = on_connect("return " .. value)
      assert.equal("deny", d.action)
      assert.equal("handler_error", d.reason)
      assert.matches("on_connect%(%) returned .*accepted: ", d.error)
    end
  end)

  it("is not asked where a deny list or the never-list decides", function()
    local policy = support.load([[return {
      deny_domains = { "ads.example" }, default_egress = "allow", on_connect = function() return "allow" end }]])
    policy:pin("ads.example", "192.0.2.1")
    assert.equal("deny_domain", policy:evaluate { address = "192.0.2.1", port = 443 }.reason)
    assert.equal("never", policy:evaluate { address = "127.0.0.1", port = 443 }.reason)
  end)
end)

--- The decision on a query of a policy file whose on_dns has this body.
local function on_dns(body, question)
  local policy = support.load(([[
    local lunette = require "lunette"
    return { deny_domains = { "ads.example" }, rules = { lunette.allow("api.example") },
      on_dns = function(query) %s end }
  ]]):format(body))
  local ask = { name = "www.example" }
  for key, value in pairs(question or {}) do ask[key] = value end
  return policy:evaluate_dns(ask)
end

describe("on_dns", function()
  it("decides by what it returns", function()
    assert.same({ action = "allow", reason = "on_dns" }, on_dns 'return "allow"')
    assert.same({ action = "deny", reason = "on_dns" }, on_dns('return "deny"', { name = "api.example" }))
    assert.equal("rule", on_dns("return nil", { name = "api.example" }).reason)
    assert.equal("default", on_dns("").reason)
  end)

  it("answers with addresses, private ones too", function()
    assert.same({ action = "allow", reason = "on_dns", addresses = { "10.0.0.8", "fd00::8" } },
      on_dns 'return { "10.0.0.8", "fd00::8" }')
  end)

  it("sees the query", function()
    local body = [[return query.name == "www.example" and query.type == "TYPE65400" and query.protocol == "tcp"
      and query.flows == 0 and math.type(query.time) == "integer" and "allow" or "deny"]]
    assert.equal("allow", on_dns(body, { type = "TYPE65400", protocol = "tcp" }).action)
    assert.equal("allow", on_dns('return query.type == "A" and "allow" or "deny"').action)
  end)

  it("denies by any other value, and by failing", function()
    local cases = {
      ["true"] = "accepted: ", ["'reject'"] = "accepted: ", ["1"] = "accepted: ", ["{}"] = "an empty list",
      ["{ 1 }"] = "accepted: IP addresses", ["{ 'x' }"] = "accepted: IP addresses",
      ["{ '127.0.0.1' }"] = "no policy can open", ["{ '10.0.0.1', '0.0.0.0' }"] = "no policy can open",
      ["error('oh')"] = "oh", ["(function() while true do end end)()"] = "too",
    }
    for value, message in pairs(cases) do
      local d = on_dns("return " .. value, { name = "api.example" })
      assert.equal("deny", d.action, value)
      assert.equal("handler_error", d.reason)
      assert.is_nil(d.addresses)
      assert.matches(message, d.error)
    end
    local many = {}
    for i = 1, 17 do many[i] = "'10.0.0." .. i .. "'" end
    assert.matches("17 addresses", on_dns("return {" .. table.concat(many, ",") .. "}").error)
  end)

  it("is not asked where a deny list decides, nor about connections", function()
    assert.equal("deny_domain", on_dns('return "allow"', { name = "ads.example" }).reason)
    local policy = support.load [[return { on_dns = function() return "allow" end }]]
    assert.equal("default", policy:evaluate { address = "192.0.2.1", port = 443 }.reason)
  end)
end)

describe("lists.doh", function()
  it("denies resolvers by name and by address, and nothing else", function()
    local policy = support.load [[
      local lunette = require "lunette"
      return { rules = { lunette.deny(lunette.lists.doh), lunette.allow_dns(), lunette.allow("public") } }]]
    for _, name in ipairs { "dns.google", "mozilla.cloudflare-dns.com", "cloudflare-dns.com", "x.dns.nextdns.io" } do
      assert.equal("deny", policy:evaluate_dns { name = name }.action, name)
    end
    for _, address in ipairs { "1.1.1.1", "8.8.8.8", "9.9.9.9", "2606:4700:4700::1111", "45.90.28.7" } do
      assert.equal("deny", policy:evaluate { address = address, port = 443 }.action, address)
      assert.equal("deny", policy:evaluate { address = address, port = 853 }.action, address)
    end
    assert.equal("allow", policy:evaluate_dns { name = "www.google.com" }.action)
    assert.equal("allow", policy:evaluate { address = "203.0.113.10", port = 443 }.action)
  end)
end)

describe("when", function()
  it("lets the rule match or not", function()
    assert.equal("allow", when("return true").action)
    assert.equal("default", when("return false").reason)
  end)

  it("denies by anything but true and false", function()
    for _, value in ipairs { "nil", "1", "'true'", "{}" } do
      local d = when("return " .. value)
      assert.equal("deny", d.action)
      assert.equal("handler_error", d.reason)
      assert.equal(1, d.rule)
      assert.matches("when%(%) returned", d.error)
    end
  end)

  it("is asked only where all else matches", function()
    local policy = support.load([[
      local lunette = require "lunette"
      local asked = 0
      return { rules = {
        lunette.allow("private"):when(function() asked = asked + 1 return true end),
        lunette.allow("public"):when(function() return asked == 0 end) } }]])
    assert.equal("allow", policy:evaluate { address = "192.0.2.1", port = 443 }.action)
    assert.equal("allow", policy:evaluate { address = "10.0.0.1", port = 443 }.action)
    assert.equal("deny", policy:evaluate { address = "192.0.2.1", port = 443 }.action)
  end)
end)

describe("a flow", function()
  --- What a field is, as far as it says so through the action.
  local function sees(condition, question)
    return on_connect(("return (%s) and 'allow' or 'reject'"):format(condition), question).action == "allow"
  end

  it("has the fields of the connection", function()
    assert.is_true(sees("flow.direction == 'egress' and flow.protocol == 'tcp' and flow.port == 443"))
    assert.is_true(sees("flow.address == '192.0.2.1' and flow.group == 'public'"))
    assert.is_true(sees("flow.flows == 7", { flows = 7 }))
    assert.is_true(sees("flow.sni == 'a.example' and flow.host == nil", { sni = "a.example" }))
    assert.is_true(sees("flow.sni == nil and flow.host == nil and #flow.names == 0"))
    assert.is_true(sees("flow.country == nil and flow.asn == nil"))
    assert.is_true(sees("math.abs(flow.time - os.time()) < 60"))
    assert.is_true(sees("flow.direction == 'ingress'", { direction = "ingress" }))
    assert.is_true(sees("flow.address == '2001:db8::1' and flow.protocol == 'udp'",
      { address = "2001:db8::1", protocol = "udp" }))
  end)

  it("has the names pinned to the address", function()
    local policy = support.load([[return { on_connect = function(flow)
      local names = flow.names
      table.sort(names)
      return table.concat(names, " ") == "a.example b.example" and "allow" or "reject"
    end }]])
    policy:pin("a.example", "192.0.2.1")
    policy:pin("b.example", "192.0.2.1")
    assert.equal("allow", policy:evaluate { address = "192.0.2.1", port = 443 }.action)
  end)

  it("cannot be changed, and a misspelt field is an error", function()
    assert.matches("cannot be changed", on_connect("flow.port = 80").error)
    assert.matches("no field 'adress'", on_connect("return flow.adress == '1.1.1.1' and 'deny' or 'allow'").error)
    assert.is_false(sees("getmetatable(flow)"))
  end)

  it("is over when the function returns", function()
    local policy = support.load([[
      local kept
      return { on_connect = function(flow)
        if kept then return flow.port == 443 and kept.port == 443 and "allow" or "deny" end
        kept = flow
      end, default_egress = "reject" }]])
    assert.equal("reject", policy:evaluate { address = "192.0.2.1", port = 443 }.action)
    local flow
    local mine = lunette.compile { on_connect = function(f) flow = f end }
    mine:evaluate { address = "192.0.2.1", port = 443 }
    assert.has_error(function() return flow.port end)
  end)
end)

describe("a function that fails", function()
  it("denies, and says where and why", function()
    local d = on_connect("error('no')")
    assert.equal("deny", d.action)
    assert.equal("handler_error", d.reason)
    assert.matches("policy.lua:2: no$", d.error)
    assert.matches("attempt to index a nil value", on_connect("local x x.y = 1").error)
    assert.matches("not a string", on_connect("error({})").error)
  end)

  it("denies when it runs for ever, and pcall does not help it", function()
    for _, body in ipairs {
      "while true do end",
      "while true do pcall(function() while true do end end) end",
      "return (('a'):rep(1000)):find(('.-'):rep(20) .. 'b') and 'deny' or 'allow'",
      "local function f() return f() end return f()",
      "pcall(function() while true do end end) return 'allow'",
    } do
      local started = os.clock()
      local d = on_connect(body)
      assert.equal("deny", d.action)
      assert.equal("handler_error", d.reason)
      assert.matches("it ran ", d.error)
      assert.is_true(os.clock() - started < 2)
    end
  end)

  it("denies when it needs too much memory, and the next call is well", function()
    local policy = support.load([[
      local calls = 0
      return { on_connect = function()
        calls = calls + 1
        if calls == 1 then local s = "x" while true do s = s .. s end end
        return "allow"
      end }]])
    assert.matches("memory", policy:evaluate { address = "192.0.2.1", port = 443 }.error)
    assert.equal("allow", policy:evaluate { address = "192.0.2.1", port = 443 }.action)
  end)

  it("has a budget for each call, and not for all of them", function()
    local policy = support.load("return { on_connect = function() for i = 1, 1e5 do end return 'allow' end }")
    for _ = 1, 50 do
      assert.equal("allow", policy:evaluate { address = "192.0.2.1", port = 443 }.action)
    end
  end)
end)

describe("functions of a program's own policies", function()
  it("are bounded too", function()
    local policy = lunette.compile { on_connect = function() while true do pcall(error) end end }
    local d = policy:evaluate { address = "192.0.2.1", port = 443 }
    assert.equal("handler_error", d.reason)
    assert.matches("it ran ", d.error)
    local count = 0
    for i = 1, 1e6 do count = count + i % 2 end
    assert.equal(500000, count)
  end)

  it("leave the program's own hook alone", function()
    local policy = lunette.compile { on_connect = function() return "allow" end }
    local hook = function() end
    debug.sethook(hook, "", 1000)
    policy:evaluate { address = "192.0.2.1", port = 443 }
    local found, _, count = debug.gethook()
    debug.sethook()
    assert.equal(hook, found)
    assert.equal(1000, count)
  end)

  it("may be asked for from a coroutine", function()
    local policy = lunette.compile { on_connect = function() return "allow" end }
    local ask = coroutine.wrap(function() return policy:evaluate { address = "192.0.2.1", port = 443 }.action end)
    assert.equal("allow", ask())
  end)

  it("cannot ask for a verdict of their own policy", function()
    local policy
    policy = lunette.compile { on_connect = function()
      return policy:evaluate { address = "192.0.2.1", port = 443 }.action
    end }
    local d = policy:evaluate { address = "192.0.2.1", port = 443 }
    assert.equal("deny", d.action)
  end)
end)
