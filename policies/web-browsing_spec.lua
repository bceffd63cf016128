local reach = require "reach"

describe("web-browsing", function()
  local sandbox = reach.policy("web-browsing.lua")

  it("opens the public web by any name, over TCP and QUIC", function()
    for _, name in ipairs { "example.com", "www.wikipedia.org", "a.b.c.example" } do
      assert.equal("allow", sandbox:name(name, 80), name)
      assert.equal("allow", sandbox:name(name, 443), name)
      assert.equal("allow", sandbox:name(name, 443, "udp"), name)
    end
    assert.equal("allow", sandbox:address("2606:4700::1111", 443))
  end)

  it("keeps other ports and protocols shut", function()
    for _, port in ipairs { 22, 25, 53, 853, 3306, 8080 } do
      assert.equal("deny", sandbox:name("example.com", port), port)
    end
    assert.equal("deny", sandbox:name("example.com", 80, "udp"))
    assert.equal("deny", sandbox:address("1.1.1.1", nil, "icmpv4"))
  end)

  it("lets DNS go to the gateway only", function()
    assert.equal("allow", sandbox:address("172.16.0.1", 53, "udp"))
    assert.equal("deny", sandbox:address("8.8.8.8", 53, "udp"))
  end)

  it("keeps resolvers over HTTPS shut: by DNS, by the name shown, by address", function()
    for _, name in ipairs { "dns.google", "mozilla.cloudflare-dns.com", "cloudflare-dns.com", "abc.dns.nextdns.io" } do
      assert.equal("nxdomain", sandbox:name(name, 443), name)
      local d = sandbox.policy:evaluate { address = "8.8.8.8", port = 443, sni = name }
      assert.equal("deny", d.action, name)
    end
    sandbox.policy:pin("dns.google", "8.8.4.4")
    assert.equal("deny", sandbox:address("8.8.4.4", 443))
  end)

  it("keeps the surroundings shut, also from answers that point there", function()
    for _, port in ipairs { 22, 80, 443, 8080 } do assert.is_true(reach.is_shut_in(sandbox, port)) end
    for _, address in ipairs { "10.0.0.1", "192.168.1.1", "127.0.0.1", "169.254.169.254", "fd00::1" } do
      assert.equal("deny", sandbox.policy:evaluate_answer { name = "x.example", address = address }.action, address)
    end
    assert.equal("deny", sandbox:ingress("192.0.2.1", 443))
  end)
end)
