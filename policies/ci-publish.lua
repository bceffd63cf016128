--- A CI job that publishes one package, and can publish no other: the token is put in by lunette, and leaves it for
--- requests to this package's path only. A build script that was tampered with can neither take the token away nor
--- overwrite something else with it.
---
---     PACKAGE_TOKEN=... lunette run policies/ci-publish.lua -- ./publish.sh
---
--- with, in publish.sh, what would be there without lunette:
---
---     curl --fail -H "PRIVATE-TOKEN: $PACKAGE_TOKEN" -T tool.tar.gz "$PACKAGES/my-tool/1.2.0/tool.tar.gz"

local lunette = require "lunette"
local secrets = require "lunette.secrets"

-- Yours. A path ends with a slash before its star: "my-tool*" would be "my-tool-internal" as well.
local HOST = "gitlab.com"
local PACKAGE = "/api/v4/projects/1234/packages/generic/my-tool/*"

return {
  rules = {
    -- PUT makes a version; what is there is read with GET. DELETE and POST match no rule, so they are refused.
    lunette.allow(HOST):tcp(443):http { methods = { "GET", "HEAD", "PUT" }, path = PACKAGE },
  },

  -- In a header and nowhere else; whoever sends the placeholder to another host has something in mind, and is ended.
  secrets = {
    secrets.env("PACKAGE_TOKEN", HOST, {
      inject = { headers = true, basic_auth = false },
      on_violation = "block-and-terminate",
    }),
  },

  tls = {},
  default_egress = "deny",
  default_ingress = "deny",
  deny_mode = "reject",
}
