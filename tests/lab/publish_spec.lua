--- Servers in the guest, called from the internet through published ports.

local lab = require "tests.lab.lab"

local script = lab.probe_py:gsub("probe%.py$", "publish.py")
local PUBLISH = [[port_bindings = {
    { bind = "0.0.0.0", host_port = 18080, guest_port = 80 },
    { bind = "::", host_port = 18080, guest_port = 80 },
    { bind = "0.0.0.0", host_port = 18080, guest_port = 80, protocol = "udp" },
    { bind = "::", host_port = 18080, guest_port = 80, protocol = "udp" },
  },]]

--- Runs a guest that answers `count` callers at port 80, and once it is ready each call: "PROTOCOL FROM TO PORT".
---@return string[] outcomes, string log of who called, lab.Result
local function publish(policy, calls, count)
  local log, outcomes = lab.file(".log", ""), lab.file(".outcomes", "")
  local path, events = lab.file(".lua", policy), lab.file(".jsonl", "")
  local lines = { ("for i in $(seq 100); do grep -q ready %s && break; sleep 0.05; done"):format(log) }
  for _, line in ipairs(calls) do
    lines[#lines + 1] = ("ip netns exec internet /usr/bin/python3 %s call %s >>%s"):format(script, line, outcomes)
  end
  local callers = lab.file(".sh", table.concat(lines, "\n"))
  local result = lab.host(("sh %s & %s run --events %s %s -- /usr/bin/python3 %s serve %s 80 %d; wait $!")
    :format(callers, lab.lunette, events, path, script, log, count), 60)
  local found = {}
  for outcome in io.lines(outcomes) do found[#found + 1] = outcome end
  return found, io.open(log):read "a", result
end

describe("a published port", function()
  it("leads to the guest, who sees the caller's own address", function()
    local outcomes, log, result = publish("return { " .. PUBLISH .. " }", {
      "tcp 203.0.113.10 192.0.2.1 18080", "tcp 2001:db8:1::10 2001:db8::1 18080",
      "udp 203.0.113.10 192.0.2.1 18080", "udp 2001:db8:1::10 2001:db8::1 18080",
    }, 4)
    assert.same({ "answered", "answered", "answered", "answered" }, outcomes, result.err)
    assert.equal("ready\ntcp 203.0.113.10\ntcp 2001:db8:1::10\nudp 203.0.113.10\nudp 2001:db8:1::10\n", log)
  end)

  it("is open to whom the ingress rules let in, and the guest hears of nobody else", function()
    local outcomes, log = publish([[return { rules = {
      { action = "deny", direction = "ingress", destination = "203.0.113.66" },
      { action = "deny", direction = "ingress", destination = "2001:db8:1::66" } }, ]] .. PUBLISH .. " }", {
      "tcp 203.0.113.66 192.0.2.1 18080", "tcp 2001:db8:1::66 2001:db8::1 18080",
      "udp 203.0.113.66 192.0.2.1 18080", "tcp 203.0.113.10 192.0.2.1 18080",
    }, 1)
    assert.same({ "reset", "reset", "silence", "answered" }, outcomes)
    assert.equal("ready\ntcp 203.0.113.10\n", log)
  end)

  it("with nobody behind it resets its callers", function()
    local outcomes = publish([[return { ports = {}, port_bindings = {
      { bind = "0.0.0.0", host_port = 18081, guest_port = 81 },
      { bind = "0.0.0.0", host_port = 18080, guest_port = 80 } } }]], {
      "tcp 203.0.113.10 192.0.2.1 18081", "tcp 203.0.113.10 192.0.2.1 18080" }, 1)
    assert.same({ "reset", "answered" }, outcomes)
  end)
end)
