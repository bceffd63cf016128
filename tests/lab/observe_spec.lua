--- `run --observe`: what was seen becomes a policy, and that policy allows it again and nothing else.

local lab = require "tests.lab.lab"

local CURL = "curl -sS -o /dev/null -m 5 --cacert " .. lab.dir .. "/ca.pem "

--- By names (web.example and other.example share their addresses), by a CNAME, by plain addresses, where a server
--- speaks first, over UDP and ICMP, from a resolver of the guest's own choice, and names that are only looked up.
local SCRIPT = ([[
set -e
CURL https://web.example/ https://other.example/
CURL http://web.example:8080/
CURL http://cdn.example/
CURL http://203.0.113.40/
CURL 'http://[2001:db8:1::40]:8080/'
bash -c 'exec 3<>/dev/tcp/ssh.example/22; read -r line <&3; echo hello >&3; read -r line <&3'
bash -c 'exec 3<>/dev/tcp/203.0.113.41/22; read -r line <&3; echo hello >&3; read -r line <&3'
CURL http://203.0.113.42:4/ || true
CURL http://host.lunette.internal:8080/
getent hosts git.example tracker.example alt.example >/dev/null
getent hosts nowhere.example >/dev/null || true
/usr/bin/python3 - <<'PY'
import dns.message, dns.query, socket
gateway = [l.split()[1] for l in open("/etc/resolv.conf") if l.startswith("nameserver")][0]
dns.query.udp(dns.message.make_query("big.example", "TXT"), gateway, timeout=5)
dns.query.udp(dns.message.make_query("a.many.example", "A"), "203.0.113.53", timeout=5)
def udp(host, port):
    s = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(3)
    s.connect((host, port))
    s.send(b"ping")
    s.recv(64)
udp("203.0.113.43", 5000)
udp("2001:db8:1::43", 5000)
udp(socket.gethostbyname("v4.example"), 7)
PY
/usr/bin/python3 PROBE PINGS 3
echo done
]]):gsub("CURL", CURL):gsub("PROBE", lab.probe_py):gsub("PINGS",
  lab.file(".pings", "icmpv4 203.0.113.44 0\nicmpv6 2001:db8:1::44 0\n"))

--- Runs the script under a policy, observed. Gives the result and the policy that was written.
local function observe(policy, script, args)
  local path = lab.dir .. "/observed.lua"
  os.remove(path)
  local result = lab.guest(policy, script, { args = ("--observe=%s %s"):format(path, args or "") })
  local file = assert(io.open(path, "rb"), result.err)
  local text = file:read "a"
  file:close()
  return result, text
end

--- The rules of a policy's text, without comments.
local function rules_of(text)
  local rules = {}
  for line in text:gmatch "[^\n]+" do
    local rule = line:match "^    (lunette%..-),  %-%-"
    if rule then rules[#rules + 1] = rule end
  end
  return rules
end

describe("an observed policy", function()
  it("names what was reached by its name, and allows all of it again", function()
    local result, text = observe("allow-all", SCRIPT)
    assert.equal(0, result.status, result.err)
    assert.matches("done", result.out)
    local want = {
      'lunette.allow("alt.example"):udp(9)',
      'lunette.allow("big.example"):udp(9)',
      'lunette.allow("cdn.example"):tcp(80)',
      'lunette.allow("git.example"):udp(9)',
      'lunette.allow("host"):tcp(8080)',
      'lunette.allow("host.lunette.internal"):udp(9)',
      'lunette.allow("a.many.example"):udp(9)',
      'lunette.allow("nowhere.example"):udp(9)',
      'lunette.allow("other.example"):tcp(443)',
      'lunette.allow("ssh.example"):tcp(22)',
      'lunette.allow("tracker.example"):udp(9)',
      'lunette.allow("v4.example"):udp(7)',
      'lunette.allow("web.example"):tcp(443, 8080)',
      'lunette.allow("203.0.113.40"):tcp(80)',
      'lunette.allow("203.0.113.41"):tcp(22)',
      'lunette.allow("203.0.113.42"):tcp(4)',
      'lunette.allow("203.0.113.43"):udp(5000)',
      'lunette.allow("203.0.113.44"):icmpv4()',
      'lunette.allow("203.0.113.53"):udp(53)',
      'lunette.allow("2001:db8:1::40"):tcp(8080)',
      'lunette.allow("2001:db8:1::43"):udp(5000)',
      'lunette.allow("2001:db8:1::44"):icmpv6()',
    }
    local got = rules_of(text)
    table.sort(want)
    local sorted = { table.unpack(got) }
    table.sort(sorted)
    assert.same(want, sorted, text)

    local again, same = observe(text, SCRIPT)
    assert.equal(0, again.status, again.err)
    assert.matches("done", again.out)
    assert.equal(result.out, again.out)
    for _, kind in ipairs { "flow_denied", "dns_denied", "dns_rebind" } do
      assert.equal(0, lab.count_events(again.events, { kind = kind }), kind)
    end
    assert.same(got, rules_of(same))

    -- And replay agrees with what was.
    local function replay(policy)
      local path = policy:find "%s" and lab.file(".lua", policy) or policy
      return lab.host(("%s replay %s %s"):format(lab.lunette, result.recording, path))
    end
    for _, policy in ipairs { "allow-all", text } do
      local replayed = replay(policy)
      assert.equal(0, replayed.status, replayed.out .. replayed.err)
      assert.matches("^%d%d judged, 0 would change; 0 not judged\n$", replayed.out)
    end
    assert.equal(1, replay("none").status)
  end)

  it("allows nothing beside it", function()
    local _, text = observe("allow-all", CURL .. "https://web.example/; getent hosts alt.example")
    local script = ([[
      CURL https://other.example/ && echo leak
      CURL http://web.example/ && echo leak
      CURL http://alt.example/ && echo leak
      CURL http://203.0.113.10/ && echo leak
      CURL -k --resolve fake.example:443:203.0.113.10 https://fake.example/ && echo leak
      echo done]]):gsub("CURL", CURL)
    local result = lab.guest(text, script)
    assert.equal("done\n", result.out)
  end)

  it("lists what was refused as comments", function()
    local result, text = observe("none", CURL .. "http://web.example/; " .. CURL .. "http://203.0.113.40/; " ..
      "getent hosts use-application-dns.net; true")
    assert.equal(0, result.status, result.err)
    assert.same({}, rules_of(text))
    assert.matches('\n    %-%- refused\n', text)
    assert.matches('\n    %-%- lunette.allow%("web.example"%):udp%(9%),  %-%- %d+ refusals? %(default%)', text)
    assert.matches('\n    %-%- lunette.allow%("203.0.113.40"%):tcp%(80%),  %-%- 1 refusal %(default%)', text)
    assert.matches('\n    %-%- dns "use%-application%-dns.net": %d+ refusals? %(discovery%)', text)
  end)

  it("has suffixes where that is asked for", function()
    local script = "getent hosts a.many.example b.many.example; " .. CURL .. "http://c.many.example/ " ..
      "http://web.example/"
    local result, text = observe("allow-all", script, "--observe-suffixes")
    assert.same({ 'lunette.allow(".many.example"):tcp(80)', 'lunette.allow("web.example"):tcp(80)' }, rules_of(text))
    local again = lab.guest(text, script)
    assert.equal(result.status, again.status)
    assert.equal(0, lab.count_events(again.events, { action = "deny" }))
  end)
end)
