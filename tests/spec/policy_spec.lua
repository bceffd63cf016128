--- The class `policy`: how connections, queries and answers are judged.

local lunette = require "lunette"
local support = require "support"

local GATEWAY = { "172.16.0.1", "fd42:6d73:62::1" }

local function compile(rules, config)
  config = config or {}
  config.rules, config.gateway = rules, GATEWAY
  return lunette.compile(config)
end

describe("evaluate", function()
  local policy = compile {
    lunette.deny("10.0.0.5"),
    lunette.allow("10.0.0.0/8"),
    lunette.allow("api.github.com"):tcp(443),
    lunette.allow(".internal.example"):tcp("8000-9000"):udp(53),
    lunette.allow("*"):icmpv4(),
    lunette.reject("*"):ingress():tcp(22),
    lunette.allow_dns(),
  }
  policy:pin("api.github.com", { "140.82.112.5", "140.82.112.6" })

  it("gives action, rule, source and reason", function()
    local d = policy:evaluate { direction = "egress", protocol = "tcp", address = "10.1.2.3", port = 22 }
    assert.equal("allow", d.action)
    assert.equal(2, d.rule)
    assert.matches("policy_spec.lua:%d+$", d.source)
    assert.equal("rule", d.reason)
  end)

  it("takes the first rule that matches", function()
    assert.equal("deny", policy:evaluate { address = "10.0.0.5", port = 22 }.action)
    assert.equal(1, policy:evaluate { address = "10.0.0.5", port = 22 }.rule)
  end)

  it("falls to the default, which is no rule", function()
    local d = policy:evaluate { address = "192.0.2.1", port = 443 }
    assert.same({ action = "deny", reason = "default" }, d)
    assert.same({ action = "allow", reason = "default" },
      policy:evaluate { direction = "ingress", address = "192.0.2.1", port = 80 })
  end)

  it("of ingress sees the peer and the guest's port", function()
    assert.equal("reject", policy:evaluate { direction = "ingress", address = "192.0.2.1", port = 22 }.action)
  end)

  it("of ICMP needs no port", function()
    assert.equal("allow", policy:evaluate { protocol = "icmpv4", address = "192.0.2.1" }.action)
    assert.equal("deny", policy:evaluate { protocol = "icmpv6", address = "2001:db8::1" }.action)
  end)

  it("knows the never-list, whatever the rules say", function()
    local open = lunette.load("allow-all")
    for _, address in ipairs {
      "0.0.0.0", "0.1.2.3", "127.0.0.1", "127.255.0.1", "240.0.0.1", "255.255.255.255", "::", "::1",
      "::ffff:127.0.0.1", "::ffff:0.0.0.0",
    } do
      local d = open:evaluate { address = address, port = 80 }
      assert.same({ action = "deny", reason = "never" }, d)
    end
  end)

  describe("with a name", function()
    local function ask(sni, address)
      return policy:evaluate { address = address or "140.82.112.5", port = 443, sni = sni }.action
    end

    it("allows what the sandbox resolved and the client shows", function()
      assert.equal("allow", ask("api.github.com"))
      assert.equal("allow", ask("API.GitHub.com."))
      assert.equal("allow", ask("api.github.com", "140.82.112.6"))
    end)

    it("lets the pins decide where none is sent", function() assert.equal("allow", ask(nil)) end)

    it("defers where it is not known yet and the outcome hangs on it", function()
      local d = policy:evaluate { address = "140.82.112.5", port = 443, sni = false }
      assert.same({ action = "defer", reason = "name_unknown" }, d)
    end)

    it("does not defer where nothing hangs on it", function()
      assert.equal("allow", policy:evaluate { address = "10.1.1.1", port = 443, sni = false }.action)
      assert.equal("deny", policy:evaluate { address = "192.0.2.1", port = 443, sni = false }.action)
    end)

    it("opens nothing for another name, and nothing by a claim", function()
      assert.equal("deny", ask("evil.example"))
      assert.equal("deny", ask("api.github.com", "192.0.2.1"))
    end)

    it("adds pins and replaces none", function()
      local p = compile { lunette.allow("a.example") }
      p:pin("a.example", "192.0.2.1")
      p:pin("A.example.", { "192.0.2.2" })
      assert.equal("allow", p:evaluate { address = "192.0.2.1", port = 1 }.action)
      assert.equal("allow", p:evaluate { address = "192.0.2.2", port = 1 }.action)
      local many = {}
      for i = 1, 60 do many[i] = "203.0.113." .. i end
      p:pin("a.example", many)
      assert.equal("allow", p:evaluate { address = "203.0.113.60", port = 1 }.action)
      assert.equal("allow", p:evaluate { address = "192.0.2.1", port = 1 }.action)
    end)

    it("of a suffix takes any depth and not the apex", function()
      local p = compile { lunette.allow(".example.com") }
      p:pin("example.com", "192.0.2.1")
      p:pin("a.b.example.com", "192.0.2.2")
      assert.equal("deny", p:evaluate { address = "192.0.2.1", port = 1 }.action)
      assert.equal("allow", p:evaluate { address = "192.0.2.2", port = 1 }.action)
    end)

    it("denied by deny_domains is denied before anything else", function()
      local p = compile({ lunette.allow("*") }, { deny_domains = { "ads.example" } })
      p:pin("ads.example", "192.0.2.1")
      assert.equal("deny_domain", p:evaluate { address = "192.0.2.1", port = 443 }.reason)
      assert.equal("deny_domain", p:evaluate { address = "192.0.2.9", port = 443, sni = "ads.example" }.reason)
      assert.equal("deny_domain", p:evaluate_dns { name = "ads.example" }.reason)
    end)
  end)

  it("takes the gateway's addresses as the group host, and others when told", function()
    local p = compile { lunette.allow("host") }
    assert.equal("allow", p:evaluate { address = "172.16.0.1", port = 53, protocol = "udp" }.action)
    assert.equal("allow", p:evaluate { address = "fd42:6d73:62::1", port = 53, protocol = "udp" }.action)
    assert.equal("deny", p:evaluate { address = "172.16.0.2", port = 53 }.action)
    assert.equal("allow", p:evaluate { address = "203.0.113.7", port = 53, host = "203.0.113.7" }.action)
    assert.equal("deny", p:evaluate { address = "172.16.0.1", port = 53, host = { "203.0.113.7" } }.action)
  end)

  it("does not open the gateway by a network around it", function()
    local p = compile { lunette.allow("172.16.0.0/12"), lunette.allow("fd42:6d73:62::1") }
    local d = p:evaluate { address = "172.16.0.1", port = 22, trace = true }
    assert.equal("deny", d.action)
    assert.equal("gateway", d.trace[1].why)
    assert.equal("allow", p:evaluate { address = "172.16.0.2", port = 22 }.action)
    assert.equal("allow", p:evaluate { address = "fd42:6d73:62::1", port = 22 }.action)
    assert.equal("deny", p:evaluate_answer { name = "x.example", address = "172.16.0.1" }.action)
  end)

  it("explains on request: every rule considered, and why it did not match", function()
    local d = policy:evaluate { address = "140.82.112.5", port = 443, sni = "api.github.com", trace = true }
    local whys = {}
    for i, step in ipairs(d.trace) do
      assert.equal(i, step.rule)
      assert.equal(i == 3, step.matched)
      whys[i] = step.why
    end
    assert.same({ "destination", "destination", "matched" }, whys)
    d = policy:evaluate { address = "192.0.2.1", port = 443, trace = true }
    assert.equal(#policy:rules(), #d.trace)
    assert.equal("not_resolved", d.trace[3].why)
    assert.is_nil(policy:evaluate { address = "192.0.2.1", port = 443 }.trace)
  end)

  it("refuses questions that are none", function()
    for message, question in pairs {
      ["'adress'"] = { adress = "1.1.1.1", port = 1 },
      ["address: found nil"] = { port = 1 },
      ["address: found \"example.com\""] = { address = "example.com", port = 1 },
      ["port: needed"] = { address = "1.1.1.1" },
      ["port: found 65536"] = { address = "1.1.1.1", port = 65536 },
      ["port: found 1.5"] = { address = "1.1.1.1", port = 1.5 },
      ["protocol: \"sctp\""] = { address = "1.1.1.1", port = 1, protocol = "sctp" },
      ["direction: \"any\""] = { address = "1.1.1.1", port = 1, direction = "any" },
      ["sni: \"a b\""] = { address = "1.1.1.1", port = 1, sni = "a b" },
      ["sni: found boolean"] = { address = "1.1.1.1", port = 1, sni = true },
    } do
      local ok, found = pcall(policy.evaluate, policy, question)
      assert.is_false(ok)
      assert.is_truthy(found:find(message, 1, true), found)
    end
    assert.has_error(function() policy.evaluate(policy) end)
    assert.has_error(function() policy.evaluate({}, {}) end)
    assert.has_error(function() policy:pin("a.example", { "x" }) end)
    assert.has_error(function() policy:pin("a b", { "192.0.2.1" }) end)
  end)
end)

describe("evaluate_dns", function()
  local function dns(rules, name, protocol)
    return compile(rules):evaluate_dns { name = name or "example.com", type = "A", protocol = protocol }.action
  end

  it("allows by a rule for the host's port 53, by its protocol", function()
    assert.equal("allow", dns { lunette.allow_dns() })
    assert.equal("allow", dns({ lunette.allow_dns() }, nil, "tcp"))
    assert.equal("deny", dns({ lunette.allow("host"):udp(53) }, nil, "tcp"))
    assert.equal("deny", dns { lunette.allow("host"):tcp(80) })
  end)

  it("allows by name whatever the rule's ports", function()
    assert.equal("allow", dns { lunette.allow("example.com"):tcp(443) })
    assert.equal("deny", dns({ lunette.allow("example.com"):tcp(443) }, "other.example"))
  end)

  it("does not allow by address", function()
    assert.equal("deny", dns { lunette.allow("public"), lunette.allow("8.8.8.8"):udp(53) })
  end)
end)

describe("evaluate_answer", function()
  it("keeps addresses that are not public from the guest, unless a rule opens them", function()
    local p = compile { lunette.allow_dns(), lunette.allow("10.0.0.0/8"), lunette.allow("public") }
    local function answer(address) return p:evaluate_answer { name = "x.example", address = address }.action end
    assert.equal("allow", answer("10.0.0.1"))
    assert.equal("deny", answer("192.168.0.1"))
    assert.equal("deny", answer("127.0.0.1"))
    assert.equal("allow", answer("192.0.2.1"))
    assert.equal("rebind", p:evaluate_answer { address = "192.168.0.1" }.reason)
  end)

  it("can be switched off", function()
    local p = compile({}, { dns = { rebind_protection = false } })
    assert.equal("allow", p:evaluate_answer { name = "x.example", address = "10.0.0.1" }.action)
  end)
end)

describe("rules", function()
  it("describe themselves", function()
    local policy = support.load([[
local lunette = require "lunette"
return { rules = {
  lunette.allow(".example.com"):tcp(443, "8000-9000"):name("web"),
} }]])
    local rule = policy:rules()[1]
    assert.matches("policy.lua$", rule.file)
    rule.file, rule.source = nil, nil
    assert.same({
      action = "allow", direction = "egress", destination = ".example.com", protocols = { "tcp" },
      ports = { "443", "8000-9000" }, text = "allow@.example.com:tcp:443,8000-9000", name = "web", when = false,
      origin = "rules[1]", line = 3,
    }, rule)
  end)
end)

describe("compile", function()
  it("refuses a gateway that is no address", function()
    assert.has_error(function() lunette.compile { gateway = { "gateway" } } end)
    assert.has_error(function() lunette.compile { gateway = { 1 } } end)
  end)

  it("leaves its argument as it is", function()
    local config = { rules = { lunette.allow("public") }, gateway = GATEWAY }
    lunette.compile(config)
    assert.equal(GATEWAY, config.gateway)
    assert.equal(1, #config.rules)
  end)

  it("gives policies that are collected with their pins", function()
    for _ = 1, 200 do
      local policy = compile({ lunette.allow("a.example"):when(function() return true end) },
        { on_connect = function() end })
      policy:pin("a.example", "192.0.2.1")
    end
    collectgarbage()
    collectgarbage()
  end)

  it("loads with the gateway told", function()
    local policy = lunette.load("public-only", { gateway = "172.16.0.1" })
    assert.equal("allow", policy:evaluate { address = "172.16.0.1", protocol = "udp", port = 53 }.action)
  end)
end)
