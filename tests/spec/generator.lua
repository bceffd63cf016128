--- Policies and questions at random, from the values at which verdicts change. The same seed and number make
--- the same policy.

local naive = require "naive"

local M = {}

local GATEWAY = { "172.16.0.1", "fd42:6d73:62::1" } -- of slot 0

local function chance(percent) return math.random(100) <= percent end
local function pick(list) return list[math.random(#list)] end

local function times(count, make)
  local list = {}
  for i = 1, count do list[i] = make(i) end
  return list
end

-- ---- addresses ----

local ADDRESSES = {
  "10.0.0.5", "10.1.2.3", "172.16.0.1", "172.16.0.2", "192.168.7.7", "203.0.113.7", "198.51.100.20", "8.8.8.8",
  "169.254.169.254", "169.254.170.2", "100.100.100.200", "224.0.0.251", "255.255.255.255", "0.0.0.0", "127.0.0.1",
  "2001:db8::7", "2001:db8:1:2::99", "fd42:6d73:62::1", "fd42:6d73:62::2", "fd00:ec2::254", "fe80::1", "ff02::fb",
  "::", "::1", "64:ff9b::a00:5", "64:ff9b::cb00:7107", "2002:a00:5::1", "2002:cb00:7107::", "::203.0.113.7",
}

local NETWORKS = {
  "0.0.0.0/0", "::/0", "0.0.0.0/8", "10.0.0.0/8", "10.0.0.4/30", "10.1.0.0/16", "100.64.0.0/10", "127.0.0.0/8",
  "169.254.0.0/16", "172.16.0.0/12", "172.16.0.0/30", "192.0.0.0/3", "203.0.113.0/24", "203.0.113.0/29", "240.0.0.0/4",
  "::ffff:10.0.0.0/104", "::/96", "64:ff9b::/96", "2002::/16", "2000::/3", "2001:db8::/32", "2001:db8::/125",
  "fd42:6d73:62::/48", "fd42:6d73:62::/64", "fe80::/10", "ff00::/8",
}

local function text_of(bits)
  local width = #bits == 32 and 8 or 16
  local parts = {}
  for at = 1, #bits, width do
    local number = tonumber(bits:sub(at, at + width - 1), 2)
    parts[#parts + 1] = (#bits == 32 and "%d" or "%x"):format(number)
  end
  return table.concat(parts, #bits == 32 and "." or ":")
end

--- One less, or one more; the same at the end of all numbers.
local function before(bits) return (bits:gsub("1(0*)$", function(low) return "0" .. ("1"):rep(#low) end)) end
local function behind(bits) return (bits:gsub("0(1*)$", function(low) return "1" .. ("0"):rep(#low) end)) end

--- The first or last address of a network, or the one before or behind.
local function edge(network)
  local digits, width = naive.network(network)
  local first, last = digits .. ("0"):rep(width - #digits), digits .. ("1"):rep(width - #digits)
  return pick { first, last, before(first), behind(last) }
end

--- The address, or one that stands for it or holds it.
local function disguised(bits)
  if #bits ~= 32 then return text_of(bits) end
  local high, low = tonumber(bits:sub(1, 16), 2), tonumber(bits:sub(17), 2)
  local forms = { "::ffff:%x:%x", "::FFFF:" .. text_of(bits), "64:ff9b::%x:%x", "2002:%x:%x::", "::%x:%x" }
  return pick(forms):format(high, low)
end

-- ---- names ----

local NAMES = {
  "example.com", "api.example.com", "a.b.api.example.com", "example.org", "db.internal.example", "internal.example",
  "xn--bcher-kva.example",
}

--- The name as people may write it.
local function spelled(name)
  if name == "xn--bcher-kva.example" and chance(50) then return pick { "bücher.example", "BÜCHER.example" } end
  if chance(20) then name = name:upper() end
  return chance(15) and name .. "." or name
end

--- One of the names, a name around it, or one that only looks alike.
local function name_near(names)
  local name = pick(names)
  local roll = math.random(10)
  if roll <= 5 then return name end
  if roll <= 7 then return pick { "www", "api", "x" } .. "." .. name end
  if roll == 8 then return "x" .. name end
  if roll == 9 then return name:match("%.(.*%..*)$") or name end
  return pick { "stranger.test", "com", name .. ".test" }
end

-- ---- policies ----

local GROUPS = { "public", "private", "loopback", "link-local", "metadata", "multicast", "host" }
local PORTS = { 1, 53, 80, 443, 65535, "443", "8000-9000", "1-1023", "1024-65535", "8080-8080", "8900-9100" }

local function destination()
  local roll = math.random(20)
  if roll <= 2 then return "*" end
  if roll <= 6 then return pick(GROUPS) end
  if roll <= 9 then return pick(NETWORKS) end
  if roll <= 11 then return pick(ADDRESSES) end
  if roll <= 16 then return spelled(pick(NAMES)) end
  return pick { ".", "*." } .. spelled(pick(NAMES))
end

local function ports() return times(pick { 0, 1, 1, 2, 3 }, function() return pick(PORTS) end) end

--- A protocol call of a chain.
local function chain_call(direction)
  local protocol = pick(direction == "egress" and { "tcp", "tcp", "udp", "icmpv4", "icmpv6" } or { "tcp", "udp" })
  return { protocols = { protocol }, ports = protocol:find("icmp") and {} or ports() }
end

--- Protocols and ports of a rule that is a table.
local function table_call(direction)
  local choices = { {}, { "tcp" }, { "udp" }, { "tcp", "udp" } }
  if direction == "egress" then
    table.move({ { "icmpv4" }, { "tcp", "icmpv4" }, { "udp", "icmpv6", "tcp" } }, 1, 3, 5, choices)
  end
  local protocols = pick(choices)
  return { protocols = protocols, ports = protocols[1] == "icmpv4" and {} or ports() }
end

local METHODS = { "GET", "POST", "DELETE" }
local PATTERNS = { "/*", "/repos/*", "/repos/a", "/admin", "/admin*", "/*a", "/repos/*/b", "/" }
local PATHS = {}
for path in pairs(naive.paths) do PATHS[#PATHS + 1] = path end
table.sort(PATHS)

--- Makes it a rule about requests.
local function for_requests(rule)
  rule.direction, rule.form = "egress", pick { "chain", "table" }
  rule.calls = { chance(50) and {} or { protocols = { "tcp" }, ports = ports() } }
  rule.calls[1].protocols = rule.calls[1].protocols or rule.form == "table" and {} or nil
  rule.http = {
    methods = chance(50) and times(math.random(2), function() return pick(METHODS) end) or nil,
    path = chance(70) and pick(PATTERNS) or nil,
  }
  return rule
end

local function written_rule()
  local rule = {
    action = pick { "allow", "allow", "deny", "reject" },
    direction = pick { "egress", "egress", "egress", "ingress", "any" },
    destinations = { destination() },
    form = pick { "chain", "table", "line" },
  }
  if rule.form == "chain" then
    rule.calls = times(math.random(0, 3), function() return chain_call(rule.direction) end)
    if #rule.calls == 0 then rule.calls = { {} } end
  else
    rule.calls = { table_call(rule.direction) }
  end
  if rule.form ~= "line" and chance(20) then rule.destinations[2] = destination() end
  return rule
end

local function deny_list(prefixes)
  local count = chance(20) and math.random(2) or 0
  return times(count, function() return { name = pick(prefixes) .. spelled(pick(NAMES)) } end)
end

-- ---- policies as text ----

local function quoted(value) return math.type(value) and tostring(value) or ("%q"):format(value) end

local function listed(values)
  return "{" .. table.concat(times(#values, function(i) return quoted(values[i]) end), ", ") .. "}"
end

local function destinations_text(rule)
  return #rule.destinations == 1 and quoted(rule.destinations[1]) or listed(rule.destinations)
end

local function http_text(http)
  local methods = http.methods and ("methods = %s, "):format(listed(http.methods)) or ""
  return ("{ %s%s }"):format(methods, http.path and ("path = %q"):format(http.path) or "")
end

local function chain_text(rule)
  local text = ("lunette.%s(%s)"):format(rule.action, destinations_text(rule))
  for _, call in ipairs(rule.calls) do
    local ports_text = listed(call.ports or {}):sub(2, -2)
    if call.protocols then text = ("%s:%s(%s)"):format(text, call.protocols[1], ports_text) end
  end
  if rule.http then text = text .. ":http " .. http_text(rule.http) end
  return rule.direction == "egress" and text or text .. ":" .. rule.direction .. "()"
end

local function table_text(rule)
  local call = rule.calls[1]
  local fields = {
    ("action = %q, direction = %q, destination = %s"):format(rule.action, rule.direction, destinations_text(rule)),
  }
  if rule.http then fields[2] = "http = " .. http_text(rule.http) end
  for _, field in ipairs { "protocol", "port" } do
    local values = call[field .. "s"] or {}
    if #values == 1 then
      fields[#fields + 1] = field .. " = " .. quoted(values[1])
    elseif #values > 1 then
      fields[#fields + 1] = field .. "s = " .. listed(values)
    end
  end
  return "{ " .. table.concat(fields, ", ") .. " }"
end

local function line_text(rule)
  local call = rule.calls[1]
  local direction = rule.direction == "egress" and "" or ":" .. rule.direction
  if #call.protocols == 0 and #call.ports > 0 then call.protocols = { "tcp", "udp" } end -- ports need protocols
  local text = rule.action .. direction .. "@" .. rule.destinations[1]
  if #call.protocols > 0 then text = text .. ":" .. table.concat(call.protocols, ",") end
  if #call.ports > 0 then text = text .. ":" .. table.concat(call.ports, ",") end
  return quoted(text)
end

local TEXTS = { chain = chain_text, table = table_text, line = line_text }

--- Writes the policy as a file's text, and each rule's line into the rule.
local function write(policy)
  local lines = { 'local lunette = require "lunette"', "return {" }
  local function add(text, item)
    lines[#lines + 1] = text
    if item then item.line = #lines end
  end
  if policy.preset then
    add(("policy = %q,"):format(policy.preset))
    policy.preset_line = #lines
  else
    add("rules = {")
    for _, rule in ipairs(policy.rules) do add(TEXTS[rule.form](rule) .. ",", rule) end
    add("},")
  end
  for _, key in ipairs { "deny_domains", "deny_domain_suffixes" } do
    if #policy[key] > 0 then
      add(key .. " = {")
      for _, item in ipairs(policy[key]) do add(("%q,"):format(item.name), item) end
      add("},")
    end
  end
  if policy.has_requests then add("tls = {},") end
  for _, key in ipairs { "default_egress", "default_ingress" } do
    if policy[key] then add(("%s = %q,"):format(key, policy[key])) end
  end
  add("}")
  policy.text = table.concat(lines, "\n") .. "\n"
end

local function destinations_of(policy, wanted)
  local list = {}
  for _, rule in ipairs(policy.rules) do
    for _, each in ipairs(rule.destinations) do
      if naive.kind_of(each) == wanted then list[#list + 1] = each end
    end
  end
  return list
end

--- Where edges are looked for: the policy's networks as often as the groups'.
local function networks_near(policy)
  local networks = destinations_of(policy, "network")
  return #networks > 0 and chance(80) and networks or naive.group_networks
end

local function names_of(policy)
  local names = destinations_of(policy, "name")
  for i, name in ipairs(names) do
    names[i] = naive.canonical((name:gsub("^%*?%.", chance(50) and "" or "below.")))
  end
  for _, key in ipairs { "deny_domains", "deny_domain_suffixes" } do
    for _, item in ipairs(policy[key]) do names[#names + 1] = naive.canonical((item.name:gsub("^%.", ""))) end
  end
  return #names > 0 and chance(80) and names or NAMES
end

--- The pins of the policy's names; all of them where there is none.
local function pins_near(policy)
  local near = {}
  for _, name in ipairs(names_of(policy)) do
    for _, pin in ipairs(policy.pins) do
      if naive.canonical(pin.name) == name then near[#near + 1] = pin end
    end
  end
  return #near > 0 and near or policy.pins
end

local function address_near(policy)
  local roll = math.random(20)
  if roll <= (#destinations_of(policy, "name") > 0 and 14 or 3) and #policy.pins > 0 then
    return pick(pins_near(policy)).address
  end
  if roll >= 19 then return pick(policy.gateway) end
  if roll >= 16 then return pick(ADDRESSES) end
  local bits = edge(pick(networks_near(policy)))
  return chance(20) and disguised(bits) or text_of(bits)
end

--- The policy with but one of its rules, mostly: what is near that rule is asked about.
local function aimed(policy)
  if #policy.rules == 0 or chance(30) then return policy end
  local part = { rules = { pick(policy.rules) }, deny_domains = {}, deny_domain_suffixes = {} }
  return setmetatable(part, { __index = policy })
end

local function pins(policy)
  local addresses = times(4, function() return address_near(policy) end)
  return times(math.random(0, 6), function()
    return { name = spelled(name_near(names_of(aimed(policy)))), address = pick(addresses) }
  end)
end

--- A policy of a seed, as naive.lua takes it, and its `text`.
---@param seed integer
---@param number integer
---@return table
function M.policy(seed, number)
  math.randomseed(seed, number)
  local policy = {
    preset = chance(4) and pick { "none", "public-only", "allow-all", "non-local" } or nil,
    rules = {}, pins = {}, gateway = GATEWAY, machine = {},
    deny_domains = deny_list { "" }, deny_domain_suffixes = deny_list { "", "." },
  }
  if not policy.preset then
    policy.rules = times(math.random(0, 8), written_rule)
    policy.has_requests = chance(40)
    for _, rule in ipairs(policy.has_requests and policy.rules or {}) do
      if chance(60) then for_requests(rule) end
    end
    policy.default_egress = chance(50) and pick { "allow", "allow", "deny", "reject" } or nil
    policy.default_ingress = chance(50) and pick { "allow", "deny", "deny", "reject" } or nil
  end
  write(policy)
  policy.pins = pins(policy)
  return policy
end

-- ---- questions ----

--- An end of a range of the policy, or next to it.
local function port_near(policy)
  local ranges = {}
  for _, rule in ipairs(policy.rules) do
    for _, call in ipairs(rule.calls) do table.move(call.ports or {}, 1, #(call.ports or {}), #ranges + 1, ranges) end
  end
  local first, last = tostring(pick(#ranges > 0 and chance(80) and ranges or PORTS)):match("^(%d+)%-?(%d*)$")
  local port = tonumber(last ~= "" and chance(50) and last or first) + pick { -1, 0, 0, 0, 0, 0, 0, 1 }
  return math.max(0, math.min(65535, port))
end

--- The name that the client shows at this address; false: not known yet; nil: none.
local function shown(policy, address)
  local roll = math.random(10)
  if roll <= 3 then return nil end
  if roll <= 5 then return false end
  local names = {}
  for _, pin in ipairs(policy.pins) do
    if pin.address == address then names[#names + 1] = naive.canonical(pin.name) end
  end
  return spelled(#names > 0 and chance(60) and pick(names) or name_near(names_of(policy)))
end

local function protocol_near(policy)
  local call = #policy.rules > 0 and pick(pick(policy.rules).calls) or {}
  local protocols = call.protocols or {}
  return #protocols > 0 and chance(90) and pick(protocols) or pick { "tcp", "tcp", "udp", "icmpv4", "icmpv6" }
end

local function direction_near(policy)
  local wanted = #policy.rules > 0 and pick(policy.rules).direction or "any"
  return wanted ~= "any" and chance(90) and wanted or pick { "egress", "egress", "ingress" }
end

--- A question to the policy: as policy:evaluate() takes it, or policy:evaluate_dns().
---@param whole table the policy made last
---@return table
function M.question(whole)
  local policy = aimed(whole)
  if chance(20) then
    return { name = spelled(name_near(names_of(policy))), protocol = pick { "udp", "udp", "tcp" } }
  end
  local question = {
    direction = direction_near(policy), protocol = protocol_near(policy), address = address_near(policy),
  }
  local is_icmp = question.protocol:find("icmp") ~= nil
  if is_icmp then question.direction = "egress" else question.port = port_near(policy) end
  if question.protocol == "tcp" or chance(10) then question.sni = shown(policy, question.address) end
  local has_requests = whole.has_requests and question.direction == "egress" and question.protocol == "tcp"
  if has_requests and question.sni ~= false and chance(60) then
    if chance(10) then
      question.http = false
    else
      question.method, question.path = pick { "GET", "POST", "DELETE", "get" }, pick(PATHS)
    end
  end
  return question
end

return M
