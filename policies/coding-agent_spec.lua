local reach = require "reach"

describe("coding-agent", function()
  local sandbox = reach.policy("coding-agent.lua")

  it("opens models, GitHub and package managers", function()
    for _, name in ipairs {
      "api.anthropic.com", "api.openai.com", "generativelanguage.googleapis.com", "github.com", "api.github.com",
      "codeload.github.com", "raw.githubusercontent.com", "objects.githubusercontent.com", "www.npmjs.org", "pypi.org",
      "files.pythonhosted.org", "index.crates.io", "proxy.golang.org", "ftp.debian.org",
    } do
      assert.equal("allow", sandbox:name(name, 443), name)
    end
    assert.equal("allow", sandbox:name("ftp.debian.org", 80))
  end)

  it("keeps other names from being resolved: DNS is no way out", function()
    for _, name in ipairs {
      "gist.githubusercontent.com", "gist.github.com", "pastebin.com", "example.com", "secret.evil.example",
      "github.com.evil.example", "notgithub.com", "storage2.googleapis.com",
    } do
      assert.equal("nxdomain", sandbox:name(name, 443), name)
    end
  end)

  it("denies raw gists even at an address that is open for another name", function()
    local address = "203.0.113.200"
    sandbox.policy:pin("raw.githubusercontent.com", address)
    local function shown(sni) return sandbox.policy:evaluate { address = address, port = 443, sni = sni } end
    assert.equal("allow", shown("raw.githubusercontent.com").action)
    assert.equal("deny_domain", shown("gist.githubusercontent.com").reason)
    assert.equal("deny", shown("evil.example").action)
  end)

  it("opens TLS ports only", function()
    assert.equal("deny", sandbox:name("github.com", 80))
    assert.equal("deny", sandbox:name("github.com", 22))
    assert.equal("deny", sandbox:name("api.anthropic.com", 443, "udp"))
    assert.equal("deny", sandbox:address("140.82.112.5", 443))
  end)

  it("keeps the surroundings shut, and lets nobody in", function()
    for _, port in ipairs { 22, 53, 80, 443, 11434 } do assert.is_true(reach.is_shut_in(sandbox, port)) end
    assert.equal("deny", sandbox:ingress("192.0.2.1", 3000))
  end)
end)
