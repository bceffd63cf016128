--- lunette.secrets: secrets by where they come from.

local lunette = require "lunette"
local support = require "support"

local secrets = lunette.secrets

--- What a policy with this secret says is wrong with it; nil: nothing.
local function refusal(secret)
  local ok, problems = pcall(lunette.compile, { tls = {}, secrets = { secret } })
  return not ok and tostring(problems) or nil
end

describe("a secret", function()
  it("says where its value comes from and where it may go", function()
    assert.same({ env = "T", from_env = "T", allow_hosts = { "a.example" } }, secrets.env("T", "a.example"))
    assert.same({ env = "T", from_env = "V", allow_hosts = { "a.example", "b.example" }, require_tls = false },
      secrets.env("T", { "a.example", "b.example" }, { variable = "V", require_tls = false }))
    assert.same({ env = "T", from_file = "/x", allow_hosts = { "a.example" } }, secrets.file("T", "/x", "a.example"))
    assert.same({ env = "T", command = "x", allow_hosts = { "a.example" }, refresh_s = 9 },
      secrets.command("T", "x", "a.example", { refresh_s = 9 }))
    assert.same({ env = "T", value = "v", allow_hosts = { "*.a.example" } }, secrets.value("T", "v", "*.a.example"))
  end)

  it("is one that a policy takes", function()
    assert.is_nil(refusal(secrets.env("T", "a.example", { inject = { query = true } })))
    assert.is_nil(refusal(secrets.command("T", "x", { "a.example" }, { on_violation = "block" })))
    assert.matches("secrets%[1%]%.inejct: unknown key", refusal(secrets.env("T", "a.example", { inejct = {} })))
  end)

  it("is told to check when no rule lets it get where it may go", function()
    local function unreachable(rules, host, rest)
      local path = support.policy_file(([[local lunette = require "lunette"
return { tls = {}, rules = { %s }, secrets = { lunette.secrets.value("T", "v", %q) }, %s }]])
        :format(rules, host, rest or ""))
      return support.lunette("check", path).out:find("[secret-unreachable]", 1, true) ~= nil
    end
    for _, rules in ipairs { "", 'lunette.allow_dns()', 'lunette.allow("b.example"):tcp(443)',
      'lunette.allow(".a.example"):tcp(443)', 'lunette.deny("a.example")', 'lunette.allow("a.example"):udp(443)' } do
      assert.is_true(unreachable(rules, "a.example"), rules)
    end
    for _, rules in ipairs { 'lunette.allow("a.example"):tcp(443)', 'lunette.allow(".example"):tcp(443)',
      'lunette.allow("public"):tcp(443)' } do
      assert.is_false(unreachable(rules, "a.example"), rules)
    end
    assert.is_false(unreachable('lunette.allow("x.a.example"):tcp(443)', "*.a.example"))
    assert.is_false(unreachable('lunette.allow(".a.example"):tcp(443)', "*.a.example"))
    assert.is_true(unreachable('lunette.allow("a.example"):tcp(443)', "*.a.example"))
    assert.is_false(unreachable("", "a.example", 'default_egress = "allow"'))
  end)

  it("keeps the options it is given as they are", function()
    local options = { variable = "V" }
    secrets.env("T", "a.example", options)
    assert.same({ variable = "V" }, options)
  end)

  it("that lacks something tells what, where it is called", function()
    for message, call in pairs {
      ['secrets%.env%(%): the first argument is the guest\'s variable'] = function() secrets.env(nil, "a.example") end,
      ['secrets%.env%(%): the hosts that T may go to are missing'] = function() secrets.env("T") end,
      ['secrets%.file%(%): where T comes from is missing'] = function() secrets.file("T", nil, "a.example") end,
      ['secrets%.value%(%): where T comes from is missing'] = function() secrets.value("T", "", "a.example") end,
      ['secrets%.value%(%): T has its value from value already, not from `from_env`'] = function()
        secrets.value("T", "v", "a.example", { from_env = "T" })
      end,
      ['secrets%.file%(%): the hosts that T may go to are missing: a name'] = function()
        secrets.file("T", "/x", {})
      end,
      ['secrets%.env%(%): `allow_hosts` is an argument'] = function()
        secrets.env("T", "a.example", { allow_hosts = {} })
      end,
      ['secrets%.env%(%): what else T says is a table, not a string'] = function()
        secrets.env("T", "a.example", "b.example")
      end,
    } do
      local ok, found = pcall(call)
      assert.is_false(ok)
      assert.matches("secrets_spec%.lua:%d+: " .. message, found)
    end
  end)
end)
