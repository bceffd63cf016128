--- A coding agent: its model, GitHub, and the package managers of the common languages.
---
---     lunette run policies/coding-agent.lua -- claude
---
--- What stays possible: whoever can push to GitHub or publish a package can send data there. Give the
--- agent tokens that can read only, or drop the hosts that it does not need; or see coding-agent-tokens.lua,
--- where it never holds a token, and can write to one repository only.

local lunette = require "lunette"
local hosts = require "hosts"

return {
  rules = {
    -- The model's API. Keep the one that the agent uses.
    lunette.allow { "api.anthropic.com", "api.openai.com", "generativelanguage.googleapis.com" }:tcp(443),

    -- Code. For git over SSH add :tcp(22) on "github.com".
    lunette.allow(hosts.github):tcp(443),

    -- Dependencies.
    lunette.allow(hosts.npm):tcp(443),
    lunette.allow(hosts.pypi):tcp(443),
    lunette.allow(hosts.cargo):tcp(443),
    lunette.allow(hosts.go):tcp(443),
    lunette.allow(hosts.apt):tcp(80, 443),
  },

  -- Raw gists: anybody's text, under a name that is allowed above.
  deny_domains = { "gist.githubusercontent.com" },

  default_egress = "deny",
  default_ingress = "deny",
  deny_mode = "reject",
  max_connections = 256,
}
