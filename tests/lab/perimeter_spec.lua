--- Allowed and denied flows on the wire. Every denial is proved by zero packets on the far side, with
--- an allowed flow beside it as a control.

local lab = require "tests.lab.lab"

local V4, V6 = "203.0.113.10", "2001:db8:1::10"

--- Probes in a guest; then, for each probe, what came of it and how many packets to it arrived.
local function observe(policy, lines)
  local mark = lab.mark()
  local outcomes, result = lab.probe(policy, lines)
  local counts, seen = {}, {}
  for _, packet in ipairs(lab.since("packets", mark)) do counts[packet] = (counts[packet] or 0) + 1 end
  for i, line in ipairs(lines) do
    local protocol, address, port = line:match "^(%S+) (%S+) ?(%d*)"
    seen[i] = counts[("%s %s %s"):format(protocol, address, port == "" and "0" or port)] or 0
  end
  return outcomes, seen, result
end

describe("the wire", function()
  local PROTOCOLS = {
    { name = "TCP over IPv4", probe = "tcp %s 7", allowed = V4, denied = "203.0.113.66",
      rule = '{ action = "allow", destination = "203.0.113.10", protocol = "tcp", port = 7 }', event = "tcp" },
    { name = "TCP over IPv6", probe = "tcp %s 7", allowed = V6, denied = "2001:db8:1::66",
      rule = '{ action = "allow", destination = "2001:db8:1::10", protocol = "tcp", port = 7 }', event = "tcp" },
    { name = "UDP over IPv4", probe = "udp %s 5000", allowed = V4, denied = "203.0.113.66",
      rule = '{ action = "allow", destination = "203.0.113.10", protocol = "udp", port = 5000 }', event = "udp" },
    { name = "UDP over IPv6", probe = "udp %s 5000", allowed = V6, denied = "2001:db8:1::66",
      rule = '{ action = "allow", destination = "2001:db8:1::10", protocol = "udp", port = 5000 }', event = "udp" },
    { name = "ICMP over IPv4", probe = "icmpv4 %s", allowed = V4, denied = "203.0.113.66",
      rule = '{ action = "allow", destination = "203.0.113.10", protocol = "icmpv4" }', event = "icmpv4" },
    { name = "ICMP over IPv6", probe = "icmpv6 %s", allowed = V6, denied = "2001:db8:1::66",
      rule = '{ action = "allow", destination = "2001:db8:1::10", protocol = "icmpv6" }', event = "icmpv6" },
  }
  for _, case in ipairs(PROTOCOLS) do
    it("passes what is allowed and nothing else: " .. case.name, function()
      local policy = ("return { rules = { %s } }"):format(case.rule)
      local outcomes, seen, result = observe(policy,
        { case.probe:format(case.allowed), case.probe:format(case.denied) })
      assert.equal("open", outcomes[1])
      assert.is_true(seen[1] > 0)
      assert.equal("silence", outcomes[2])
      assert.equal(0, seen[2])
      local function told(kind, address)
        return lab.count_events(result.events, { kind = kind, protocol = case.event, dst = address })
      end
      assert.equal(1, told("flow_denied", case.denied))
      assert.equal(1, told("flow_open", case.allowed))
    end)
  end

  it("keeps other ports of an allowed address closed", function()
    local outcomes, seen = observe([[return { rules = {
      { action = "allow", destination = "203.0.113.10", protocol = "tcp", ports = { 7, "8000-8080" } } } }]], {
      "tcp " .. V4 .. " 7", "tcp " .. V4 .. " 8080 host x", "tcp " .. V4 .. " 80 host x",
      "tcp " .. V4 .. " 8443 sni web.example", "udp " .. V4 .. " 7",
    })
    assert.same({ "open", "open", "silence", "silence", "silence" }, outcomes)
    assert.same({ 1, 1, 0, 0, 0 }, seen)
  end)

  it("answers a rejected flow at once, without a packet beyond the gateway", function()
    local outcomes, seen = observe([[return { rules = {
      { action = "reject", destination = "203.0.113.66" }, { action = "reject", destination = "2001:db8:1::66" },
      { action = "allow", destination = "public" } } }]], {
      "tcp 203.0.113.66 7", "udp 203.0.113.66 5000", "tcp 2001:db8:1::66 7", "udp 2001:db8:1::66 5000",
      "tcp " .. V4 .. " 7",
    })
    assert.equal("refused", outcomes[1])
    assert.is_truthy(outcomes[2] == "unreachable" or outcomes[2] == "prohibited")
    assert.equal("refused", outcomes[3])
    assert.is_truthy(outcomes[4] == "unreachable" or outcomes[4] == "prohibited")
    assert.equal("open", outcomes[5])
    assert.same({ 0, 0, 0, 0, 1 }, seen)
  end)

  it("makes a closed port look closed and an address nobody has unreachable", function()
    local outcomes = observe("public-only", { "tcp " .. V4 .. " 4", "tcp " .. V6 .. " 4", "udp " .. V4 .. " 4" })
    assert.same({ "refused", "refused", "refused" }, outcomes)
  end)

  it("lets nothing reach the host's loopback, the gateway, or addresses that no policy can open", function()
    local mark = lab.mark()
    local targets = {
      "127.0.0.1", "127.1.2.3", "0.0.0.0", "::1", "::", "::ffff:127.0.0.1", "255.255.255.255", "240.0.0.1",
    }
    local lines = {}
    for _, address in ipairs(targets) do
      lines[#lines + 1] = "tcp " .. address .. " 8080 host x"
      lines[#lines + 1] = "udp " .. address .. " 5000"
    end
    lines[#lines + 1] = "tcp 172.16.0.1 8080 host x"
    lines[#lines + 1] = "udp 172.16.0.1 5000"
    lines[#lines + 1] = "tcp fd42:6d73:62::1 8080 host x"
    lines[#lines + 1] = "tcp " .. V4 .. " 80 host x"
    -- public-only has the host closed; allow-all opens it, but never loopback addresses themselves
    local outcomes = lab.probe("public-only", lines)
    assert.equal("open", outcomes[#outcomes])
    for i = 1, #outcomes - 1 do
      assert.not_equal("open", outcomes[i], lines[i])
    end
    assert.same({}, lab.since("host", mark))
  end)

  it("keeps the host closed where only networks around the gateway's address are open", function()
    local mark = lab.mark()
    local policy = 'return { rules = { { action = "allow", destination = "172.16.0.0/12" }, ' ..
      '{ action = "allow", destination = "0.0.0.0/0" }, { action = "allow", destination = "::/0" } } }'
    local outcomes = lab.probe(policy, {
      "tcp 172.16.0.1 8080 host x", "tcp fd42:6d73:62::1 8080 host x", "udp 172.16.0.1 5000", "tcp " .. V4 .. " 7",
    })
    assert.same({ "silence", "silence", "silence", "open" }, outcomes)
    assert.same({}, lab.since("host", mark))
  end)

  it("reaches the host's own servers at the gateway's address with a rule for host, and only then", function()
    local mark = lab.mark()
    local policy = 'return { rules = { { action = "allow", destination = "host", ports = { 8080, 5000 } } } }'
    local outcomes = lab.probe(policy, {
      "tcp 172.16.0.1 8080 host x", "tcp fd42:6d73:62::1 8080 host x", "udp 172.16.0.1 5000",
      "tcp 172.16.0.1 8081", "tcp 203.0.113.10 8080",
    })
    assert.same({ "open", "open", "open", "silence", "silence" }, outcomes)
    assert.equal(2, #lab.since("host", mark, "tcp"))
    assert.equal(1, #lab.since("host", mark, "udp"))
  end)
end)

describe("a preset", function()
  local TARGETS = {
    { "public", "tcp 203.0.113.10 7" }, { "public", "tcp 2001:db8:1::10 7" }, { "public", "udp 203.0.113.10 5000" },
    { "public", "udp 2001:db8:1::10 5000" }, { "public", "icmpv4 203.0.113.10" }, { "public", "icmpv6 2001:db8:1::10" },
    { "private", "tcp 10.9.0.10 7" }, { "private", "udp 10.9.0.10 5000" }, { "private", "tcp 100.64.9.10 7" },
    { "private", "tcp fd99::10 7" }, { "private", "icmpv4 10.9.0.10" },
    { "metadata", "tcp 169.254.169.254 80 host x" }, { "metadata", "tcp 169.254.170.2 80 host x" },
    { "metadata", "tcp fd00:ec2::254 80 host x" }, { "metadata", "tcp 100.100.100.200 80 host x" },
    { "link-local", "tcp 169.254.9.1 7" },
    { "host", "tcp 172.16.0.1 8080 host x" }, { "host", "tcp 192.0.2.1 8080 host x" },
  }
  local OPENS = {
    ["none"] = {},
    ["public-only"] = { public = true },
    ["non-local"] = { public = true, private = true },
    ["allow-all"] = { public = true, private = true, metadata = true, ["link-local"] = true, host = true },
  }
  for preset, opens in pairs(OPENS) do
    it("opens what the reference says: " .. preset, function()
      local lines = {}
      for i, target in ipairs(TARGETS) do lines[i] = target[2] end
      local outcomes, seen = observe(preset, lines)
      for i, target in ipairs(TARGETS) do
        local group, line = table.unpack(target)
        if not opens[group] then
          assert.equal("silence", outcomes[i], line)
          assert.equal(0, seen[i], line)
        elseif group ~= "host" then
          assert.equal("open", outcomes[i], line)
          assert.is_true(seen[i] > 0, line)
        end
      end
    end)
  end

  it("resolves names, but for `none`", function()
    for preset in pairs(OPENS) do
      local resolves = preset ~= "none"
      local mark = lab.mark()
      local result = lab.guest(preset, "getent ahostsv4 web.example")
      assert.equal(resolves, result.status == 0, preset .. ": " .. result.err)
      assert.equal(resolves, #lab.since("queries", mark, "web.example") > 0, preset)
      if not resolves then assert.same({}, lab.since("packets", mark)) end
    end
  end)
end)
