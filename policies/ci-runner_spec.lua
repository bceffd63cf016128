local reach = require "reach"
local support = require "support"

describe("ci-runner", function()
  local sandbox = reach.policy("ci-runner.lua")

  it("opens code, packages and images", function()
    for _, name in ipairs {
      "github.com", "api.github.com", "pkg-containers.githubusercontent.com", "auth.docker.io",
      "production.cloudflare.docker.com", "ghcr.io", "pypi.org", "www.npmjs.org", "static.rust-lang.org",
      "repo1.maven.org", "dl-cdn.alpinelinux.org",
    } do
      assert.equal("allow", sandbox:name(name, 443), name)
    end
  end)

  it("keeps everything else shut", function()
    assert.equal("nxdomain", sandbox:name("example.com", 443))
    assert.equal("nxdomain", sandbox:name("hooks.slack.com", 443))
    assert.equal("deny", sandbox:address("1.1.1.1", 443))
    assert.equal("deny", sandbox:name("github.com", 22))
    assert.equal("deny", sandbox:ingress("192.0.2.1", 8080))
  end)

  it("keeps the surroundings shut, the runner's own credentials above all", function()
    for _, port in ipairs { 80, 443 } do assert.is_true(reach.is_shut_in(sandbox, port)) end
    local d = sandbox.policy:evaluate { address = "169.254.169.254", port = 80 }
    assert.equal("rule", d.reason)
    assert.equal(1, d.rule)
  end)

  describe("with CI_CACHE", function()
    local path = debug.getinfo(1, "S").source:match("^@(.*/)") .. "ci-runner.lua"

    --- What `lunette match` says with the variable set.
    local function match(cache, ...)
      return support.lunette({ CI_CACHE = cache }, "match", path, ...)
    end

    it("opens this one address and port of the private network", function()
      assert.equal(0, match("10.20.0.7:8443", "egress tcp 10.20.0.7:8443").status)
      assert.equal(0, match("[fd00::7]:443", "egress tcp [fd00::7]:443").status)
      assert.equal(1, match("10.20.0.7:8443", "egress tcp 10.20.0.7:22").status)
      assert.equal(1, match("10.20.0.7:8443", "egress tcp 10.20.0.8:8443").status)
    end)

    it("cannot open cloud metadata", function()
      assert.equal(1, match("169.254.169.254:80", "egress tcp 169.254.169.254:80").status)
    end)

    it("is told when it is wrong", function()
      local result = match("10.20.0.7", "egress tcp 10.20.0.7:443")
      assert.equal(2, result.status)
      assert.matches("CI_CACHE: found 10.20.0.7; accepted: HOST:PORT", result.err, 1, true)
    end)
  end)
end)
