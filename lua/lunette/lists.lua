--- Lists of destinations that policies name again and again.

local M = {}

--- Public resolvers that answer over HTTPS, TLS or QUIC, by name and by address: with lunette answering port 53, they
--- are what is left of a way to resolve names without being asked about them. A rule by name catches a client that
--- resolves or shows the name, one by address those that have the address built in. Only addresses that serve DNS
--- alone are here, not those of content networks that a resolver shares with others.
---
---     rules = { lunette.deny(lunette.lists.doh), lunette.allow_dns(), lunette.allow("public") }
---@type string[]
M.doh = {
  -- Cloudflare
  "one.one.one.one", "cloudflare-dns.com", ".cloudflare-dns.com", ".cloudflare-gateway.com", "1.1.1.1", "1.0.0.1",
  "1.1.1.2", "1.0.0.2", "1.1.1.3", "1.0.0.3", "2606:4700:4700::/112",
  -- Google
  "dns.google", ".dns.google", "dns.google.com", "8.8.8.8", "8.8.4.4", "2001:4860:4860::8888", "2001:4860:4860::8844",
  "2001:4860:4860::64", "2001:4860:4860::6464",
  -- Quad9
  "dns.quad9.net", "dns9.quad9.net", "dns10.quad9.net", "dns11.quad9.net", "dns12.quad9.net", "dns-nosec.quad9.net",
  "9.9.9.9", "9.9.9.10", "9.9.9.11", "9.9.9.12", "149.112.112.0/24", "2620:fe::/48",
  -- OpenDNS, Umbrella
  "dns.opendns.com", "doh.opendns.com", "doh.familyshield.opendns.com", "doh.sandbox.opendns.com", "dns.umbrella.com",
  "doh.umbrella.com", "208.67.222.222", "208.67.220.220", "208.67.222.220", "208.67.220.222", "208.67.222.123",
  "208.67.220.123", "208.67.222.2", "208.67.220.2", "146.112.41.2", "146.112.41.3", "2620:119:35::/48",
  "2620:119:53::/48",
  -- AdGuard
  "dns.adguard.com", "dns-family.adguard.com", "dns-unfiltered.adguard.com", "adguard-dns.com", ".adguard-dns.com",
  "94.140.14.0/24", "94.140.15.0/24", "2a10:50c0::/32",
  -- NextDNS, Control D, CleanBrowsing
  "dns.nextdns.io", ".dns.nextdns.io", "anycast.dns.nextdns.io", "doh.nextdns.io", "45.90.28.0/24", "45.90.30.0/24",
  "2a07:a8c0::/32", "2a07:a8c1::/32", "freedns.controld.com", "dns.controld.com", ".dns.controld.com", "76.76.2.0/24",
  "76.76.10.0/24", "2606:1a40::/47", "doh.cleanbrowsing.org", ".cleanbrowsing.org", "185.228.168.0/24",
  "185.228.169.0/24",
  -- Mullvad, Applied Privacy, Digitale Gesellschaft, LibreDNS, SWITCH, CZ.NIC, dns0.eu, DNS4EU, Wikimedia, Njalla
  "dns.mullvad.net", ".dns.mullvad.net", "doh.mullvad.net", "194.242.2.0/24", "2a07:e340::/112",
  "doh.applied-privacy.net", "dot1.applied-privacy.net", "dns.digitale-gesellschaft.ch", "doh.libredns.gr",
  "dns.switch.ch", "odvr.nic.cz", "dns0.eu", ".dns0.eu", "193.110.81.0/24", "185.253.5.0/24", ".joindns4.eu",
  "86.54.11.0/24", "wikimedia-dns.org", "185.71.138.138", "dns.njal.la", "95.215.19.53", "dnsforge.de",
  "doh.ffmuc.net", "dot.ffmuc.net", "doh.li", "doh.tiar.app", "jp.tiar.app", "doh.dns.sb", "dot.sb", "dns.sb",
  "185.222.222.222", "45.11.45.11",
  -- AliDNS, DNSPod, 360, Quad101, IIJ, Yandex, Comss
  "dns.alidns.com", "223.5.5.5", "223.6.6.6", "2400:3200::1", "2400:3200:baba::1", "doh.pub", "dot.pub", "dns.pub",
  "1.12.12.12", "120.53.53.53", "119.29.29.29", "doh.360.cn", "dot.360.cn", "dns.twnic.tw", "101.101.101.101",
  "101.102.103.104", "public.dns.iij.jp", "common.dot.dns.yandex.net", "safe.dot.dns.yandex.net",
  "family.dot.dns.yandex.net", "77.88.8.0/24", "dns.comss.one",
  -- Hurricane Electric, and access networks that browsers upgrade to
  "ordns.he.net", "74.82.42.42", "2001:470:20::2", "doh.xfinity.com", "dot.xfinity.com", "doh-01.spectrum.com",
  "doh-02.spectrum.com", "doh.cox.net", "dot.cox.net",
}

return M
