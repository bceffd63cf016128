local reach = require "reach"

describe("local-model", function()
  local sandbox = reach.policy("local-model.lua")

  it("opens the model's port of the host", function()
    assert.equal("allow", sandbox:address("172.16.0.1", 11434))
    assert.equal("allow", sandbox:address("fd42:6d73:62::1", 11434))
    assert.equal("allow", sandbox.policy:evaluate_dns { name = "host.lunette.internal" }.action)
  end)

  it("keeps every other port of the host shut", function()
    for _, port in ipairs { 22, 53, 80, 443, 11433, 11435 } do assert.is_true(reach.is_shut_in(sandbox, port)) end
    assert.equal("deny", sandbox:address("172.16.0.1", 11434, "udp"))
  end)

  it("keeps all networks shut, and other names from being resolved", function()
    assert.equal("nxdomain", sandbox:name("example.com", 443))
    for _, address in ipairs { "1.1.1.1", "2606:4700::1111", "10.0.0.1", "169.254.169.254", "127.0.0.1" } do
      assert.equal("deny", sandbox:address(address, 11434), address)
    end
    assert.equal("deny", sandbox:ingress("192.0.2.1", 11434))
  end)
end)
