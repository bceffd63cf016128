--- DNS over TLS through interception: what is asked inside is judged like any question, and goes on to the
--- resolver that the guest chose, where the policy allows that one.

local lab = require "tests.lab.lab"

local CLIENT = lab.file(".py", [[
import sys
import dns.message, dns.query, dns.rcode
where, server, *names = sys.argv[1:]
for name in names:
    try:
        answer = dns.query.tls(dns.message.make_query(name, "A"), where, timeout=5, server_hostname=server)
        print(name, dns.rcode.to_text(answer.rcode()), *(str(r) for rrset in answer.answer for r in rrset))
    except Exception as problem:
        print(name, type(problem).__name__)
]])

local function policy(rules, tls)
  return ([[local lunette = require "lunette"
return {
  rules = { %s },
  deny_domains = { "tracker.example" },
  tls = %s,
}]]):format(rules, tls or ('{ upstream_ca_certs = { "%s/ca.pem" } }'):format(lab.dir))
end

local ALLOWED = [[lunette.allow("dns.example"):tcp(853), lunette.allow(".example"):tcp(443),]]

local function ask(text, server, names)
  return lab.guest(text, ("getent ahostsv4 dns.example >/dev/null; /usr/bin/python3 %s 203.0.113.53 %s %s")
    :format(CLIENT, server, names))
end

describe("DNS over TLS", function()
  it("is answered by the resolver that the guest chose, name by name", function()
    local mark = lab.mark()
    local result = ask(policy(ALLOWED), "dns.example", "web.example tracker.example rebind.example elsewhere.test")
    assert.equal([[
web.example NOERROR 203.0.113.10
tracker.example NXDOMAIN
rebind.example NXDOMAIN
elsewhere.test NXDOMAIN
]], result.out, result.err)
    assert.equal(1, #lab.since("queries", mark, "tls 203.0.113.53 web.example"))
    assert.same({}, lab.since("queries", mark, "tracker"))
    assert.same({}, lab.since("queries", mark, "elsewhere"))
    assert.equal(1, lab.count_events(result.events, { kind = "dns_query", name = "web.example", port = 853 }))
    assert.equal(1, lab.count_events(result.events, { kind = "dns_denied", name = "tracker.example", port = 853 }))
    assert.equal(1, lab.count_events(result.events, { kind = "dns_rebind", name = "rebind.example", port = 853 }))
  end)

  it("pins what it answers, where a rule names the resolver", function()
    local text = policy(ALLOWED .. [[lunette.allow("198.51.100.9"):tcp(443),]])
    local result = lab.guest(text, ([[getent ahostsv4 dns.example >/dev/null
      /usr/bin/python3 %s 203.0.113.53 dns.example web.example
      curl -sS -m 10 --resolve web.example:443:203.0.113.10 -o /dev/null -w '%%{http_code}\n' https://web.example/]])
      :format(CLIENT))
    assert.equal("web.example NOERROR 203.0.113.10\n200\n", result.out, result.err)
  end)

  it("reaches no other resolver, nor one that shows another's certificate", function()
    local mark = lab.mark()
    local result = ask(policy(ALLOWED), "alt.example", "web.example") -- a name that is not pinned to it
    assert.equal(0, #lab.since("queries", mark, "tls"), result.out)
    assert.truthy(result.out:find "^web.example %a*Error" or result.out:find "^web.example %a*Reset", result.out)
    local by_address = [[lunette.allow("203.0.113.53"):tcp(853), lunette.allow(".example"),]]
    result = ask(policy(by_address), "203.0.113.53", "web.example")
    assert.equal(0, #lab.since("queries", mark, "tls"), result.out) -- the certificate is not for the address
    assert.equal(1, lab.count_events(result.events, { kind = "tls_error", reason = "name_mismatch" }))
  end)

  it("is refused where nothing is intercepted", function()
    local mark = lab.mark()
    local result = ask([[local lunette = require "lunette"
      return { rules = { lunette.allow("*") } }]], "dns.example", "web.example")
    assert.truthy(result.out:find "^web.example ConnectionRefused", result.out)
    assert.same({}, lab.since("packets", mark, "853"))
    assert.equal(1, lab.count_events(result.events, { kind = "flow_denied", reason = "dns_over_tls" }))
  end)
end)
