local reach = require "reach"

describe("one-api", function()
  local sandbox = reach.policy("one-api.lua")
  local API = "api.anthropic.com"

  it("opens the API to a client that names it", function() assert.equal("allow", sandbox:name(API, 443)) end)

  it("keeps it shut to a client that shows no name or another", function()
    sandbox:name(API, 443)
    local address = sandbox.pinned[API]
    assert.equal("deny", sandbox:address(address, 443))
    assert.equal("deny", sandbox.policy:evaluate { address = address, port = 443, sni = "evil.example" }.action)
    assert.equal("defer", sandbox.policy:evaluate { address = address, port = 443, sni = false }.action)
  end)

  it("keeps it shut to more than a few connections at once", function()
    local function with(flows)
      return sandbox.policy:evaluate { address = sandbox.pinned[API], port = 443, sni = API, flows = flows }.action
    end
    assert.equal("allow", with(16))
    assert.equal("deny", with(17))
  end)

  it("keeps everything else shut", function()
    for _, name in ipairs { "anthropic.com", "www.anthropic.com", "example.com", "api.anthropic.com.evil.example" } do
      assert.equal("nxdomain", sandbox:name(name, 443), name)
    end
    assert.equal("deny", sandbox:name(API, 80))
    assert.equal("deny", sandbox:name(API, 443, "udp"))
    assert.equal("deny", sandbox:address("1.1.1.1", 443))
    assert.is_true(reach.is_shut_in(sandbox, 443))
    assert.equal("deny", sandbox:ingress("192.0.2.1", 443))
  end)
end)
