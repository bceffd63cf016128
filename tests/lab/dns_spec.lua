--- DNS against a guest that means harm, and against the network: nothing about a denied name leaves, whatever it
--- looks like; answers are kept, shared and believed only as they should be.

local lab = require "tests.lab.lab"

local function policy(rules, rest)
  return ("local lunette = require 'lunette'\nreturn { rules = { %s }, %s }"):format(rules, rest or "")
end

--- Runs Python in a guest, with dnspython and `gateway` at hand; each must print "done" at its end.
local function python(text, script, options)
  local prelude = [[
import dns.flags, dns.message, dns.query, dns.rcode, socket, struct, threading, time
gateway = [l.split()[1] for l in open("/etc/resolv.conf") if l.startswith("nameserver")][0]
def ask(name, kind="A", to=None, timeout=5, over=dns.query.udp, **rest):
    return over(dns.message.make_query(name, kind, **rest), to or gateway, timeout=timeout)
]]
  local command = ("/usr/bin/python3 - <<'PY'\n%s%s\nprint('done')\nPY"):format(prelude, script)
  local result = lab.guest(text, command, options)
  assert.matches("done", result.out, nil, true, result.err)
  return result
end

describe("a denied name", function()
  local DENIED = policy("lunette.allow_dns(), lunette.allow('public')", "deny_domain_suffixes = { 'tracker.example' }")

  it("makes no packet leave, whatever the type, transport, resolver, case, dot or encoding", function()
    local mark = lab.mark()
    python(DENIED, "assert len(ask('web.example').answer) == 1") -- a packet would be seen
    assert.is_true(#lab.since("packets", mark, "53") > 0)
    assert.is_true(#lab.since("queries", mark, "web.example A") > 0)

    mark = lab.mark()
    local result = python(DENIED, [[
names = ["tracker.example", "TRACKER.Example", "tracker.example.", "data.tracker.example", "a.b.c.tracker.example"]
resolvers = [gateway, "203.0.113.53", "203.0.113.55", "198.51.100.1", "2001:db8:1::53"]
for name in names:
    for kind in ("A", "AAAA", "TXT", "HTTPS", "TYPE65400"):
        for to in resolvers:
            for over in (dns.query.udp, dns.query.tcp):
                reply = ask(name, kind, to, over=over, use_edns=0, want_dnssec=True)
                assert reply.rcode() == dns.rcode.NXDOMAIN, (name, kind, to, reply)

name = b"\x07tracker\x07example\0"
odd = [b"\x04d\x00ta" + name, b"\x03\xff\xfe\xfd" + name, b"\x06a.b\\\"c" + name, b"\x3f" + b"x" * 63 + name]
question = lambda wire, kind=1, klass=1: wire + struct.pack("!HH", kind, klass)
message = lambda flags, counts, body: struct.pack("!HHHHHH", 7, flags, *counts) + body
raw = [message(0x100, (1, 0, 0, 0), question(wire)) for wire in odd]
raw += [message(0x100, (2, 0, 0, 0), question(b"\x03web\x07example\0") + question(name))]  # two questions
raw += [message(0x100, (1, 0, 0, 0), question(b"\xc0\x12") + name)]                        # a pointer for a name
subnet = b"\0\0\x29\x10\0\0\0\0\0\0\x0c\0\x08\0\x08\0\x01\x20\0\x01\x02\x03\x04"
raw += [message(0x100, (1, 0, 0, 1), question(name) + subnet)]
raw += [message(0x100, (1, 0, 0, 0), question(name) + b"trailing")]
raw += [message(0x100, (1, 0, 0, 0), question(name, kind, klass))
        for kind, klass in ((255, 1), (252, 1), (1, 3), (1, 255), (1, 254))]
raw += [message(flags, (1, 0, 0, 0), question(name)) for flags in (0x2800, 0x2000, 0x0800, 0x8180, 0x0110, 0x0000)]
raw += [message(0x2800, (1, 0, 1, 0),
                question(b"\x07example\0", 6) + name + struct.pack("!HHIH", 1, 1, 60, 4) + b"abcd")]
for to in resolvers[:4]:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for wire in raw:
        sock.sendto(wire, (to, 53))
    stream = socket.create_connection((to, 53), timeout=5)
    for wire in raw[:-1]:
        stream.sendall(struct.pack("!H", len(wire)) + wire)
    for byte in struct.pack("!H", len(raw[0])) + raw[0]:
        stream.sendall(bytes([byte]))
    stream.close()
# where names are resolved beside port 53
for port in (5353, 5355, 137, 138, 853):
    for to in ("203.0.113.53", "198.51.100.1", "224.0.0.251", "224.0.0.252", "172.16.0.3"):
        try:
            sock.sendto(raw[-1], (to, port))
        except OSError:
            pass
time.sleep(0.5)
]], { seconds = 120 })
    assert.same({}, lab.since("queries", mark, ""))
    assert.same({}, lab.since("packets", mark, ""))
    assert.is_true(lab.count_events(result.events, { kind = "dns_denied" }) > 250)
    assert.equal(0, lab.count_events(result.events, { kind = "dns_query" }))
  end)

  it("is not found by way of discovery, and encrypted DNS to a resolver is refused", function()
    local mark = lab.mark()
    python(DENIED, [[
for name in ("use-application-dns.net", "_dns.resolver.arpa", "x._dns.resolver.arpa"):
    for kind in ("A", "SVCB", "TXT"):
        assert ask(name, kind).rcode() == dns.rcode.NXDOMAIN
sock = socket.socket()
sock.settimeout(1)
try:
    sock.connect(("203.0.113.53", 853))
    assert False, "DNS over TLS is open"
except OSError:
    pass]])
    assert.same({}, lab.since("queries", mark, ""))
    assert.same({}, lab.since("packets", mark, "853"))
  end)
end)

describe("the resolver", function()
  it("asks once for what it is asked many times, at the same time or after another", function()
    local mark = lab.mark()
    local result = python(policy "lunette.allow_dns()", [[
replies = []
threads = [threading.Thread(target=lambda: replies.append(ask("slow.example"))) for _ in range(20)]
[t.start() for t in threads]
[t.join() for t in threads]
assert len(replies) == 20 and all(len(r.answer) == 1 for r in replies)
start = time.monotonic()
for name in ("slow.example", "SLOW.Example", "slow.example."):
    reply = ask(name)
    assert reply.answer[0][0].address == "203.0.113.10" and reply.answer[0].ttl <= 60
assert time.monotonic() - start < 0.8, "the answer was not kept"]])
    assert.equal(1, #lab.since("queries", mark, "slow.example A"))
    assert.equal(23, lab.count_events(result.events, { kind = "dns_query", name = "slow.example" }))
  end)

  it("asks each time without a cache", function()
    local mark = lab.mark()
    python(policy("lunette.allow_dns()", "dns = { cache = false }"), "[ask('web.example') for _ in range(3)]")
    assert.equal(3, #lab.since("queries", mark, "web.example A"))
  end)

  it("believes no forged answer, and serves through ten thousand of them a second", function()
    local said = lab.file(".rate", "")
    -- To random ports, with random ids, as from the resolver, with the right question.
    os.execute(("ip netns exec internet /usr/bin/python3 tests/lab/forge.py 203.0.113.53 192.0.2.1 slow.example " ..
      "203.0.113.66 12000 >%s 2>&1 & echo $! >%s.pid"):format(said, said))
    local result = python(policy("lunette.allow_dns()", "dns = { cache = false }"), [[
times = []
for i in range(150):
    start = time.monotonic()
    reply = ask("n%d.many.example" % i, timeout=2)
    times.append(time.monotonic() - start)
    assert len(reply.answer) == 1
for _ in range(4):
    assert ask("slow.example").answer[0][0].address == "203.0.113.10"
times.sort()
print("median %.1f ms, worst %.1f ms" % (times[75] * 1000, times[-1] * 1000))]], { seconds = 60 })
    os.execute(("kill $(cat %s.pid)"):format(said))
    local rate = 0
    for line in io.lines(said) do rate = tonumber(line) or rate end
    assert.is_true(rate >= 8000, "only " .. rate .. " forged answers a second")
    assert.equal(0, lab.count_events(result.events, { kind = "limit" }))
  end)
end)

describe("an allowed suffix", function()
  it("is no tunnel", function()
    local mark = lab.mark()
    local result = python(policy "lunette.allow('.many.example')", [[
allowed = 0
for i in range(200):
    allowed += ask(("%040x" % i) + ".many.example").rcode() == dns.rcode.NOERROR
print(allowed, "queries got through")
assert ask("one.more.many.example").rcode() == dns.rcode.NXDOMAIN
assert ask(("%040x" % 0) + ".many.example").rcode() == dns.rcode.NOERROR  # known: it tells nobody anything]])
    assert.equal(2048 // 40, #lab.since("queries", mark, ".many.example A"), result.out)
    assert.equal(1, lab.count_events(result.events, { kind = "limit", reason = "dns_budget" }))
  end)
end)

describe("names of one's own", function()
  local OWN = policy("lunette.allow { 'db.corp.example', '.many.example', 'web.example' }", [[
    dns = {
      hosts = { ["db.corp.example"] = { "10.0.0.5", "fd00::5" } },
      search = { "corp.example" },
      forward = { [".many.example"] = { "203.0.113.55" } },
    },
    on_dns = function(query)
      if query.name == "mirror.example" then return { "10.0.0.8" } end
      if query.type == "TXT" then return "deny" end
    end]])

  it("are answered here, by hosts and on_dns; zones are asked of their resolvers", function()
    local mark = lab.mark()
    local result = lab.guest(OWN, [[
      getent ahostsv4 db | head -1
      getent ahostsv4 mirror.example | head -1
      grep ^search /etc/resolv.conf
      getent ahostsv4 a.many.example >/dev/null && getent ahostsv4 web.example >/dev/null && echo both]])
    assert.matches("10%.0%.0%.5", result.out, result.err)
    assert.matches("10%.0%.0%.8", result.out)
    assert.matches("search corp%.example", result.out)
    assert.matches("both", result.out)
    assert.same({}, lab.since("queries", mark, "db.corp.example"))
    assert.same({}, lab.since("queries", mark, "mirror.example"))
    assert.is_true(#lab.since("queries", mark, "203.0.113.55 a.many.example A") > 0)
    assert.is_true(#lab.since("queries", mark, "203.0.113.53 web.example A") > 0)
    python(OWN, "assert ask('web.example', 'TXT').rcode() == dns.rcode.NXDOMAIN")
    assert.same({}, lab.since("queries", mark, "TXT"))
  end)
end)
