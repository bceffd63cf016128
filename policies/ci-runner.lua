--- A CI job: code, packages and container images from outside, and perhaps one cache on the private
--- network. Cloud metadata, where a runner's own credentials lie, stays closed whatever else is opened.
---
---     CI_CACHE=10.20.0.7:443 lunette run policies/ci-runner.lua -- ./build.sh
---
--- CI_CACHE, if it is set, is the address or name of the cache, with a port.

local lunette = require "lunette"
local hosts = require "hosts"

local rules = {
  lunette.deny("metadata"),

  lunette.allow(hosts.github):tcp(443),
  lunette.allow(hosts.apt):tcp(80, 443),
  lunette.allow(hosts.apk):tcp(80, 443),
  lunette.allow(hosts.npm):tcp(443),
  lunette.allow(hosts.pypi):tcp(443),
  lunette.allow(hosts.cargo):tcp(443),
  lunette.allow(hosts.rustup):tcp(443),
  lunette.allow(hosts.go):tcp(443),
  lunette.allow(hosts.rubygems):tcp(443),
  lunette.allow(hosts.maven):tcp(443),
  lunette.allow(hosts.images):tcp(443),
}

local cache = env("CI_CACHE")
if cache then
  local host, port = cache:match("^(.+):(%d+)$")
  if not host then error("CI_CACHE: found " .. cache .. "; accepted: HOST:PORT, [IPV6]:PORT") end
  host = host:match("^%[(.+)%]$") or host
  rules[#rules + 1] = lunette.allow(host):tcp(port):name("the cache")
end

return {
  rules = rules,
  default_egress = "deny",
  default_ingress = "deny",
  -- A job that needs more than this should say so in its log, not run into its time limit.
  deny_mode = "reject",
  max_connections = 1024,
}
