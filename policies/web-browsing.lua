--- A browser: the whole public web, and nothing of the networks around the machine.
---
---     lunette run policies/web-browsing.lua -- chromium
---
--- Private networks, the machine itself, cloud metadata and multicast are in no rule, and DNS answers
--- that point there do not reach the browser (dns.rebind_protection is on unless switched off).

local lunette = require "lunette"

return {
  rules = {
    lunette.allow_dns(),
    lunette.allow("public"):tcp(80, 443),
    lunette.allow("public"):udp(443), -- HTTP/3
  },

  -- Resolvers over HTTPS: names asked for there could not be denied here, and would be resolved without
  -- rebind protection.
  deny_domains = { "dns.google", "one.one.one.one", "dns.quad9.net", "doh.opendns.com", "dns.adguard-dns.com" },
  deny_domain_suffixes = { "cloudflare-dns.com", "nextdns.io", "controld.com" },

  default_egress = "deny",
  default_ingress = "deny",
  max_connections = 1024,
}
