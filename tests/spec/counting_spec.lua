--- What functions of a policy remember: counters and rate limits.

local lunette = require "lunette"
local support = require "support"

local function question(flow, address)
  return { address = address or "192.0.2.1", port = 443, flow = flow }
end

--- Whether flows are allowed, one after the other.
local function verdicts(policy, ...)
  local list = {}
  for i, ask in ipairs { ... } do list[i] = policy:evaluate(ask).action == "allow" end
  return list
end

local function limited(limit, key)
  return support.load(([[
    local lunette = require "lunette"
    local limit = lunette.ratelimit %s
    return { rules = { lunette.allow("*"):when(function(flow) return limit:take(flow, %s) end) } }
  ]]):format(limit, key or "nil"))
end

local function counting(body)
  return support.load(([[
    local lunette = require "lunette"
    return { on_connect = function(flow) %s end }
  ]]):format(body))
end

--- Waits on the clock of the limits.
local function wait(seconds) os.execute("sleep " .. seconds) end

describe("a rate limit", function()
  it("lets n flows through, and more as time goes by", function()
    local policy = limited("{ n = 2, per = 0.4 }")
    assert.same({ true, true, false, false }, verdicts(policy, question(), question(), question(), question()))
    wait(0.25)
    assert.same({ true, false }, verdicts(policy, question(), question()))
    wait(0.9)
    assert.same({ true, true, false }, verdicts(policy, question(), question(), question()))
  end)

  it("counts a flow once, however often it is judged", function()
    local policy = limited("{ n = 2, per = 3600 }")
    assert.same({ true, true, true, true, false, true, false },
      verdicts(policy, question(7), question(7), question(8), question(7), question(9), question(8), question(9)))
  end)

  it("is kept apart by key", function()
    local policy = limited("{ n = 1, per = 3600 }", "flow.address")
    local other = "192.0.2.2"
    assert.same({ true, false, true, false },
      verdicts(policy, question(), question(), question(nil, other), question(nil, other)))
    policy = limited("{ n = 1, per = 3600 }", "flow.address")
    assert.same({ true, true, true }, verdicts(policy, question(3), question(3, other), question(3)))
  end)

  it("refuses keys beyond its bound, until others have been idle", function()
    local policy = limited("{ n = 1, per = 0.5 }", "flow.flows")
    local function ask(i) return policy:evaluate { address = "192.0.2.1", port = 443, flows = i }.action end
    local allowed = 0
    for i = 1, 10000 do allowed = allowed + (ask(i) == "allow" and 1 or 0) end
    assert.is_true(allowed >= 4096 and allowed < 10000, allowed)
    wait(1.2)
    ask(1)
    assert.equal("allow", ask(20000))
  end)

  it("that is written wrongly is an error of the policy", function()
    for _, limit in ipairs { "", "{}", "{ n = 0, per = 1 }", "{ n = 1, per = 0 }", "{ n = 1, per = 1/0 }",
      "{ n = '5', per = 1 }", "{ n = 1, per = 1, burst = 2 }" } do
      local problem = support.problems("local limit = require('lunette').ratelimit(" .. limit .. ")\nreturn {}")[1]
      assert.matches("^1: ratelimit%(%)", problem)
    end
    for call, message in pairs {
      ["limit:take()"] = "give it the flow", ["limit:take(flow, {})"] = "the key is a table",
      ["limit.n.x = 1"] = "attempt to index",
    } do
      local policy = support.load(("local limit = require('lunette').ratelimit { n = 1, per = 1 }\n"
        .. "return { on_connect = function(flow) %s return 'allow' end }"):format(call))
      local decision = policy:evaluate(question())
      assert.equal("handler_error", decision.reason)
      assert.matches(message, decision.error, 1, true)
    end
  end)
end)

describe("a counter", function()
  it("counts flows, each once", function()
    local policy = counting("return lunette.counter('x'):count(flow) <= 2 and 'allow' or 'deny'")
    assert.same({ true, true, true, false, false, true },
      verdicts(policy, question(5), question(5), question(6), question(), question(8), question(6)))
  end)

  it("is the same by the same name, and is kept apart by key", function()
    local policy = counting([[
      lunette.counter("by port"):count(flow, flow.port)
      return lunette.counter("by port"):get(443) == 2 and lunette.counter("x"):get() == 0 and "allow" or "deny"]])
    assert.same({ false, true, true, false }, verdicts(policy, question(), question(),
      { address = "192.0.2.1", port = 80 }, question()))
  end)

  it("forgets the keys that were not used lately, in bounded memory", function()
    local policy = counting([[
      local counter = lunette.counter("x")
      counter:count(flow, "often")
      return counter:count(flow, flow.flows) == 1 and counter:get("often") > 9000 and "allow" or "deny"]])
    local last
    for i = 1, 10000 do
      last = policy:evaluate { address = "192.0.2.1", port = 443, flows = i % 5000, flow = i }.action
    end
    assert.equal("allow", last)
  end)

  it("needs a name and a flow", function()
    for _, call in ipairs { "lunette.counter()", "lunette.counter('x'):count()", "lunette.counter('x'):count('a')" } do
      assert.equal("handler_error", counting(call):evaluate(question()).reason)
    end
  end)
end)

describe("a gateway", function()
  local GUEST, SERVER = "\172\16\0\2", "\192\0\2\1"

  local function checksum(bytes)
    local sum = 0
    for i = 1, #bytes, 2 do sum = sum + string.unpack(">I2", bytes .. "\0", i) end
    while sum > 0xffff do sum = (sum & 0xffff) + (sum >> 16) end
    return ~sum & 0xffff
  end

  --- A segment of the guest to port 80.
  local function tcp(port, seq, ack, flags, payload)
    local function segment(sum)
      return string.pack(">I2I2I4I4BBI2I2I2", port, 80, seq, ack, 5 << 4, flags, 65535, sum, 0) .. payload
    end
    local pseudo = GUEST .. SERVER .. string.pack(">I2I2", 6, 20 + #payload)
    local function header(sum)
      return string.pack(">BBI2I2I2BBI2", 0x45, 0, 40 + #payload, 1, 0, 64, 6, sum) .. GUEST .. SERVER
    end
    return "\x02\x6c\x75\0\0\x01\x02\x6c\x75\0\0\x02\8\0" .. header(checksum(header(0)))
      .. segment(checksum(pseudo .. segment(0)))
  end

  it("tells which flow it is, before and after it has shown its name", function()
    local seen, frames = {}, {}
    local policy = lunette.compile { on_connect = function(flow)
      seen[#seen + 1] = { id = flow.id, host = flow.host }
      return "deny"
    end }
    local function on_frame(bytes) frames[#frames + 1] = bytes end
    local gateway <close> = lunette.gateway { policy = policy, on_frame = on_frame }
    local function connect(port)
      gateway:input(tcp(port, 1000, 0, 2, ""))
      gateway:dispatch()
      local server_seq = string.unpack(">I4", frames[#frames], 14 + 20 + 4 + 1)
      gateway:input(tcp(port, 1001, server_seq + 1, 24, "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"))
      gateway:dispatch()
    end
    connect(1000)
    connect(1001)
    assert.same({ nil, "a.example", nil, "a.example" }, { seen[1].host, seen[2].host, seen[3].host, seen[4].host })
    assert.equal(4, #seen)
    assert.equal(seen[1].id, seen[2].id)
    assert.equal(seen[3].id, seen[4].id)
    assert.is_true(seen[1].id ~= seen[3].id)
  end)
end)
