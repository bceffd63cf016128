--- A virtual machine behind lunette: QEMU boots a Debian kernel and busybox, which configures itself by
--- DHCP and router advertisements, and gets what the policy allows and nothing else. The same over each
--- of the links that a machine may have.

local lab = require "tests.lab.lab"

local image = os.getenv "VM_IMAGE"
local here = debug.getinfo(1, "S").source:match("^@(.*)/") or "."

local VALUE = "the-value-that-no-machine-sees"
local POLICY = ([[local lunette = require "lunette"
return {
  rules = {
    lunette.allow("web.example"):tcp(80),
    lunette.allow("web.example"):tcp(4432):http { methods = { "GET" } },
    lunette.allow("198.51.100.7"):tcp(80),
  },
  deny_domains = { "tracker.example" },
  dns = { search = { "example" } },
  tls = { intercepted_ports = { 4432 }, upstream_ca_certs = { "%s/ca.pem" } },
  secrets = { { env = "TOKEN", value = "%s", allow_hosts = { "web.example" } } },
}
]]):format(lab.dir, VALUE)

-- What is allowed and answers, and then what is not, and must not.
local JOB = [[
ip -4 addr show eth0 | sed -n 's/ *inet \([^ ]*\).*/address \1/p'
ip -6 addr show eth0 scope global | grep -c inet6 | sed 's/^/global IPv6 /'
sed 's/^/resolv.conf /' /etc/resolv.conf
get() { echo "$1 $(curl -sS -o /dev/null -w '%{http_code}' --max-time "${2:-20}" "http://$1/" 2>/dev/null || true)"; }
get web.example
get 198.51.100.7
get tracker.example 4
get other.example 4
get 203.0.113.13 3
get 169.254.169.254 3
token=$(sed -n 's/^TOKEN=//p' /placeholders)
send() {
  curl -sS -o /dev/null -w '%{http_code}\n' --max-time 20 --cacert /bundle -H "Authorization: Bearer $token" "$@"
}
send https://web.example:4432/secret
send -X DELETE https://web.example:4432/secret
]]

local WANTED = [[
address 172.16.0.2/30
global IPv6 1
resolv.conf search example
resolv.conf nameserver 172.16.0.1
web.example 200
198.51.100.7 200
tracker.example 000
other.example 000
203.0.113.13 000
169.254.169.254 000
200
403
]]

--- Starts `serve` with this link beside a machine at `netdev`; returns what the machine printed, and the result.
local function served(link, netdev)
  local policy, job = lab.file(".lua", POLICY), lab.file(".job", JOB)
  local events, ready = lab.file(".jsonl", ""), lab.file(".ready", "")
  local given = ("--ca-bundle %s/bundle --placeholders %s/placeholders"):format(lab.dir, lab.dir)
  local start = ("%s serve %s %s --ready-fd 5 --events %s %s 5>%s")
    :format(lab.lunette, link, given, events, policy, ready)
  local boot = ("%s/boot %s %s '%s' %s/bundle %s/placeholders"):format(here, image, job, netdev, lab.dir, lab.dir)
  local result = lab.host(([[%s & lunette=$!
    for i in $(seq 100); do [ -s %s ] && break; sleep 0.05; done
    %s; status=$?
    kill $lunette; wait $lunette; exit $status]]):format(start, ready, boot), 150)
  return result.out, result
end

local function check(out, result, mark)
  local recorded = lab.host "cat $LAB/recorded/4432-*; rm -f $LAB/recorded/4432-*".out
  assert.equal(WANTED, out, result.err)
  assert.equal(0, result.status, result.err)
  local web = #lab.since("packets", mark, "tcp 203.0.113.10 80") + #lab.since("packets", mark, "tcp 2001:db8:1::10 80")
  assert.is_true(web > 0)
  assert.is_true(#lab.since("packets", mark, "tcp 198.51.100.7 80") > 0)
  assert.same({}, lab.since("packets", mark, "203.0.113.13"))
  assert.same({}, lab.since("packets", mark, "169.254"))
  assert.truthy(recorded:find("Authorization: Bearer " .. VALUE, 1, true), recorded)
  assert.falsy(recorded:find("LUNETTE", 1, true) or recorded:find("DELETE", 1, true), recorded)
  assert.same({}, lab.since("queries", mark, "tracker"))
  assert.same({}, lab.since("queries", mark, "other"))
end

setup(function()
  os.execute "ip netns exec internet /usr/bin/python3 tests/lab/tls_servers.py $LAB &"
  local ready = lab.host "for _ in $(seq 300); do [ -e $LAB/tls.ready ] && exit 0; sleep 0.1; done; exit 1"
  assert(ready.status == 0, "the TLS servers did not start")
end)

describe("a virtual machine", function()
  it("is served over a stream socket", function()
    local mark, path = lab.mark(), lab.dir .. "/vm-stream"
    local out, result = served("--stream " .. path, "stream,server=off,addr.type=unix,addr.path=" .. path)
    check(out, result, mark)
  end)

  it("is served over datagram sockets", function()
    local mark, path = lab.mark(), lab.dir .. "/vm-dgram"
    local out, result = served("--dgram " .. path,
      ("dgram,local.type=unix,local.path=%s-vm,remote.type=unix,remote.path=%s"):format(path, path))
    check(out, result, mark)
  end)

  it("is served by a monitor in Lua, which changes its policy while it runs", function()
    local mark = lab.mark()
    local handler = [[on_secret_violation = function(v)
        return v.host == "other.example" and "block-and-log" or "block"
      end,
      default_egress]]
    local text = POLICY:gsub("deny_domains", "default_egress = 'deny', deny_domains")
    text = text:gsub("default_egress", handler, 1):gsub("rules = {", "rules = { lunette.allow('other.example'),")
    local first, second = lab.file(".lua", text), lab.file(".lua", (text:gsub("198%.51%.100%.7", "198.51.100.8")))
    local job = lab.file(".job", [[
get() { echo "$1 $(curl -sS -o /dev/null -w '%{http_code}' --max-time "${2:-20}" "http://$1/" 2>/dev/null || true)"; }
get 198.51.100.8 3
get 198.51.100.7
sleep 1
get 198.51.100.8
get 198.51.100.7 3
token=$(sed -n 's/^TOKEN=//p' /placeholders)
for host in web.example other.example; do
  curl -sS -o /dev/null -w '%{http_code}\n' --max-time 20 --cacert /bundle -H "X-Token: $token" https://$host:4432/
done
]])
    local boot = ("%s/boot %s %s stream,server=off,addr.type=fd,addr.str=3 %s/bundle %s/placeholders"):format(
      here, image, job, lab.dir, lab.dir)
    local monitor = ("lua5.4 %s/../embed/vmm.lua -o %s %s %s"):format(here, lab.dir, first, second)
    local result = lab.host(("%s -- %s"):format(monitor, boot), 150)
    local printed = result.out:gsub("event [^\n]*\n", ""):gsub("frames [^\n]*\n", "")
    assert.equal([[
198.51.100.8 000
198.51.100.7 200
198.51.100.8 200
198.51.100.7 000
200
403
]], printed, result.err)
    assert.equal(0, result.status, result.err)
    assert.truthy(result.out:find("event flow_denied 198.51.100.8 default", 1, true))
    assert.truthy(result.out:find("event flow_open 198.51.100.7 rule", 1, true))
    assert.truthy(result.out:find("event flow_denied 198.51.100.7 default", 1, true))
    assert.truthy(result.out:find("event secret_violation other.example block-and-log", 1, true))
    assert.equal(1, #lab.since("packets", mark, "tcp 198.51.100.7 80"))
    assert.equal(1, #lab.since("packets", mark, "tcp 198.51.100.8 80"))
    local recorded = lab.host "cat $LAB/recorded/4432-*".out
    assert.truthy(recorded:find("X-Token: " .. VALUE, 1, true), recorded)
    assert.falsy(recorded:find("other.example", 1, true), recorded)
  end)
end)
