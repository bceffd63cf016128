--- A gateway in a Lua program: the frames of a guest go in, those for it come out.

local lunette = require "lunette"

local GUEST_MAC, GATEWAY_MAC = "\x02\x6c\x75\x00\x03\x02", "\x02\x6c\x75\x00\x03\x01"
local GUEST, GATEWAY = "\172\16\0\14", "\172\16\0\13"

local function ethernet(destination, type, payload)
  return destination .. GUEST_MAC .. string.pack(">I2", type) .. payload
end

local function arp_request(target)
  return ethernet(("\xff"):rep(6), 0x0806,
    string.pack(">I2I2BBI2", 1, 0x0800, 6, 4, 1) .. GUEST_MAC .. GUEST .. ("\0"):rep(6) .. target)
end

local function checksum(bytes)
  local sum = 0
  for i = 1, #bytes, 2 do sum = sum + string.unpack(">I2", bytes .. "\0", i) end
  while sum > 0xffff do sum = (sum & 0xffff) + (sum >> 16) end
  return ~sum & 0xffff
end

--- A datagram of the guest; a UDP checksum of zero means that there is none (RFC 768).
local function udp(destination, port, payload)
  local datagram = string.pack(">I2I2I2I2", 40000, port, 8 + #payload, 0) .. payload
  local function header(sum)
    return string.pack(">BBI2I2I2BBI2", 0x45, 0, 20 + #datagram, 1, 0, 64, 17, sum) .. GUEST .. destination
  end
  return ethernet(GATEWAY_MAC, 0x0800, header(checksum(header(0))) .. datagram)
end

local function dns_query(name)
  local labels = name:gsub("([^.]+)%.?", function(label) return string.char(#label) .. label end)
  return string.pack(">I2I2I2I2I2I2", 0x1234, 0x0100, 1, 0, 0, 0) .. labels .. "\0" .. string.pack(">I2I2", 1, 1)
end

local function open(options)
  local got = { frames = {}, events = {} }
  options = options or {}
  options.policy = options.policy or lunette.load("none")
  options.slot = options.slot or 3
  options.on_frame = options.on_frame or function(bytes) got.frames[#got.frames + 1] = bytes end
  options.on_event = options.on_event or function(event) got.events[#got.events + 1] = event end
  local gateway = lunette.gateway(options)
  return gateway, got
end

local function ask(gateway, frame)
  gateway:input(frame)
  gateway:dispatch()
end

describe("a gateway", function()
  it("answers ARP for itself", function()
    local gateway <close>, got = open()
    ask(gateway, arp_request(GATEWAY))
    assert.equal(1, #got.frames)
    local reply = got.frames[1]
    assert.equal(GUEST_MAC, reply:sub(1, 6))
    assert.equal(GATEWAY_MAC, reply:sub(7, 12))
    assert.equal(2, (string.unpack(">I2", reply, 21)))
    assert.equal(GATEWAY_MAC .. GATEWAY, reply:sub(23, 32))
  end)

  it("tells how the guest is to be configured", function()
    local gateway <close> = open()
    local link = gateway:link()
    assert.equal("172.16.0.13", link.gateway4)
    assert.equal("172.16.0.14/30", link.guest4)
    assert.equal("fd42:6d73:62:3::2/64", link.guest6)
    assert.equal("02:6c:75:00:03:02", link.guest_mac)
    assert.equal(1500, link.mtu)
  end)

  it("denies a name with NXDOMAIN and one event", function()
    local gateway <close>, got = open()
    ask(gateway, udp(GATEWAY, 53, dns_query("secret.evil.example")))
    assert.equal(1, #got.frames)
    local reply = got.frames[1]:sub(43)
    assert.equal(0x1234, (string.unpack(">I2", reply)))
    assert.equal(3, string.byte(reply, 4) & 15)
    assert.equal(1, #got.events)
    local event = got.events[1]
    assert.equal("dns_denied", event.kind)
    assert.equal("secret.evil.example", event.name)
    assert.equal("A", event.type)
    assert.equal("172.16.0.14", event.src)
    assert.equal("default", event.reason)
    assert.is_true(math.abs(event.time - os.time()) < 60)
  end)

  it("denies a flow with one event, by the rule", function()
    local gateway <close>, got = open { policy = lunette.compile { rules = { lunette.deny("192.0.2.0/24") } } }
    ask(gateway, udp("\192\0\2\1", 9999, "x"))
    ask(gateway, udp("\192\0\2\1", 9999, "x"))
    assert.equal(0, #got.frames)
    assert.equal(1, #got.events)
    local event = got.events[1]
    assert.equal("flow_denied", event.kind)
    assert.equal("192.0.2.1", event.dst)
    assert.equal(9999, event.port)
    assert.equal(1, event.rule)
    assert.matches("gateway_spec.lua:%d+$", event.source)
  end)

  it("asks the policy's functions, whose failure is told", function()
    local gateway <close>, got = open { policy = lunette.compile { on_connect = function() error("no") end } }
    ask(gateway, udp("\192\0\2\1", 9999, "x"))
    local kinds = {}
    for i, event in ipairs(got.events) do kinds[i] = event.kind end
    table.sort(kinds)
    assert.same({ "flow_denied", "handler_error" }, kinds)
    for _, event in ipairs(got.events) do
      if event.kind == "handler_error" then assert.matches("gateway_spec.lua:%d+: no$", event.detail) end
    end
  end)

  it("takes another policy while it runs", function()
    local gateway <close>, got = open()
    gateway:reload(lunette.compile { rules = { lunette.reject("*") } })
    ask(gateway, udp("\192\0\2\1", 9999, "x"))
    local denied = got.events[#got.events]
    assert.equal("reject", denied.action)
    assert.equal(1, #got.frames)
  end)

  it("has one descriptor and counts", function()
    local gateway <close> = open()
    assert.is_true(gateway:fd() >= 0)
    assert.equal(gateway:fd(), gateway:fd())
    ask(gateway, arp_request(GATEWAY))
    ask(gateway, "not a frame")
    local stats = gateway:stats()
    assert.equal(2, stats.frames_in)
    assert.equal(1, stats.frames_out)
    local dropped = 0
    for _, count in pairs(stats.drops) do dropped = dropped + count end
    assert.equal(1, dropped)
  end)
end)

describe("the secrets of a gateway", function()
  local support = require "support"

  it("have placeholders, and the guest a CA to trust", function()
    local data = support.directory() .. "/data"
    local policy = lunette.compile {
      rules = {}, tls = {},
      secrets = { { env = "TOKEN", value = "a-value-of-its-own", allow_hosts = { "a.example" } } },
    }
    local ok, gateway = pcall(lunette.gateway, { policy = policy, on_frame = function() end, data_dir = data })
    assert.is_true(ok, gateway)
    local file = assert(io.open(data .. "/ca.pem"))
    assert.equal(file:read "a", gateway:trust())
    file:close()
    local secrets = gateway:secrets()
    assert.equal(1, #secrets)
    assert.equal("TOKEN", secrets[1].name)
    assert.matches("^%$LUNETTE_TOKEN_%w+$", secrets[1].placeholder)
    assert.is_true(secrets[1].age_ms >= 0)
    assert.is_nil(secrets[1].failure)
    assert.is_nil(gateway:condemned())
    gateway:close()
  end)

  it("are none without a policy that has some", function()
    local gateway <close> = open()
    assert.is_nil(gateway:trust())
    assert.same({}, gateway:secrets())
    assert.is_nil(gateway:condemned())
  end)
end)

describe("the functions of a gateway", function()
  it("that raise: the method that was running does", function()
    local failing <close> = open { on_frame = function() error({ code = 7 }) end }
    local ok, problem = pcall(ask, failing, arp_request(GATEWAY))
    assert.is_false(ok)
    assert.equal(7, problem.code)
    assert.is_true(pcall(failing.stats, failing))
  end)

  it("cannot use the gateway that calls them", function()
    local gateway, problem
    gateway = open { on_frame = function() gateway:close() end }
    local ok
    ok, problem = pcall(ask, gateway, arp_request(GATEWAY))
    assert.is_false(ok)
    assert.matches("inside of its own functions", problem)
    gateway:close()
  end)

  it("may be run from a coroutine", function()
    local gateway <close>, got = open()
    coroutine.wrap(ask)(gateway, arp_request(GATEWAY))
    assert.equal(1, #got.frames)
  end)
end)

describe("a gateway that is closed", function()
  it("says so, and can be closed again", function()
    local gateway = open()
    gateway:close()
    gateway:close()
    assert.has_error(function() gateway:dispatch() end)
    assert.has_error(function() return gateway:fd() end)
  end)

  it("or collected gives its descriptor back", function()
    local gateway = open()
    local fd = gateway:fd()
    for _ = 1, 20 do open() end
    gateway:close()
    gateway = nil -- luacheck: ignore
    collectgarbage()
    collectgarbage()
    local again <close> = open()
    assert.is_true(again:fd() <= fd + 1)
  end)
end)

describe("a gateway cannot be made", function()
  it("of wrong options", function()
    local policy = lunette.load("none")
    local function frames() end
    for message, options in pairs {
      ["lunette.policy expected"] = { on_frame = frames },
      ["on_frame: it is missing"] = { policy = policy },
      ["on_frame: found number"] = { policy = policy, on_frame = 1 },
      ["slot"] = { policy = policy, on_frame = frames, slot = 65536 },
      ["'onframe'"] = { policy = policy, onframe = frames },
      ["mtu"] = { policy = policy, on_frame = frames, mtu = 100 },
      ["ipv4_pool"] = { policy = lunette.compile { ipv4_pool = "10.0.0.0/30" }, on_frame = frames, slot = 1 },
    } do
      local ok, problem = pcall(lunette.gateway, options)
      assert.is_false(ok)
      assert.is_truthy(problem:find(message, 1, true), problem)
    end
  end)
end)
