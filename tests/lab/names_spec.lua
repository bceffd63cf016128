--- Names: what DNS lets out, what an allow for a name opens, and what a claimed name cannot.

local lab = require "tests.lab.lab"

local CA = lab.dir .. "/ca.pem"
local CURL = "curl -sS -m 5 --cacert " .. CA .. " "

--- A policy of rules, DNS allowed.
local function policy(rules, rest)
  return ("local lunette = require 'lunette'\nreturn { rules = { %s }, %s }"):format(rules, rest or "")
end

describe("DNS", function()
  it("answers for an allowed name and sends nothing for a denied one, whatever the type, case or transport", function()
    local mark = lab.mark()
    local result = lab.guest(policy "lunette.allow('web.example'):tcp(443)", [[
      getent ahostsv4 web.example >/dev/null && echo allowed
      for name in tracker.example TRACKER.example tracker.example. sub.tracker.example; do
        getent ahosts $name && echo leaked
      done
      /usr/bin/python3 - <<'PY'
import dns.message, dns.query, dns.rcode, socket
gateway = [l.split()[1] for l in open("/etc/resolv.conf") if l.startswith("nameserver")][0]
for kind in ("A", "AAAA", "TXT", "MX", "HTTPS", "NS", "CNAME", "PTR", "SRV", "DNSKEY", "TYPE65400"):
    for ask in (dns.query.udp, dns.query.tcp):
        reply = ask(dns.message.make_query("tracker.example", kind), gateway, timeout=3)
        assert reply.rcode() == dns.rcode.NXDOMAIN, (kind, reply)
print("NXDOMAIN for all")
# another resolver, named by the guest, is no way round
for resolver in ("203.0.113.53", "203.0.113.55"):
    reply = dns.query.udp(dns.message.make_query("tracker.example", "A"), resolver, timeout=3)
    assert reply.rcode() == dns.rcode.NXDOMAIN, reply
print("NXDOMAIN from elsewhere")
PY]])
    assert.equal(0, result.status, result.err)
    assert.matches("allowed", result.out)
    assert.matches("NXDOMAIN for all", result.out)
    assert.matches("NXDOMAIN from elsewhere", result.out)
    assert.not_matches("leaked", result.out)
    assert.is_true(#lab.since("queries", mark, "web.example") > 0)
    assert.same({}, lab.since("queries", mark, "tracker"))
    assert.is_true(lab.count_events(result.events, { kind = "dns_denied", name = "tracker.example" }) >= 24)
  end)

  it("turns answers with addresses that are not public into NXDOMAIN", function()
    local names = { "rebind", "rebind-cgn", "rebind-loopback", "rebind-zero", "rebind-mapped", "rebind-nat64",
      "rebind-metadata", "rebind-mixed", "hints-private" }
    local script = [[/usr/bin/python3 - <<'PY'
import dns.message, dns.query, dns.rcode
gateway = [l.split()[1] for l in open("/etc/resolv.conf") if l.startswith("nameserver")][0]
for name in "%s".split():
    for kind in ("A", "AAAA", "HTTPS"):
        reply = dns.query.udp(dns.message.make_query(name + ".example", kind), gateway, timeout=3)
        print(name, kind, dns.rcode.to_text(reply.rcode()), len(reply.answer))
reply = dns.query.udp(dns.message.make_query("hints.example", "HTTPS"), gateway, timeout=3)
print("hints", dns.rcode.to_text(reply.rcode()), reply.answer[0].to_text())
PY]]
    local result = lab.guest("public-only", script:format(table.concat(names, " ")))
    assert.equal(0, result.status, result.err)
    for _, line in ipairs {
      "rebind A NXDOMAIN 0", "rebind AAAA NXDOMAIN 0", "rebind HTTPS NOERROR 0", "rebind-cgn A NXDOMAIN 0",
      "rebind-loopback A NXDOMAIN 0", "rebind-loopback AAAA NXDOMAIN 0", "rebind-zero A NXDOMAIN 0",
      "rebind-mapped AAAA NXDOMAIN 0", "rebind-nat64 AAAA NXDOMAIN 0", "rebind-metadata A NXDOMAIN 0",
      "rebind-mixed A NXDOMAIN 0", "hints-private HTTPS NXDOMAIN 0",
    } do
      assert.is_truthy(result.out:find(line, 1, true), line .. " not in\n" .. result.out)
    end
    assert.matches("hints NOERROR .*ipv4hint", result.out)
    assert.not_matches("ech=", result.out)
    assert.is_true(lab.count_events(result.events, { kind = "dns_rebind", name = "rebind.example" }) >= 2)
  end)

  it("gives an answer with a private address where an address rule allows that", function()
    local rules = "lunette.allow_dns(), lunette.allow('rebind.example'), lunette.allow('10.9.0.0/24')"
    local result = lab.guest(policy(rules),
      "getent ahostsv4 rebind.example; curl -sS -m 3 http://rebind.example/")
    assert.matches("10%.9%.0%.10 port 80 for rebind.example", result.out)
  end)

  it("gets a long answer over TCP, and fails over from a resolver that refuses or is silent", function()
    local ask = [[/usr/bin/python3 - <<'PY'
import dns.message, dns.query, dns.flags
gateway = [l.split()[1] for l in open("/etc/resolv.conf") if l.startswith("nameserver")][0]
query = dns.message.make_query("big.example", "TXT")
short = dns.query.udp(query, gateway, timeout=8)
long = dns.query.tcp(query, gateway, timeout=8)
print("truncated" if short.flags & dns.flags.TC else "whole", len(short.to_wire()) <= 512, len(long.answer[0]))
PY]]
    for _, servers in ipairs {
      "'203.0.113.53'", "'203.0.113.54', '203.0.113.53'", "'203.0.113.54:5353', '203.0.113.55:53'",
    } do
      local result = lab.guest(policy("lunette.allow_dns()", ("dns = { nameservers = { %s } }"):format(servers)), ask)
      assert.matches("truncated True 12", result.out, servers .. result.err)
    end
  end)

  it("ends a query that nobody answers, with SERVFAIL", function()
    local impatient = policy("lunette.allow_dns()", "dns = { query_timeout_ms = 500 }")
    local result = lab.guest(impatient, [[/usr/bin/python3 - <<'PY'
import dns.message, dns.query, dns.rcode, time
gateway = [l.split()[1] for l in open("/etc/resolv.conf") if l.startswith("nameserver")][0]
start = time.monotonic()
reply = dns.query.udp(dns.message.make_query("silent.example", "A"), gateway, timeout=5)
print(dns.rcode.to_text(reply.rcode()), time.monotonic() - start < 2)
PY]])
    assert.matches("SERVFAIL True", result.out, result.err)
  end)
end)

describe("an allow for a name", function()
  it("opens that name at its address, and no other name, address or port", function()
    local mark = lab.mark()
    local result = lab.guest(policy "lunette.allow('web.example'):tcp(443)", CURL .. [[https://web.example/ ||
        echo refused web
      # the same address by another name
      ]] .. CURL .. [[--resolve other.example:443:203.0.113.10 https://other.example/ && echo opened other
      # another address by a forged name
      ]] .. CURL .. [[--resolve web.example:443:203.0.113.13 https://web.example/ && echo opened forged
      # another port, plain HTTP, the bare address
      ]] .. CURL .. [[https://web.example:8443/ && echo opened port
      ]] .. CURL .. [[http://web.example/ && echo opened http
      ]] .. CURL .. [[-k https://203.0.113.10/ && echo address without a name, pinned
      true]])
    assert.equal(0, result.status)
    assert.matches("port 443 for web.example", result.out)
    assert.not_matches("refused web", result.out)
    assert.not_matches("opened", result.out)
    assert.same({}, lab.since("packets", mark, "203.0.113.13"))
    assert.same({}, lab.since("packets", mark, "203.0.113.10 80"))
    assert.same({}, lab.since("packets", mark, "203.0.113.10 8443"))
  end)

  it("opens nothing where the sandbox did not resolve it", function()
    local mark = lab.mark()
    local outcomes = lab.probe(policy "lunette.allow('web.example'):tcp(443)",
      { "tcp 203.0.113.10 443 sni web.example" })
    assert.not_equal("open", outcomes[1])
    assert.same({}, lab.since("packets", mark, "203.0.113.10"))
  end)

  it("follows CNAMEs, round robin and both families", function()
    local rules = "lunette.allow('cdn.example'), lunette.allow('rr.example'), lunette.allow('web.example')"
    local result = lab.guest(policy(rules),
      CURL .. "https://cdn.example/; for i in 1 2 3 4 5 6; do " .. CURL .. "https://rr.example/; done; " ..
      CURL .. "-4 https://web.example/; " .. CURL .. "-6 https://web.example/")
    local _, answers = result.out:gsub("port 443 for", "")
    assert.equal(9, answers, result.out .. result.err)
    assert.matches("2001:db8:1::10 port 443", result.out)
  end)

  it("lets a server speak first", function()
    local result = lab.guest(policy "lunette.allow('ssh.example'):tcp(22)",
      "(sleep 0.3; echo me; sleep 0.5) | timeout 5 nc ssh.example 22")
    assert.matches("SSH%-2%.0%-lab", result.out, result.err)
    assert.matches("hello me", result.out)
  end)

  it("holds for every name below a suffix, and not for its apex", function()
    local result = lab.guest(policy "lunette.allow('.many.example')", CURL ..
      "https://a.many.example/; " .. CURL .. "https://b.c.many.example/ -k; " ..
      "getent hosts many.example && echo apex; true")
    assert.matches("for a.many.example", result.out, result.err)
    assert.matches("for b.c.many.example", result.out, result.err)
    assert.not_matches("apex", result.out)
  end)
end)

describe("a denied name", function()
  local DENY = policy("lunette.allow_dns(), lunette.allow('public')", "deny_domains = { 'tracker.example' }")

  it("is refused by DNS, along a CNAME, by SNI at an address never resolved, by Host, and by pin", function()
    local mark = lab.mark()
    local result = lab.guest(DENY, [[
      getent ahosts tracker.example && echo resolved tracker
      getent ahosts alias.example && echo resolved alias
      ]] .. CURL .. [[--resolve tracker.example:443:203.0.113.77 https://tracker.example/ && echo opened sni
      ]] .. CURL .. [[--resolve tracker.example:80:203.0.113.78 http://tracker.example/ && echo opened host
      ]] .. CURL .. [[https://web.example/ && echo control]])
    assert.matches("control", result.out, result.err)
    assert.not_matches("resolved", result.out)
    assert.not_matches("opened", result.out)
    assert.same({}, lab.since("queries", mark, "tracker.example"))
    -- the connection may have been made before the name was seen, but not a byte of it was passed on
    assert.same({}, lab.since("streams", mark, "request tracker"))
    assert.is_true(#lab.since("streams", mark, "request web.example") > 0)
    assert.is_true(lab.count_events(result.events, { kind = "flow_denied", name = "tracker.example" }) >= 2)
  end)
end)
