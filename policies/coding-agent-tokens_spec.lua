local reach = require "reach"
local support = require "support"

describe("coding-agent-tokens", function()
  local sandbox = reach.policy("coding-agent-tokens.lua")
  local path = debug.getinfo(1, "S").source:match("^@(.*/)") .. "coding-agent-tokens.lua"

  --- What becomes of a request to a host: the action.
  local function request(name, method, target)
    return sandbox:request(name, method, target).action
  end

  --- The status of `lunette match` about a request, with REPOSITORY set.
  local function match(repository, host, line)
    return support.lunette({ REPOSITORY = repository }, "match", path, ("egress tcp %s:443"):format(host),
      "--sni", host, "--http", line)
  end

  it("opens the model and package managers whole", function()
    for _, name in ipairs { "api.anthropic.com", "pypi.org", "www.npmjs.org", "index.crates.io", "proxy.golang.org" } do
      assert.equal("allow", sandbox:name(name, 443), name)
      assert.is_falsy(sandbox:request(name, "POST", "/").inspect)
      assert.equal("allow", request(name, "POST", "/any"), name)
    end
  end)

  it("lets GitHub be read, over git and the API", function()
    for _, name in ipairs { "github.com", "api.github.com", "codeload.github.com", "raw.githubusercontent.com" } do
      assert.equal("allow", request(name, "GET", "/a/b"), name)
    end
    assert.equal("allow", request("github.com", "GET", "/a/b.git/info/refs?service=git-upload-pack"))
    assert.equal("allow", request("github.com", "POST", "/a/b.git/git-upload-pack"))
  end)

  it("lets nothing be written without REPOSITORY", function()
    for _, target in ipairs { "/repos/a/b", "/repos/a/b/pulls", "/graphql", "/a/git-upload-pack" } do
      for _, method in ipairs { "POST", "PUT", "PATCH", "DELETE" } do
        assert.equal("deny", request("api.github.com", method, target), method .. " " .. target)
      end
    end
    assert.equal("deny", request("github.com", "POST", "/a/b.git/git-receive-pack"))
    assert.equal("deny", request("github.com", "POST", "/a/b.git/git-upload-pack/../git-receive-pack"))
  end)

  it("opens one repository for pushes, pull requests and issues, and deletes nothing", function()
    assert.equal(0, match("me/mine", "github.com", "POST /me/mine.git/git-receive-pack").status)
    assert.equal(0, match("me/mine", "api.github.com", "POST /repos/me/mine/pulls").status)
    assert.equal(0, match("me/mine", "api.github.com", "PATCH /repos/me/mine/issues/7").status)
    assert.equal(1, match("me/mine", "github.com", "POST /me/other.git/git-receive-pack").status)
    assert.equal(1, match("me/mine", "api.github.com", "POST /repos/me/other/pulls").status)
    assert.equal(1, match("me/mine", "api.github.com", "POST /repos/me/mine/pulls/../../other/pulls").status)
    assert.equal(1, match("me/mine", "api.github.com", "PUT /repos/me/mine/pulls/7/merge").status)
    assert.equal(1, match("me/mine", "api.github.com", "DELETE /repos/me/mine").status)
  end)

  it("is told when REPOSITORY is wrong", function()
    local result = match("mine", "github.com", "GET /")
    assert.equal(2, result.status)
    assert.matches("REPOSITORY: found mine; accepted: OWNER/NAME", result.err, 1, true)
    assert.equal(2, match("*/*", "github.com", "GET /").status)
  end)

  it("keeps the rest shut", function()
    for _, name in ipairs { "gist.githubusercontent.com", "uploads.github.com", "example.com" } do
      assert.equal("nxdomain", sandbox:name(name, 443), name)
    end
    for _, port in ipairs { 80, 443 } do assert.is_true(reach.is_shut_in(sandbox, port)) end
    assert.equal("deny", sandbox:name("github.com", 80))
    assert.equal("deny", sandbox:ingress("192.0.2.1", 3000))
  end)
end)
