--- `lunette replay`: recorded events, judged by another policy.

local json = require "dkjson"
local support = require "support"

local run = support.lunette

local function event(kind, fields)
  fields.kind, fields.time = kind, "2026-01-02T03:04:05.678Z"
  fields.direction = fields.direction or "egress"
  fields.src, fields.src_port = fields.src or "172.16.0.2", 40000
  return json.encode(fields)
end

local function query(name, addresses, fields)
  fields = fields or {}
  fields.protocol, fields.dst, fields.port = "udp", fields.dst or "172.16.0.1", 53
  fields.name, fields.type, fields.addresses = name, "A", addresses
  fields.action, fields.reason = fields.action or "allow", fields.reason or "default"
  return event(fields.kind or (fields.action == "allow" and "dns_query" or "dns_denied"), fields)
end

local function flow(address, port, fields)
  fields = fields or {}
  fields.protocol, fields.dst, fields.port = fields.protocol or "tcp", address, port
  fields.action, fields.reason = fields.action or "allow", fields.reason or "default"
  return event(fields.action == "allow" and "flow_open" or "flow_denied", fields)
end

local directory = support.directory()

--- Replays these lines by this policy (text, or a preset): the result, and the lines of its output.
local function replay(lines, policy, ...)
  support.write(directory .. "/events", table.concat(lines, "\n") .. "\n")
  local path = policy:find "%s" and support.policy_file(policy) or policy
  local result = run("replay", directory .. "/events", path, ...)
  local out = {}
  for line in result.out:gmatch "[^\n]+" do out[#out + 1] = line end
  return result, out
end

local function policy(rules) return ("local lunette = require 'lunette'\nreturn { rules = { %s } }"):format(rules) end

describe("replay", function()
  it("is 0 where nothing changes", function()
    local result, out = replay({ query("web.example", { "203.0.113.10" }), flow("203.0.113.10", 443) }, "allow-all")
    assert.equal(0, result.status)
    assert.same({ "2 judged, 0 would change; 0 not judged" }, out)
  end)

  it("shows what changes, by which rule, and counts it", function()
    local result, out = replay({
      query("web.example", { "203.0.113.10" }),
      flow("203.0.113.10", 443, { name = "web.example", name_from = "shown" }),
      flow("203.0.113.10", 80, { name = "web.example", name_from = "resolved" }),
      flow("198.51.100.1", 443, { action = "deny" }),
      flow("198.51.100.2", 53, { protocol = "udp" }),
    }, policy [[lunette.allow("web.example"):tcp(443), lunette.allow("198.51.100.0/31"):tcp(443),
      lunette.reject("198.51.100.2")]])
    assert.equal(1, result.status)
    assert.equal(4, #out)
    assert.equal("allow  -> deny    egress tcp 203.0.113.10:80 (web.example): default_egress", out[1])
    assert.matches("^deny   %-> allow   egress tcp 198.51.100.1:443: rule 2 %(.*policy.lua:2%): allow@198.51.100.0/31",
      out[2])
    assert.matches("^allow  %-> reject  egress udp 198.51.100.2:53: rule 3 ", out[3])
    assert.equal("5 judged, 3 would change: 1 deny -> allow, 1 allow -> deny, 1 allow -> reject; 0 not judged", out[4])
  end)

  it("takes names from the recorded answers, and only where the policy lets them be asked for", function()
    local events = { query("web.example", { "203.0.113.10" }), query("alt.example", { "203.0.113.11" }),
      flow("203.0.113.10", 443), flow("203.0.113.11", 443) }
    local _, out = replay(events, policy 'lunette.allow("web.example"):tcp(443)')
    assert.same({
      "allow  -> deny    dns alt.example A: default_egress",
      "allow  -> deny    egress tcp 203.0.113.11:443: default_egress",
    }, { out[1], out[2] })
    assert.equal(3, #out)
  end)

  it("knows what a client claims from what it resolved", function()
    local allow = policy 'lunette.allow("web.example"):tcp(443), lunette.allow("other.example"):tcp(80)'
    local both = { query("web.example", { "203.0.113.10" }), query("other.example", { "203.0.113.10" }) }
    both[3] = flow("203.0.113.10", 443, { name = "other.example", name_from = "shown" })
    assert.equal(1, replay(both, allow).status)
    both[3] = flow("203.0.113.10", 443, { name = "other.example", name_from = "resolved" })
    assert.equal(0, replay(both, allow).status)
    assert.equal(1, replay({ flow("203.0.113.9", 443, { name = "web.example", name_from = "shown" }) }, allow).status)
  end)

  it("judges answers by rebind protection, and resolvers of the guest's choice as flows", function()
    local rebind = query("db.example", { "10.0.0.1" }, { kind = "dns_rebind", action = "deny", reason = "rebind" })
    assert.equal(0, replay({ rebind }, "public-only").status)
    local _, out = replay({ rebind }, "non-local")
    assert.equal("deny   -> allow   dns db.example A: rule 1 (non-local): allow@dns", out[1])
    local elsewhere = query("web.example", nil, { dst = "9.9.9.9" })
    assert.equal(1, replay({ elsewhere }, policy "lunette.allow_dns()").status)
    assert.equal(0, replay({ elsewhere }, policy "lunette.allow_dns(), lunette.allow('9.9.9.9'):udp(53)").status)
  end)

  it("knows the recorded gateway as the host, whatever its slot", function()
    local events = { query("web.example", nil, { src = "172.16.0.130", dst = "172.16.0.129" }),
      flow("172.16.0.129", 8080, { src = "172.16.0.130" }),
      flow("fd42:6d73:62:9::1", 8080, { src = "fd42:6d73:62:9::2" }) }
    assert.equal(0, replay(events, policy "lunette.allow_dns(), lunette.allow('host'):tcp(8080)").status)
  end)

  it("does not judge what no policy decided, nor what the recording cannot tell", function()
    local result, out = replay({
      flow("203.0.113.10", 443, { action = "deny", reason = "first_flight_malformed" }),
      query("use-application-dns.net", nil, { action = "deny", reason = "discovery" }),
      query("alias.example", nil, { action = "deny", reason = "alias" }),
      query("a\\000b.example", nil, {}),
      event("flow_close", {}), event("limit", { reason = "max_connections" }), event("something_new", {}),
    }, "allow-all")
    assert.equal(0, result.status)
    assert.same({ "0 judged, 0 would change; 4 not judged" }, out)
  end)

  it("judges what comes from outside by the peer and the guest's port", function()
    local incoming = flow("172.16.0.2", 80, { direction = "ingress", src = "10.0.0.9" })
    local _, out = replay({ incoming }, "return { rules = { 'deny:ingress@10.0.0.0/8:tcp:80' } }")
    assert.matches("^allow  %-> deny    ingress tcp 10.0.0.9 %-> 80: rule 1 ", out[1])
  end)

  it("shows all with --all, and objects with --json", function()
    local events = { query("web.example", { "203.0.113.10" }), flow("203.0.113.10", 443) }
    local _, out = replay(events, "allow-all", "--all")
    assert.same({
      "allow             dns web.example A: default_egress",
      "allow             egress tcp 203.0.113.10:443: default_egress",
      "2 judged, 0 would change; 0 not judged",
    }, out)
    _, out = replay(events, "none", "--json")
    assert.equal(3, #out)
    local first, counts = json.decode(out[1]), json.decode(out[3])
    assert.equal("dns web.example A", first.query)
    assert.equal("allow", first.before)
    assert.equal("deny", first.after)
    assert.equal("default", first.reason)
    assert.equal(1, first.line)
    assert.same({ judged = 2, changed = 2, not_judged = 0 }, counts)
  end)

  it("refuses what is no recording, with the line", function()
    for text, message in pairs {
      ["{"] = ":2: a key is missing", ["[1]"] = ":2: this is not an object", ["x"] = ":2: this is not JSON",
      ["{}"] = ":2: `kind` is missing", ['{"kind":"drop"}'] = ":2: `time` is missing",
      ['{"kind":"flow_open","time":"x","protocol":"sctp"}'] = ":2: `protocol` is missing or is none",
      ['{"kind":7,"time":"x"}'] = ":2: a field is not the string that it should be",
      [flow("203.0.113.300", 1)] = ":2: an address is missing or is none",
      [flow("203.0.113.3", 65536)] = ":2: a port is not one",
      [query("a.example", "x")] = ":2: `addresses` is not a list",
      [query("a.example", { 1 })] = ":2: an address is missing or is none",
      [flow("203.0.113.3", 80, { action = "defer" })] = ":2: `action` is missing or is none",
    } do
      local result = replay({ flow("203.0.113.10", 443), text }, "allow-all")
      assert.equal(2, result.status, text)
      assert.is_truthy(result.err:find("events" .. message, 1, true), result.err)
    end
    assert.equal(2, run("replay", "/nonexistent", "none").status)
    assert.equal(2, run("replay", directory .. "/events").status)
    assert.equal(2, run("replay", directory .. "/events", "/nonexistent.lua").status)
  end)
end)
