local reach = require "reach"

describe("packages-only", function()
  local sandbox = reach.policy("packages-only.lua")

  it("opens what package managers fetch from", function()
    for _, name in ipairs {
      "www.npmjs.org", "any.yarnpkg.com", "nodejs.org", "pypi.org", "files.pythonhosted.org", "index.crates.io",
      "static.crates.io", "proxy.golang.org", "sum.golang.org", "rubygems.org", "repo.maven.apache.org",
      "services.gradle.org",
    } do
      assert.equal("allow", sandbox:name(name, 443), name)
      assert.equal("deny", sandbox:name(name, 80), name)
    end
    for _, name in ipairs {
      "ftp.debian.org", "archive.ubuntu.com", "de.archive.ubuntu.com", "dl-cdn.alpinelinux.org",
    } do
      assert.equal("allow", sandbox:name(name, 80), name)
      assert.equal("allow", sandbox:name(name, 443), name)
    end
  end)

  it("keeps every other name from being resolved", function()
    for _, name in ipairs {
      "github.com", "example.com", "npmjs.org", "debian.org", "evilpypi.org", "pypi.org.evil.example", "a.pypi.org",
      "data-in-a-name.evil.example",
    } do
      assert.equal("nxdomain", sandbox:name(name, 443), name)
    end
  end)

  it("keeps addresses shut that were not resolved, and other ports and protocols", function()
    assert.equal("deny", sandbox:address("1.1.1.1", 443))
    assert.equal("deny", sandbox:address("8.8.8.8", 53, "udp"))
    assert.equal("deny", sandbox:name("pypi.org", 22))
    assert.equal("deny", sandbox:name("pypi.org", 443, "udp"))
    assert.equal("deny", sandbox:address("1.1.1.1", nil, "icmpv4"))
  end)

  it("does not open one name's address for another", function()
    sandbox:name("pypi.org", 443)
    assert.equal("deny", sandbox.policy:evaluate { address = sandbox.pinned["pypi.org"], port = 443,
      sni = "evil.example" }.action)
  end)

  it("keeps the surroundings shut, and lets nobody in", function()
    assert.is_true(reach.is_shut_in(sandbox, 443))
    assert.is_true(reach.is_shut_in(sandbox, 80))
    assert.equal("deny", sandbox:ingress("192.0.2.1", 8080))
  end)
end)
