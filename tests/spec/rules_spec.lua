--- What people write as rules, and which rules it stands for.

local lunette = require "lunette"
local support = require "support"

--- The one-line forms of the rules of a configuration.
local function texts(config)
  local list = {}
  for i, rule in ipairs(lunette.compile(config):rules()) do list[i] = rule.text end
  return list
end

local function rules(...) return texts { rules = { ... } } end

--- The message of what compile() raises.
local function refusal(config)
  local ok, problems = pcall(lunette.compile, config)
  assert(not ok, "the configuration is valid")
  return tostring(problems)
end

describe("a chain", function()
  it("without calls is for any protocol and port", function()
    assert.same({ "allow@10.0.0.0/8" }, rules(lunette.allow("10.0.0.0/8")))
  end)

  it("stands for one rule a protocol call, so that ports of one are not opened in another", function()
    assert.same({ "allow@public:tcp:8000-9000", "allow@public:udp:53" },
      rules(lunette.allow("public"):tcp("8000-9000"):udp(53)))
    local policy = lunette.compile { rules = { lunette.allow("public"):tcp("8000-9000"):udp(53) } }
    assert.equal("deny", policy:evaluate { protocol = "udp", address = "1.1.1.1", port = 8000 }.action)
    assert.equal("allow", policy:evaluate { protocol = "udp", address = "1.1.1.1", port = 53 }.action)
  end)

  it("takes ports one by one, in lists and as ranges, and merges them", function()
    assert.same({ "allow@public:tcp:80-81,443,8000-9000" },
      rules(lunette.allow("public"):tcp(443, { 80, "81" }, "8000-9000")))
  end)

  it("stands for one rule a destination", function()
    assert.same({ "deny@a.example:tcp", "deny@b.example:tcp" }, rules(lunette.deny { "a.example", "b.example" }:tcp()))
  end)

  it("has directions, a name and all actions", function()
    assert.same({ "deny:ingress@*:tcp:22", "reject:any@10.0.0.0/8", "allow@public" },
      rules(lunette.deny("*"):ingress():tcp(22), lunette.reject("10.0.0.0/8"):any(), lunette.allow("public"):egress()))
    local policy = lunette.compile { rules = { lunette.allow("public"):name("the internet") } }
    assert.equal("the internet", policy:rules()[1].name)
  end)

  it("has ICMP of both families", function()
    assert.same({ "allow@public:icmpv4", "allow@public:icmpv6" }, rules(lunette.allow("public"):icmpv4():icmpv6()))
  end)

  it("cannot be changed but by its methods", function()
    local chain = lunette.allow("public")
    assert.is_false(getmetatable(chain))
    chain.action = "deny"
    assert.same({ "allow@public" }, rules(chain))
  end)

  it("refuses arguments that are nil: a misspelt variable must not open more", function()
    local nothing = nil
    for _, call in ipairs {
      function() return lunette.allow(nothing) end,
      function() return lunette.allow("public"):tcp(nothing) end,
      function() return lunette.allow("public"):tcp(443, nothing) end,
      function() return lunette.allow("public"):tcp { 443, nothing, 80 } end,
      function() return lunette.allow("public"):when(nothing) end,
      function() return lunette.allow { "a.example", nothing, "b.example" } end,
      function() return lunette.allow {} end,
      function() return lunette.allow("public"):tcp {} end,
      function() return lunette.domain(nothing) end,
    } do
      local ok, message = pcall(call)
      assert.is_false(ok)
      assert.is_truthy(message:find("nil") or message:find("empty") or message:find("no entry"), message)
    end
  end)

  it("that is the whole list or the whole policy is an error", function()
    assert.matches("rules: is one rule", refusal { rules = lunette.allow("public") }, 1, true)
    assert.matches("the policy is one rule", refusal(lunette.allow("public")), 1, true)
  end)

  it("may be for some requests only, where they can be read", function()
    local rule = lunette.allow("api.github.com"):tcp(443):http { methods = { "GET" }, path = "/repos/*" }
    assert.matches("rules%[1%]%.http", refusal { rules = { rule } })
    local listed = lunette.compile { tls = {}, rules = { rule } }:rules()[1]
    assert.same({ methods = { "GET" }, path = "/repos/*" }, listed.http)
  end)
end)

describe("destinations", function()
  it("are told apart by how they look", function()
    assert.same({ "allow@*", "allow@link-local", "allow@10.1.2.3", "allow@2001:db8::/32", "allow@example.com",
      "allow@.example.com", "allow@.example.com" },
      rules(lunette.allow("*"), lunette.allow("link-local"), lunette.allow("10.1.2.3"), lunette.allow("2001:DB8::/32"),
        lunette.allow("Example.COM."), lunette.allow(".example.com"), lunette.allow("*.example.com")))
  end)

  it("can be described, where a string would mean something else", function()
    assert.same({ "allow@domain(db)", "allow@.lan", "allow@10.0.0.0/8", "allow@::1", "allow@private" },
      rules(lunette.allow(lunette.domain("db")), lunette.allow(lunette.suffix("lan")),
        lunette.allow(lunette.cidr("10.0.0.0/8")), lunette.allow(lunette.ip("::1")),
        lunette.allow(lunette.group("private"))))
  end)

  it("of a list may be of several kinds", function()
    assert.same({ "allow@domain(db):tcp:5432", "allow@10.0.0.0/8:tcp:5432" },
      rules(lunette.allow { lunette.domain("db"), "10.0.0.0/8" }:tcp(5432)))
  end)

  it("that are a single word and no group are refused", function()
    assert.matches('say lunette.domain("db")', refusal { rules = { lunette.allow("db") } }, 1, true)
  end)
end)

describe("a rule as a table", function()
  it("has singular and plural fields, which are united", function()
    assert.same({ "allow@public:tcp,udp:53,443" },
      rules { action = "allow", destination = "public", protocol = "tcp", protocols = { "udp" }, port = 443,
        ports = { "53" } })
  end)

  it("has a list of destinations", function()
    assert.same({ "deny@a.example", "deny@.b.example" },
      rules { action = "deny", destination = { "a.example", ".b.example" } })
  end)

  it("used twice stands in both places", function()
    local rule = { action = "allow", destination = "public" }
    local list = lunette.compile { rules = { rule, rule } }:rules()
    assert.equal("rules[1]", list[1].origin)
    assert.equal("rules[2]", list[2].origin)
  end)
end)

describe("a rule on one line", function()
  local lines = {
    "allow@public:tcp:443", "deny:ingress@10.0.0.0/8", "allow@dns", "reject:any@*", "allow@domain(db):tcp:5432",
    "allow@.example.com:tcp,udp:80,443,8000-9000", "allow@2001:db8::/32:tcp:443", "allow@2001:db8::1", "deny@::1:udp",
    "allow@public:*:443", "allow@metadata:icmpv4,icmpv6", "allow@example.com",
  }

  for _, line in ipairs(lines) do
    it(line .. " is printed as it was read", function()
      assert.same({ line }, rules(line))
      assert.same({ line }, rules(lunette.rule(line)))
    end)
  end

  it("with a mistake is told as any other rule", function()
    assert.matches("rules%[1%].protocols%[1%]: unknown protocol", refusal { rules = { "allow@public:tpc:443" } })
    assert.matches("rules%[1%].ports%[1%]", refusal { rules = { "allow@public:tcp:99999" } })
    assert.matches("rules%[1%].action", refusal { rules = { "alow@public" } })
    assert.matches("rules%[1%]: it is not a rule", refusal { rules = { "allow public" } })
  end)
end)

describe("lists of rules", function()
  it("may hold lists, as profiles and shared parts do", function()
    local shared = { lunette.allow_dns(), "allow@public:tcp:443" }
    assert.same({ "deny@10.0.0.5", "allow@dns", "allow@public:tcp:443" }, rules(lunette.deny("10.0.0.5"), shared))
  end)

  it("with a hole are refused", function()
    local nothing = nil
    assert.matches("rules[2]: there is no rule here",
      refusal { rules = { "allow@dns", nothing, "allow@public" } }, 1, true)
  end)

  it("that contain themselves are refused", function()
    local list = {}
    list[1] = list
    assert.is_string(refusal { rules = list })
  end)
end)

describe("deny lists", function()
  it("come first; a suffix denies the name itself too", function()
    assert.same({ "deny@ads.example", "deny@tracker.example", "deny@.tracker.example", "allow@public" },
      texts { deny_domains = { "ads.example" }, deny_domain_suffixes = { ".tracker.example" },
        rules = { "allow@public" } })
  end)
end)

describe("presets", function()
  local expected = {
    ["none"] = { {}, "deny", "deny" },
    ["public-only"] = { { "allow@dns", "allow@public" }, "deny", "allow" },
    ["allow-all"] = { {}, "allow", "allow" },
    ["non-local"] = { { "allow@dns", "allow@public", "allow@private" }, "deny", "allow" },
  }

  for name, preset in pairs(expected) do
    it(name .. " is the same by name, as a file's `policy`, as a function and as a table", function()
      local as_function = lunette.policy[name:gsub("-", "_")]
      local policies = {
        lunette.load(name),
        support.load(("return { policy = %q }"):format(name)),
        lunette.compile { policy = name },
        lunette.compile(as_function()),
        support.load(("return require('lunette').policy.%s()"):format((name:gsub("-", "_")))),
      }
      for _, policy in ipairs(policies) do
        local list = {}
        for i, rule in ipairs(policy:rules()) do list[i] = rule.text end
        assert.same(preset[1], list)
        assert.equal(preset[2], policy:evaluate { address = "10.255.255.1", port = 1, protocol = "udp",
          host = "10.255.255.1" }.action)
        assert.equal(preset[3], policy:evaluate { direction = "ingress", address = "1.1.1.1", port = 1 }.action)
      end
    end)
  end

  it("beside rules or defaults are refused", function()
    for _, field in ipairs { "rules", "default_egress", "default_ingress" } do
      local config = { policy = "public-only", [field] = field == "rules" and {} or "allow" }
      assert.matches("a preset cannot stand beside `" .. field, refusal(config), 1, true)
    end
  end)

  it("misspelt are refused with the nearest", function()
    assert.matches('did you mean "public-only"', refusal { policy = "public_only" }, 1, true)
  end)

  it("can be changed by whoever calls for them", function()
    local config = lunette.policy.public_only()
    table.insert(config.rules, 1, lunette.deny("203.0.113.0/24"))
    assert.same({ "deny@203.0.113.0/24", "allow@dns", "allow@public" }, texts(config))
    assert.same({ "allow@dns", "allow@public" }, texts(lunette.policy.public_only()))
  end)
end)

describe("profiles", function()
  it("are put together in one order, DNS first", function()
    assert.same({ "allow@dns", "allow@public", "allow@private", "allow@host" },
      texts { rules = lunette.profiles { "host", "public", "private" } })
  end)

  it("can be the whole policy", function()
    assert.same({ "allow@dns", "allow@private" }, texts(lunette.profiles { "private" }))
    local policy = support.load("return require('lunette').profiles { 'public' }")
    assert.equal("deny", policy:evaluate { address = "10.0.0.1", port = 80 }.action)
    assert.equal("allow", policy:evaluate { address = "1.1.1.1", port = 80 }.action)
  end)

  it("that are not known are refused", function()
    assert.has_error(function() lunette.profiles { "pubic" } end)
    assert.has_error(function() lunette.profiles {} end)
  end)
end)

describe("an empty policy", function()
  it("denies all egress, DNS included", function()
    local policy = support.load("return {}")
    assert.equal("deny", policy:evaluate { address = "1.1.1.1", port = 443 }.action)
    assert.equal("deny", policy:evaluate_dns { name = "example.com" }.action)
    assert.equal("allow", policy:evaluate { direction = "ingress", address = "1.1.1.1", port = 443 }.action)
  end)

  it("with deny lists only is not widened by them", function()
    local policy = support.load("return { deny_domains = { 'ads.example' } }")
    assert.equal("deny", policy:evaluate_dns { name = "example.com" }.action)
  end)
end)
