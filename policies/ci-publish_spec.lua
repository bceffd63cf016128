local reach = require "reach"

describe("ci-publish", function()
  local sandbox = reach.policy("ci-publish.lua")
  local PACKAGE = "/api/v4/projects/1234/packages/generic/my-tool/"

  local function request(method, target) return sandbox:request("gitlab.com", method, target).action end

  it("publishes its own package", function()
    assert.equal("allow", request("PUT", PACKAGE .. "1.2.0/tool.tar.gz"))
    assert.equal("allow", request("PUT", PACKAGE .. "1.2.0/tool.tar.gz?status=hidden"))
    assert.equal("allow", request("GET", PACKAGE .. "1.2.0/tool.tar.gz"))
  end)

  it("takes nothing back, and touches nothing else", function()
    assert.equal("deny", request("DELETE", PACKAGE .. "1.2.0/tool.tar.gz"))
    assert.equal("deny", request("POST", "/api/graphql"))
    for _, target in ipairs {
      "/api/v4/projects/1234/packages/generic/my-tool-internal/1/x", "/api/v4/projects/99/packages/generic/my-tool/1/x",
      "/api/v4/projects/1234/variables", PACKAGE .. "../other/1/x", PACKAGE .. "%2e%2e/other/1/x",
      PACKAGE .. "..%2fother/1/x", PACKAGE:upper() .. "1/x", "/",
    } do
      assert.equal("deny", request("PUT", target), target)
      assert.equal("deny", request("GET", target), target)
    end
  end)

  it("is open for requests alone, and to one host", function()
    assert.equal("deny", sandbox.policy:evaluate {
      address = "203.0.113.1", port = 443, sni = "gitlab.com", http = false }.action)
    assert.equal("nxdomain", sandbox:name("github.com", 443))
    assert.equal("nxdomain", sandbox:name("about.gitlab.com", 443))
    assert.is_true(reach.is_shut_in(sandbox, 443))
  end)
end)
