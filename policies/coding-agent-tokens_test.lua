--- lunette test --coverage policies/coding-agent-tokens_test.lua

--- A request as the agent makes it.
local function to(host, method, path)
  return { name = host, port = 443, sni = host, method = method, path = path }
end

test("the agent reads GitHub, over git and the API", function()
  allows {
    to("github.com", "GET", "/owner/name.git/info/refs?service=git-upload-pack"),
    to("github.com", "POST", "/owner/name.git/git-upload-pack"),
    to("api.github.com", "GET", "/repos/owner/name"), to("raw.githubusercontent.com", "GET", "/owner/name/main/file"),
  }
end)

test("it writes and deletes nothing", function()
  denies {
    to("api.github.com", "DELETE", "/repos/owner/name"), to("api.github.com", "POST", "/graphql"),
    to("github.com", "POST", "/owner/name.git/git-receive-pack"),
  }
end)

test("the model and packages are open", function()
  allows { to("api.anthropic.com", "POST", "/v1/messages"), { name = "pypi.org", port = 443 } }
  refuses { "example.com", "gist.githubusercontent.com" }
end)
