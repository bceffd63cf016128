--- Bytes: large, many, slow, half-closed, reset, server-first; all of them intact.

local lab = require "tests.lab.lab"

local CA = lab.dir .. "/ca.pem"
local CURL = "curl -sS -m 300 --cacert " .. CA .. " "
-- A build with sanitizers is slow; the bytes are the same.
local GIGABYTE = tonumber(os.getenv "LAB_BULK_BYTES" or "") or (1 << 30)

describe("a transfer", function()
  it("arrives whole, down and up, by name over TLS and by address", function()
    local want = lab.host(("%shttp://203.0.113.10/bytes/%d | sha256sum"):format(CURL, GIGABYTE), 120).out
    local down = ("%shttp://203.0.113.10/bytes/%d"):format(CURL, GIGABYTE)
    local result = lab.guest("public-only", down .. " | sha256sum", { seconds = 300 })
    assert.equal(want, result.out, result.err)
    local up = ("%s-T - -H 'Content-Length: %d' -H 'Transfer-Encoding:' http://203.0.113.11/up"):format(CURL, GIGABYTE)
    result = lab.guest("public-only", down .. " | " .. up, { seconds = 300 })
    assert.equal(want:match "^%x+", result.out:match "^%x+", result.err)
    want = lab.host(CURL .. "https://web.example/bytes/50000000 | sha256sum", 60).out
    result = lab.guest("public-only", CURL .. "https://web.example/bytes/50000000 | sha256sum", { seconds = 120 })
    assert.equal(want, result.out, result.err)
  end)

  it("works at every MTU", function()
    local want = lab.host(CURL .. "http://203.0.113.10/bytes/20000000 | sha256sum").out
    for _, mtu in ipairs { 1280, 1500, 9000, 65520 } do
      local result = lab.guest("public-only", CURL .. "http://203.0.113.10/bytes/20000000 | sha256sum; " .. CURL ..
        "-6 'http://[2001:db8:1::10]/bytes/20000000' | sha256sum", { args = "--mtu " .. mtu })
      assert.equal(want .. want, result.out, "MTU " .. mtu .. result.err)
    end
  end)

  it("carries 500 connections at once", function()
    local result = lab.guest("public-only", [[seq 500 | xargs -P 500 -I@ curl -sS -m 60 -o /dev/null \
      -w '%{http_code} %{size_download}\n' http://203.0.113.10/bytes/100000 | sort | uniq -c]], { seconds = 120 })
    assert.matches("^%s*500 200 100000%s*$", result.out, result.err)
  end)

  it("carries many short connections, one after another", function()
    local result = lab.guest("public-only", "/usr/bin/python3 -c '" .. [[
import socket
for i in range(2000):
    s = socket.create_connection(("203.0.113.10", 7), 5)
    s.sendall(b"x")
    assert s.recv(1) == b"x"
    s.close()
print("done")]] .. "'", { seconds = 120 })
    assert.matches("done", result.out, result.err)
    assert.equal(2000, lab.count_events(result.events, { kind = "flow_close", port = 7 }))
  end)

  it("gives the answer that follows a half-close", function()
    local result = lab.guest("public-only", "head -c 3000000 /dev/zero | timeout 20 nc -N 203.0.113.10 9002")
    assert.equal("3000000\n", result.out, result.err)
  end)

  it("passes a reset on", function()
    local result = lab.guest("public-only", "/usr/bin/python3 -c '" .. [[
import socket
s = socket.create_connection(("203.0.113.10", 9003), 5)
s.sendall(b"x")
try:
    print("data", s.recv(1))
except ConnectionResetError:
    print("reset")]] .. "'")
    assert.equal("reset\n", result.out, result.err)
  end)

  it("holds a fast sender back for a slow reader, and loses nothing", function()
    local result = lab.guest("public-only", "/usr/bin/python3 -c '" .. [[
import hashlib, resource, socket, time
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
s.connect(("203.0.113.10", 9001))
digest, count, start = hashlib.sha256(), 0, time.monotonic()
while True:
    data = s.recv(65536)
    if not data:
        break
    digest.update(data)
    count += len(data)
    if count < 1 << 20:
        time.sleep(0.01)
print(count)]] .. "'", { seconds = 120 })
    assert.equal(("%d\n"):format(256 << 20), result.out, result.err)
  end)

  it("carries datagrams that need fragments, both ways", function()
    local result = lab.guest("public-only", "/usr/bin/python3 -c '" .. [[
import os, socket
for family, address in ((socket.AF_INET, "203.0.113.10"), (socket.AF_INET6, "2001:db8:1::10")):
    s = socket.socket(family, socket.SOCK_DGRAM)
    s.settimeout(3)
    for size in (1, 1400, 1472, 1473, 4000, 9000, 40000):
        data = os.urandom(size)
        s.sendto(data, (address, 5000))
        got, peer = s.recvfrom(65536)
        assert got == data and peer[0] == address, (size, len(got))
print("whole")]] .. "'")
    assert.equal("whole\n", result.out, result.err)
  end)

  it("clones a repository over HTTPS", function()
    lab.host([[set -e
      cd "$LAB/files"
      git init -q -b main src
      (cd src && seq 100000 > numbers && git add . && git -c user.name=a -c user.email=a@b commit -qm one)
      git clone -q --bare src src.git
      cd src.git
      git update-server-info]])
    local result = lab.guest("public-only", ([[set -e
      cd $(mktemp -d)
      GIT_SSL_CAINFO=%s git clone -q https://git.example/src.git
      cd src
      git log --oneline | wc -l
      tail -1 numbers
      rm -rf "$PWD"]]):format(CA))
    assert.equal("1\n100000\n", result.out, result.err)
  end)
end)
