--- The explanation is the verdict: a thousand random flows, each judged by `lunette match --trace`'s
--- evaluator and by the wire.

local lab = require "tests.lab.lab"
local lunette = require "lunette"

local SEED = tonumber(os.getenv "LAB_SEED") or os.time()

local ADDRESSES = { "203.0.113.%d", "198.51.100.%d", "10.9.0.%d", "2001:db8:1::%x", "fd99::%x" }
local PORTS = { 7, 80, 8080, 9002, 4, 65535 }

--- A policy of random rules over the lab's addresses.
local function random_policy()
  local rules = {}
  for i = 1, 40 do
    local address = ADDRESSES[math.random(#ADDRESSES)]:format(math.random(1, 40))
    local v6 = address:find ":"
    local destination = ({
      address, v6 and "2001:db8:1::/124" or "203.0.113.0/28", v6 and "fd99::/123" or "198.51.100.8/29",
      "public", "private", "*",
    })[math.random(6)]
    local port = PORTS[math.random(#PORTS)]
    rules[i] = ('{ action = "%s", destination = "%s"%s%s }'):format(
      ({ "allow", "deny", "reject" })[math.random(3)], destination,
      ({ "", ', protocol = "tcp"', ', protocol = "udp"', ', protocols = { "tcp", "udp" }' })[math.random(4)],
      math.random() < 0.7 and (', ports = { %d, "%d-%d" }'):format(port, math.max(1, port - 3), port) or "")
  end
  return ("return { rules = {\n%s\n}, default_egress = '%s' }\n"):format(table.concat(rules, ",\n"),
    math.random(2) == 1 and "allow" or "deny")
end

describe("a thousand random flows", function()
  it("get on the wire what match says (LAB_SEED=" .. SEED .. ")", function()
    math.randomseed(SEED)
    for _ = 1, 4 do
      local text = random_policy()
      local path = lab.file(".lua", text)
      local policy = lunette.load(path)
      local lines, want, seen = {}, {}, {}
      while #lines < 250 do
        local address = ADDRESSES[math.random(#ADDRESSES)]:format(math.random(1, 40))
        local protocol, port = math.random(2) == 1 and "tcp" or "udp", PORTS[math.random(#PORTS)]
        local line = ("%s %s %d"):format(protocol, address, port)
        if not seen[line] then
          seen[line] = true
          lines[#lines + 1] = line
          want[#lines] = policy:evaluate { direction = "egress", protocol = protocol, address = address, port = port }
        end
      end
      local mark = lab.mark()
      local _, result = lab.probe(path, lines, { seconds = 120 })
      local arrived = {}
      for _, packet in ipairs(lab.since("packets", mark)) do arrived[packet] = true end
      local told = {}
      for _, event in ipairs(result.events) do
        if event.kind == "flow_open" or event.kind == "flow_denied" then
          told[("%s %s %d"):format(event.protocol, event.dst, event.port)] = event
        end
      end
      for i, line in ipairs(lines) do
        local decision, event = want[i], told[line]
        local context = line .. " by\n" .. text
        assert.equal(decision.action == "allow", arrived[line] == true, context)
        assert.is_truthy(event, "no event: " .. context)
        assert.equal(decision.action, event.action, context)
        assert.equal(decision.rule, event.rule, context)
        assert.equal(decision.source, event.source, context)
      end
    end
  end)

  it("are explained by the match command as by the wire", function()
    local text = [[return { rules = {
      { action = "deny", destination = "203.0.113.11" },
      { action = "allow", destination = "203.0.113.0/24", protocol = "tcp", port = 7 } } }]]
    local path = lab.file(".lua", text)
    local lines = { "tcp 203.0.113.10 7", "tcp 203.0.113.11 7", "tcp 203.0.113.10 80" }
    local outcomes = lab.probe(text, lines)
    for i, query in ipairs { "egress tcp 203.0.113.10:7", "egress tcp 203.0.113.11:7", "egress tcp 203.0.113.10:80" } do
      local match = lab.host(("%s match --trace %s %s"):format(lab.lunette, path, query))
      assert.equal(outcomes[i] == "open" and 0 or 1, match.status, match.out .. match.err)
    end
  end)
end)
