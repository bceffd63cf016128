--- lunette test --coverage policies/ci-publish_test.lua

local PACKAGE = "/api/v4/projects/1234/packages/generic/my-tool/1.2.0/tool.tar.gz"

local function to(method, path)
  return { name = "gitlab.com", port = 443, sni = "gitlab.com", method = method, path = path }
end

test("the job publishes its package", function()
  allows { to("PUT", PACKAGE), to("GET", PACKAGE) }
end)

test("it takes nothing back and publishes nothing else", function()
  denies { to("DELETE", PACKAGE), to("PUT", (PACKAGE:gsub("my%-tool", "other"))), to("GET", "/api/v4/user") }
  refuses { "github.com", "example.com" }
end)
