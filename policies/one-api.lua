--- Air-gapped but for one API: for a plugin, or for code that may ask a model and nothing else.
---
---     lunette run policies/one-api.lua -- ./plugin

local lunette = require "lunette"

local API = "api.anthropic.com"

return {
  rules = {
    lunette.allow(API):tcp(443):when(function(flow)
      -- The API's addresses may belong to a CDN that serves others too: a client that shows no name
      -- could mean any of them. And a plugin that needs many connections at once is up to something.
      return flow.sni == API and flow.flows <= 16
    end),
  },
  default_egress = "deny",
  default_ingress = "deny",
}
