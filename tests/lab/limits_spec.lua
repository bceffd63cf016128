--- Bytes that are used up, a proxy on the way, counters for others, and guests beside each other.

local lab = require "tests.lab.lab"

local CA = lab.dir .. "/ca.pem"
local CURL = "curl -sS -m 60 --cacert " .. CA .. " "
local V4, V6 = "203.0.113.10", "2001:db8:1::10"

describe("a budget", function()
  it("is what the guest gets, to the byte, and then there is nothing more", function()
    local script = ([[
      curl -sS -m 20 -o got http://%s/bytes/5000000; stat -c %%s got; rm got
      curl -sS -m 2 http://%s/bytes/1 || echo refused
      getent ahosts web.example || echo no names]]):format(V4, V4):gsub("got", lab.dir .. "/got")
    local result = lab.guest('return { policy = "public-only", budget = { ingress = "1MB" } }', script)
    local got = tonumber(result.out:match "^(%d+)")
    assert.is_true(got > 900000 and got < 1000000, result.out .. result.err) -- the head of the response counts too
    assert.matches("refused\nno names\n$", result.out)
    assert.equal(1, lab.count_events(result.events, { kind = "limit", reason = "budget" }))
    assert.equal(1, lab.count_events(result.events, { kind = "flow_denied", reason = "budget" }))
    local received = 0
    for _, event in ipairs(result.events) do received = received + (event.bytes_in or 0) end
    assert.is_true(received <= 1000000)
  end)
end)

describe("an upstream proxy", function()
  --- Runs a guest while a proxy serves at 127.0.0.1:1080. Returns what it was asked for, too.
  local function guest(policy, command, args)
    local log = lab.file(".log", "")
    local path, events = lab.file(".lua", policy), lab.file(".jsonl", "")
    local script = lab.probe_py:gsub("probe%.py$", "proxy.py")
    local result = lab.host(([[/usr/bin/python3 %s 1080 %s & proxy=$!
      for i in $(seq 100); do grep -q ready %s && break; sleep 0.05; done
      %s run --events %s %s %s -- sh -c %s; status=$?; kill $proxy; exit $status]])
      :format(script, log, log, lab.lunette, events, args or "", path, lab.quote(command)), 120)
    return result, io.open(log):read "a", io.open(events):read "a"
  end

  for _, scheme in ipairs { "socks5", "http" } do
    local url = scheme .. "://user:p%40ss@127.0.0.1:1080"
    it("carries what policy allows, of both families, whole, by " .. scheme, function()
      local want = lab.host(CURL .. "http://" .. V4 .. "/bytes/3000000 | sha256sum").out
      local result, log, events = guest(('return { policy = "public-only", upstream_proxy = "%s" }'):format(url),
        ([[%shttp://%s/bytes/3000000 | sha256sum; %s-6 'http://[%s]/bytes/3000000' | sha256sum
          %s-o /dev/null -w '%%{http_code}\n' https://web.example/bytes/9
          %shttp://10.9.0.10/ -m 2 || echo denied]]):format(CURL, V4, CURL, V6, CURL, CURL))
      assert.equal(want .. want .. "200\ndenied\n", result.out, result.err)
      assert.equal(("ready\n%s V4 80\n%s V6 80\n"):gsub("%%s", scheme):gsub("V4", V4):gsub("V6", V6),
        log:match "^ready\n[^\n]+\n[^\n]+\n")
      assert.matches("\n" .. scheme .. " %S+ 443\n$", log)
      assert.not_matches("10%.9%.0%.10", log)
      assert.not_matches("p@ss", events)
      assert.not_matches("p%%40ss", events)
    end)

    it("is given the name where that is wanted and certain, by " .. scheme, function()
      local result, log = guest(([[local lunette = require "lunette"
        return { rules = { lunette.allow("alt.example"):tcp(80), lunette.allow("web.example"):tcp(443) },
          upstream_proxy = { url = "%s", resolve = "remote" } }]]):format(url),
        CURL .. "-o /dev/null -w '%{http_code}\n' http://alt.example/bytes/1 https://web.example/bytes/1")
      assert.equal("200\n", result.out:match "^200\n", result.err)
      assert.matches("\n" .. scheme .. " alt%.example 80\n", log)
      assert.matches("\n" .. scheme .. " web%.example 443\n", log)
    end)
  end

  it("shows a closed port as closed, and is out of the guest's own reach", function()
    local result, log, events = guest([[return { default_egress = "allow",
      upstream_proxy = "socks5://user:p%40ss@127.0.0.1:1080" }]], ([[
      curl -sS -m 5 http://%s:4 2>&1; gateway=$(ip route | sed -n 's/^default via \([^ ]*\).*/\1/p')
      curl -sS -m 2 http://$gateway:1080 2>&1]]):format(V4))
    assert.matches("timed out", result.out)
    assert.matches('"port":4,[^\n]*"reason":"refused"', events)
    assert.equal(("ready\nsocks5 %s 4\n"):format(V4), log)
    assert.matches('"port":1080[^\n]*"reason":"never"', events)
  end)
end)

describe("guests at once", function()
  it("have slots of their own, and counters that others read and they do not", function()
    local out = lab.file(".out", "")
    local result = lab.host(([[
      for i in 1 2 3; do
        %s run --slot auto --metrics 127.0.0.1:910$i 'allow-all' -- sh -c '
          ip -4 -o addr show eth0 | sed "s/.*inet \([0-9.]*\).*/\1/"
          gateway=$(ip route | sed -n "s/^default via \([^ ]*\).*/\1/p")
          curl -sS -m 1 http://$gateway:910'$i' >/dev/null && echo reached; sleep 3' >>%s 2>&1 &
      done
      for i in 1 2 3; do
        for j in $(seq 60); do curl -s http://127.0.0.1:910$i/metrics | grep lunette_info && break; sleep 0.05; done
      done; wait; cat %s]]):format(lab.lunette, out, out))
    local slots, addresses = {}, {}
    for slot in result.out:gmatch 'slot="(%d)"' do slots[#slots + 1] = slot end
    for address in result.out:gmatch "\n(172[%d.]+)" do addresses[#addresses + 1] = address end
    table.sort(slots)
    table.sort(addresses)
    assert.same({ "1", "2", "3" }, slots, result.out .. result.err)
    assert.same({ "172.16.0.10", "172.16.0.14", "172.16.0.6" }, addresses)
    assert.not_matches("reached", result.out)
  end)
end)
