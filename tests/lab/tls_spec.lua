--- TLS read on its way: what the guest gets, what the server got (its plaintext is kept), and what is told.

local lab = require "tests.lab.lab"

local PORTS = "443, 4430, 4431, 4432, 4433, 4434, 4435, 4436, 4437, 4438, 4439, 4440, 4441"
local VALUE = "the-value-of-the-secret-0123456789"
local BULK = tonumber(os.getenv "LAB_BULK_BYTES" or "") or (1 << 30)
local CURL = "curl -sS -m 20 "

--- A policy that intercepts, with a secret for web.example.
local function policy(rest)
  return ([[local lunette = require "lunette"
return {
  rules = { lunette.allow_dns(), lunette.allow("public") },
  tls = { intercepted_ports = { %s }, upstream_ca_certs = { "%s/ca.pem" }, bypass = { "alt.example" } },
  secrets = { { env = "TOKEN", value = "%s", allow_hosts = { "web.example" },
    inject = { headers = true, basic_auth = true, query = true, body = true } } },
  %s
}]]):format(PORTS, lab.dir, VALUE, rest or "")
end

--- Everything that the recording server at a port was sent since the last call.
local function recorded(port)
  local result = lab.host(("cat $LAB/recorded/%d-* 2>/dev/null; rm -f $LAB/recorded/%d-*"):format(port, port))
  return result.out
end

local function run(command, options)
  options = options or {}
  return lab.guest(options.policy or policy(), command, { seconds = options.seconds or 60 })
end

local function occurrences(text, what)
  local count, at = 0, 1
  while true do
    local first, last = text:find(what, at, true)
    if not first then return count end
    count, at = count + 1, last + 1
  end
end

setup(function()
  os.execute "ip netns exec internet /usr/bin/python3 tests/lab/tls_servers.py $LAB &"
  local ready = lab.host "for _ in $(seq 300); do [ -e $LAB/tls.ready ] && exit 0; sleep 0.1; done; exit 1"
  assert(ready.status == 0, "the TLS servers did not start")
end)

describe("an intercepted connection", function()
  it("carries HTTP/1.1 and HTTP/2 over TLS 1.2 and 1.3, as the server wants it", function()
    local result = run(([[
      for args in "--http2" "--http1.1" "--tls-max 1.2" "--http1.1 --tls-max 1.2"; do
        %s $args -w '%%{http_version} ' https://web.example:4430/
      done
      %s -o /dev/null -w '%%{http_version} %%{http_code}\n' https://web.example:4431/]]):format(CURL, CURL))
    assert.equal("from nginx\n2 from nginx\n1.1 from nginx\n2 from nginx\n1.1 1.1 200\n", result.out, result.err)
    assert.equal(3, lab.count_events(result.events, { kind = "tls_intercepted", tls_version = "TLSv1.3" }))
    assert.equal(2, lab.count_events(result.events, { kind = "tls_intercepted", tls_version = "TLSv1.2" }))
    assert.equal(2, lab.count_events(result.events, { kind = "tls_intercepted", alpn = "h2" }))
    assert.equal(5, lab.count_events(result.events, { kind = "http_request", status = 200, method = "GET" }))
  end)

  it("is one by address where the client names no server", function()
    local result = run(CURL .. "https://203.0.113.10:4430/")
    assert.equal("from nginx\n", result.out, result.err)
    assert.equal(1, lab.count_events(result.events, { kind = "tls_intercepted" }))
    result = run(CURL .. "https://203.0.113.11:4430/") -- not in the certificate
    assert.matches("reason: name_mismatch", result.out, result.err)
  end)

  it("is passed on untouched where the policy says so", function()
    recorded(4432)
    local result = run("openssl s_client -connect alt.example:4432 -servername alt.example -CAfile " .. lab.dir ..
      "/ca.pem -verify_return_error </dev/null 2>/dev/null | grep -E 'issuer|Verif'")
    assert.matches("issuer=?.*lab CA", result.out, result.err)
    assert.equal(1, lab.count_events(result.events, { kind = "tls_bypassed", name = "alt.example" }))
    assert.equal(0, lab.count_events(result.events, { kind = "tls_intercepted" }))
  end)

  it("says why, with 502, where the server's certificate is not good", function()
    for port, reason in pairs { [4433] = "certificate_expired", [4434] = "self_signed", [4435] = "name_mismatch",
      [4436] = "untrusted" } do
      for _, version in ipairs { "--http1.1 -d body", "--http2 -d body" } do
        local result = run(("%s %s -H 'Accept: application/json' -w ' %%{http_code}' https://web.example:%d/")
          :format(CURL, version, port))
        assert.matches('"reason":"' .. reason .. '".* 502$', result.out, result.err)
        assert.equal(1, lab.count_events(result.events, { kind = "tls_error", reason = reason, name = "web.example" }))
        assert.equal(1, lab.count_events(result.events, { kind = "http_request", status = 502, reason = reason }))
      end
      assert.equal("", recorded(port))
    end
  end)

  it("ends with an alert where the client speaks something else", function()
    local result = run "openssl s_client -alpn imap -connect web.example:4433 </dev/null 2>&1 | grep -i alert"
    assert.matches("alert handshake failure", result.out, result.err)
  end)

  it("lets no request name another host, in whatever spelling", function()
    recorded(4432)
    local result = run(([[
      for host in other.example web.example.other.example web.example:4433 203.0.113.10 'web.example@other.example'; do
        for version in --http1.1 --http2; do
          %s $version -o /dev/null -w '%%{http_code} ' -H "Host: $host" https://web.example:4432/
        done
      done
      for host in WEB.example web.example. web.example:4430; do
        %s -o /dev/null -w '%%{http_code} ' -H "Host: $host" https://web.example:4430/
      done]]):format(CURL, CURL))
    assert.equal("421 421 421 421 421 421 421 421 400 400 200 200 200 ", result.out, result.err)
    assert.equal("", recorded(4432))
  end)

  it("opens no address that the name was not resolved to", function()
    local mark = lab.mark()
    local named = ([[local lunette = require "lunette"
return { rules = { lunette.allow("web.example"):tcp(4430) },
  tls = { intercepted_ports = { 4430 }, upstream_ca_certs = { "%s/ca.pem" } } }]]):format(lab.dir)
    local result = run(CURL .. "https://web.example:4430/; " .. CURL ..
      "--resolve web.example:4430:203.0.113.99 https://web.example:4430/; echo $?", { policy = named })
    assert.matches("^from nginx\n", result.out, result.err)
    assert.not_matches("from nginx.*from nginx", result.out)
    assert.same({}, lab.since("packets", mark, "203.0.113.99"))
  end)

  it("carries what is no HTTP, whoever speaks first, and what is no TLS", function()
    local result = run([[
      raw() { timeout 2 openssl s_client -quiet -servername web.example -connect web.example:$1 2>/dev/null; }
      (echo hello; sleep 1) | raw 4437
      (sleep 0.5; echo hi; sleep 0.5) | raw 4441
      echo 'no TLS' | timeout 5 nc -N web.example 4438 | tail -1]])
    assert.equal("hello\n220 welcome\nhi\nno TLS\n", (result.out:gsub("\r", "")), result.err)
  end)

  it("refuses QUIC at once", function()
    local result = run([[/usr/bin/python3 -c '
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(5)
s.connect(("203.0.113.10", 443))
s.send(b"x" * 1200)
try:
    s.recv(1)
except OSError as e:
    print(type(e).__name__, e.errno)']])
    assert.matches("OSError 113", result.out, result.err)
    assert.equal(1, lab.count_events(result.events, { kind = "flow_denied", protocol = "udp", reason = "quic" }))
  end)

  it("carries much, whole, in bounded memory", function()
    local want = lab.host("sha256sum <$LAB/www/bytes").out
    local plain = ([[local lunette = require "lunette"
return { rules = { lunette.allow_dns(), lunette.allow("public") },
  tls = { intercepted_ports = { 4430 }, upstream_ca_certs = { "%s/ca.pem" } } }]]):format(lab.dir)
    for _, version in ipairs { "--http1.1", "--http2" } do
      local result = run("curl -sS " .. version .. " https://web.example:4430/bytes | sha256sum",
        { seconds = 300, policy = plain })
      assert.equal(want, result.out, result.err)
      assert.is_true(lab.count_events(result.events, { kind = "http_request", bytes_in = BULK }) == 1)
    end
  end)

  it("delays neither server-sent events nor WebSocket nor streams of HTTP/2", function()
    local result = run([[/usr/bin/python3 - <<'PY'
import base64, os, socket, ssl
def connect(port, alpn):
    context = ssl.create_default_context()
    context.set_alpn_protocols([alpn])
    s = context.wrap_socket(socket.create_connection(("web.example", port), 10), server_hostname="web.example")
    s.settimeout(10)
    return s
# each event is sent only once the one before was seen
s = connect(4439, "http/1.1")
s.sendall(b"GET /events HTTP/1.1\r\nHost: web.example:4439\r\nTransfer-Encoding: chunked\r\n\r\n")
got = b""
for i in range(5):
    while b"data: %d\n\n" % i not in got:
        got += s.recv(65536)
    if i < 4:
        s.sendall(b"1\r\nx\r\n")
print("events")
s = connect(4439, "http/1.1")
s.sendall(b"GET /socket HTTP/1.1\r\nHost: web.example:4439\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
          b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + base64.b64encode(os.urandom(16)) + b"\r\n\r\n")
head = b""
while b"\r\n\r\n" not in head:
    head += s.recv(1)
assert head.startswith(b"HTTP/1.1 101 "), head
for i in range(20):
    frame = b"\x82\x84" + bytes(4) + b"%04d" % i
    s.sendall(frame)
    got = b""
    while len(got) < len(frame):
        got += s.recv(65536)
    assert got == frame
print("socket")
import h2.connection, h2.config, h2.events
s = connect(4440, "h2")
c = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
c.initiate_connection()
c.send_headers(1, [(":method", "POST"), (":scheme", "https"), (":authority", "web.example:4440"), (":path", "/"),
                   ("content-type", "application/grpc"), ("te", "trailers")])
def until(what):
    got = b""
    while len(got) < what:
        s.sendall(c.data_to_send())
        for event in c.receive_data(s.recv(65536)):
            if isinstance(event, h2.events.DataReceived):
                got += event.data
                c.acknowledge_received_data(event.flow_controlled_length, 1)
            elif isinstance(event, (h2.events.StreamReset, h2.events.ConnectionTerminated)):
                raise SystemExit(repr(event))
    return got
for i in range(20): # the next message only after the last came back
    message = b"\0\0\0\0\4%04d" % i
    c.send_data(1, message)
    assert until(len(message)) == message
print("stream")
PY]])
    assert.equal("events\nsocket\nstream\n", result.out, result.err)
  end)
end)

describe("a secret", function()
  before_each(function() recorded(4432) recorded(4438) end)

  it("gets to its host in the place of its placeholder, once each, and never to the guest", function()
    for _, version in ipairs { "--http1.1", "--http2" } do
      local result = run(([[
        %s %s -H "X-Token: $TOKEN" -u "me:$TOKEN" "https://web.example:4432/p?q=$TOKEN" -d "b=$TOKEN"
        echo "$TOKEN" >&2]]):format(CURL, version))
      local sent = recorded(4432)
      assert.equal(3, occurrences(sent, VALUE), sent) -- header, query, body
      assert.equal(1, occurrences(sent, (lab.host(("printf 'me:%s' | base64"):format(VALUE)).out:gsub("%s", ""))), sent)
      assert.not_matches("LUNETTE", sent)
      assert.equal(0, occurrences(result.out .. result.err, VALUE), "echoed")
      assert.is_true(occurrences(result.out, "$LUNETTE_TOKEN_") >= 3, result.out)
      assert.equal(1, lab.count_events(result.events, { kind = "secret_used", secret = "TOKEN", name = "web.example" }))
      assert.equal(0, occurrences(lab.host("cat " .. result.recording).out, VALUE))
    end
  end)

  it("gets nowhere else, and neither does its placeholder", function()
    local result = run(([[
      %s -w '%%{http_code}\n' -o /dev/null -H "X: $TOKEN" https://other.example:4432/
      %s -w '%%{http_code}\n' -o /dev/null -d "$TOKEN" https://other.example:4432/
      %s -w '%%{http_code}\n' -o /dev/null "https://other.example:4432/$TOKEN"
      %s -w '%%{http_code}\n' -o /dev/null -H "X: $TOKEN" http://web.example:4438/
      (echo "to you: $TOKEN"; sleep 1) |
        timeout 2 openssl s_client -quiet -servername other.example -connect other.example:4437 2>/dev/null
      echo "plain $TOKEN" | timeout 5 nc -N web.example 4438]]):format(CURL, CURL, CURL, CURL))
    assert.equal("403\n403\n403\n403\n", result.out, result.err)
    local sent = recorded(4432) .. recorded(4438)
    assert.equal(0, occurrences(sent, VALUE), sent)
    assert.equal(0, occurrences(sent, "LUNETTE_TOKEN"), sent)
    assert.equal(6, lab.count_events(result.events, { kind = "secret_violation", secret = "TOKEN" }))
    for _, place in ipairs { "header", "body", "path", "raw" } do
      assert.is_true(lab.count_events(result.events, { kind = "secret_violation", place = place }) >= 1, place)
    end
  end)

  it("is looked for in no compressed body, which passes as it is", function()
    local want = lab.host("sha256sum <$LAB/www/gzip").out
    local result = run(CURL .. "-H 'Accept-Encoding: gzip' https://web.example:4430/gzip | sha256sum")
    assert.equal(want, result.out, result.err)
  end)

  it("that goes where it may not is the policy's to judge", function()
    local asked = policy():gsub("secrets = {", [[on_secret_violation = function(v)
    if v.host ~= "other.example" or v.secret ~= "TOKEN" then error "unexpected" end
    if v.place == "path" then return "pass-placeholder" end
    return v.method == "POST" and "block" or "block-and-log"
  end, secrets = {]], 1)
    local result = run(([[
      %s -o /dev/null -w '%%{http_code} ' "https://other.example:4432/$TOKEN"
      %s -o /dev/null -w '%%{http_code} ' -H "X: $TOKEN" https://other.example:4432/
      %s -o /dev/null -w '%%{http_code}' -H "X: $TOKEN" -d x https://other.example:4432/]]):format(CURL, CURL, CURL),
      { policy = asked })
    assert.equal("200 403 000", result.out, result.err)
    local sent = recorded(4432)
    assert.equal(1, occurrences(sent, "LUNETTE_TOKEN"), sent)
    for _, done in ipairs { "pass-placeholder", "block-and-log", "block" } do
      assert.equal(1, lab.count_events(result.events, { kind = "secret_violation", reason = done }), done)
    end
  end)

  it("that goes where it may not may end the sandbox", function()
    local strict = policy():gsub("secrets = {", "on_secret_violation = 'block-and-terminate', secrets = {", 1)
    local result = run(CURL .. "-d \"$TOKEN\" https://other.example:4432/; sleep 5; echo still here",
      { policy = strict })
    assert.equal(125, result.status)
    assert.not_matches("still here", result.out)
    assert.equal("", recorded(4432):match "LUNETTE" or "")
    assert.equal(1, lab.count_events(result.events, { kind = "secret_violation", reason = "block-and-terminate" }))
  end)
end)

describe("a rule about requests", function()
  it("lets in what it is for, and answers the rest with 403 that says which rule", function()
    local rules = ([[local lunette = require "lunette"
return { rules = { lunette.allow("web.example"):tcp("4430-4438"):http { methods = { "GET" }, path = "/read/*" } },
  tls = { intercepted_ports = { 4432, 4437 }, upstream_ca_certs = { "%s/ca.pem" } } }]]):format(lab.dir)
    recorded(4432)
    local result = run(([[
      %s -o /dev/null -w '%%{http_code} ' https://web.example:4432/read/it
      %s -o /dev/null -w '%%{http_code} ' https://web.example:4432/read/it -d x
      %s -o /dev/null -w '%%{http_code} ' --path-as-is https://web.example:4432/read/../write
      %s -w ' %%{http_code}' -H 'Accept: application/json' https://web.example:4432/write
      (echo hello; sleep 1) |
        timeout 2 openssl s_client -quiet -servername web.example -connect web.example:4437 2>/dev/null]])
      :format(CURL, CURL, CURL, CURL), { policy = rules })
    assert.matches('^200 403 403 {.*"layer":"http".*"path":"/write".*} 403$', result.out:gsub("\n", ""), result.err)
    local sent = recorded(4432)
    assert.equal(1, occurrences(sent, "HTTP/1.1"), sent)
    assert.matches("GET /read/it ", sent)
    assert.equal(1, lab.count_events(result.events, { kind = "http_request", action = "allow", rule = 1 }))
    assert.equal(3, lab.count_events(result.events, { kind = "http_request", action = "deny", status = 403 }))
  end)

  it("holds for plain HTTP too, for each request of a connection, and for what is none", function()
    recorded(4438)
    local rules = [[local lunette = require "lunette"
return { rules = { lunette.allow("web.example"):tcp(4438):http { methods = { "GET" } } } }]]
    local result = run(([[
      %s -o /dev/null -w '%%{http_code} ' http://web.example:4438/one --next -o /dev/null -w '%%{http_code} ' \
        -X DELETE http://web.example:4438/two --next -o /dev/null -w '%%{http_code}' http://web.example:4438/three
      echo 'not HTTP' | timeout 5 nc -N web.example 4438]]):format(CURL), { policy = rules })
    assert.equal("200 403 200", result.out, result.err)
    local sent = recorded(4438)
    assert.equal(2, occurrences(sent, "HTTP/1.1"), sent)
    assert.not_matches("DELETE", sent)
    assert.not_matches("not HTTP", sent)
  end)

  it("is not got around over a connection to another host at the same address", function()
    recorded(4438)
    local rules = [[local lunette = require "lunette"
return { rules = { lunette.allow("other.example"):tcp(4438),
  lunette.allow("web.example"):tcp(4438):http { methods = { "GET" } } } }]]
    local result = run([[/usr/bin/python3 -c '
import socket
socket.gethostbyname("web.example")
s = socket.create_connection(("other.example", 4438), 10)
s.settimeout(10)
for method, host in (("GET", "other"), ("DELETE", "web")):
    s.sendall(b"%s / HTTP/1.1\r\nHost: %s.example:4438\r\n\r\n" % (method.encode(), host.encode()))
    print(s.recv(65536).split(b" ")[1].decode())']], { policy = rules })
    assert.equal("200\n421\n", result.out, result.err)
    assert.not_matches("DELETE", recorded(4438))
  end)

  it("is not got around by a head that takes its time", function()
    recorded(4438)
    local rules = [[local lunette = require "lunette"
return { rules = { lunette.allow("other.example"):tcp(4438),
  lunette.allow("web.example"):tcp(4438):http { methods = { "GET" } } }, limits = { first_flight_ms = 200 } }]]
    local result = run([[/usr/bin/python3 -c '
import socket, time
socket.gethostbyname("web.example")
s = socket.create_connection(("other.example", 4438), 10)
s.settimeout(10)
s.sendall(b"DELETE / HT")
time.sleep(1)
try:
    s.sendall(b"TP/1.1\r\nHost: web.example:4438\r\n\r\n")
    print(s.recv(65536))
except OSError as e:
    print(type(e).__name__)']], { policy = rules })
    assert.equal("ConnectionResetError\n", result.out, result.err)
    assert.equal("", recorded(4438))
    assert.equal(1, lab.count_events(result.events, { kind = "flow_denied", reason = "first_flight_slow" }))
  end)
end)
