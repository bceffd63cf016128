--- Package installs and nothing else: for building images, and for install scripts that one does not
--- trust to do anything but install.
---
---     lunette run policies/packages-only.lua -- npm ci

local lunette = require "lunette"
local hosts = require "hosts"

return {
  rules = {
    -- apt fetches over HTTP unless told otherwise; its packages are signed.
    lunette.allow(hosts.apt):tcp(80, 443),
    lunette.allow(hosts.apk):tcp(80, 443),
    lunette.allow(hosts.npm):tcp(443),
    lunette.allow(hosts.pypi):tcp(443),
    lunette.allow(hosts.cargo):tcp(443),
    lunette.allow(hosts.go):tcp(443),
    lunette.allow(hosts.rubygems):tcp(443),
    lunette.allow(hosts.maven):tcp(443),
  },
  default_egress = "deny",
  default_ingress = "deny",
  -- An installer that reaches for something else should fail at once and not wait.
  deny_mode = "reject",
}
