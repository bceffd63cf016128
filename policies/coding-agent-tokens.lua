--- A coding agent with credentials that it never holds. It sees placeholders in its environment; lunette puts the
--- values into its requests to the hosts named here. It may read all of GitHub that the token may, and write to one
--- repository; nothing can be deleted.
---
---     export GITHUB_TOKEN=... ANTHROPIC_API_KEY=...
---     REPOSITORY=owner/name lunette run policies/coding-agent-tokens.lua -- claude
---
--- REPOSITORY may be left out: then nothing can be written. A request that no rule allows is answered with 403 and the
--- reason, which an agent reads like any other error.

local lunette = require "lunette"
local secrets = require "lunette.secrets"
local hosts = require "hosts"

local READ = { "GET", "HEAD" }

local packages = {}
for _, list in ipairs { hosts.npm, hosts.pypi, hosts.cargo, hosts.go } do
  table.move(list, 1, #list, #packages + 1, packages)
end

local rules = {
  -- The model. What carries no `:http` is not looked into beyond where secrets go.
  lunette.allow("api.anthropic.com"):tcp(443),

  -- Git over HTTPS: a fetch is a GET and a POST to git-upload-pack, a push a POST to git-receive-pack.
  lunette.allow("github.com"):tcp(443):http { methods = READ },
  lunette.allow("github.com"):tcp(443):http { methods = { "POST" }, path = "/*/git-upload-pack" },
  lunette.allow { "codeload.github.com", "raw.githubusercontent.com", "objects.githubusercontent.com" }:tcp(443)
    :http { methods = READ },

  -- The API. Its /graphql is a POST whatever it does, so it stays closed: ask for what you need under /repos.
  lunette.allow("api.github.com"):tcp(443):http { methods = READ },

  -- Dependencies. Who may reach them is decided by name; see `bypass` below.
  lunette.allow(packages):tcp(443),
}

local repository = env("REPOSITORY")
if repository then
  if not repository:match("^[%w._-]+/[%w._-]+$") then
    error("REPOSITORY: found " .. repository .. "; accepted: OWNER/NAME")
  end
  local api = "/repos/" .. repository
  for _, path in ipairs { "/" .. repository .. "/git-receive-pack", "/" .. repository .. ".git/git-receive-pack" } do
    table.insert(rules, lunette.allow("github.com"):tcp(443):http { methods = { "POST" }, path = path })
  end
  for _, path in ipairs { api .. "/pulls*", api .. "/issues*" } do
    table.insert(rules, lunette.allow("api.github.com"):tcp(443):http { methods = { "POST", "PATCH" }, path = path })
  end
end

return {
  rules = rules,

  -- The guest's variable, and where its value may go. What the guest has is a placeholder; one that is sent elsewhere
  -- is stopped, and told as a secret_violation in the events.
  secrets = {
    secrets.env("GITHUB_TOKEN", { "github.com", "api.github.com" }),
    secrets.env("ANTHROPIC_API_KEY", "api.anthropic.com"),
  },

  tls = {
    -- Passed on untouched: there is nothing to judge in a download, and clients that bring certificates of their own
    -- would not trust lunette's. Neither `:http` nor secrets work for such hosts.
    bypass = packages,
  },

  default_egress = "deny",
  default_ingress = "deny",
  deny_mode = "reject",
  max_connections = 256,
}
