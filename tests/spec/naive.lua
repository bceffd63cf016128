--- The rules of verdicts once more, and naively: a policy is a list that is walked, an address is a string of
--- zeros and ones. Nothing here is lunette's, so that what lunette says can be held against it.
---
--- A policy is a table as generator.lua makes it: `preset`; or `rules`, each with action, direction,
--- destinations, calls (protocols and ports of each), http (methods and path) and line; deny_domains and
--- deny_domain_suffixes, each with name and line; default_egress and default_ingress. Beside it stand what a
--- sandbox has: `gateway` and `machine`, lists of addresses, and `pins`, each with name and address.

local M = {}

-- ---- addresses ----

local function binary(number, width)
  local digits = {}
  for i = width - 1, 0, -1 do digits[#digits + 1] = tostring(number >> i & 1) end
  return table.concat(digits)
end

local function bits_of_v4(text)
  return (text:gsub("(%d+)%.?", function(byte) return binary(tonumber(byte), 8) end))
end

local MAPPED = ("0"):rep(80) .. ("1"):rep(16)

--- 32 digits of an IPv4 address, or an IPv6 address that maps one; else 128.
---@param text string
---@return string
function M.address(text)
  if not text:find(":") then return bits_of_v4(text) end
  local function groups(part)
    return (part:gsub("([^:]+):?", function(group)
      return group:find("%.") and bits_of_v4(group) or binary(tonumber(group, 16), 16)
    end))
  end
  local left, right = text:match("^(.*)::(.*)$")
  local head, tail = groups(left or text), groups(right or "")
  local bits = head .. ("0"):rep(128 - #head - #tail) .. tail
  return bits:sub(1, 96) == MAPPED and bits:sub(97) or bits
end

local networks = {} -- those read already

--- The digits that a network's addresses start with, and how many digits those have.
---@param text string an address or a CIDR
---@return string digits
---@return integer width
function M.network(text)
  if not networks[text] then
    local base, length = text:match("^(.*)/(%d+)$")
    local bits = M.address(base or text)
    local spare = base and (base:find(":") and 128 or 32) - tonumber(length) or 0
    networks[text] = { bits:sub(1, #bits - spare), #bits }
  end
  return networks[text][1], networks[text][2]
end

local function is_within(bits, network)
  local digits, width = M.network(network)
  return #bits == width and bits:sub(1, #digits) == digits
end

local function is_within_one(bits, list)
  for _, network in ipairs(list) do
    if is_within(bits, network) then return true end
  end
  return false
end

--- The IPv4 address in a NAT64, 6to4 or IPv4-compatible one.
local function embedded(bits)
  if is_within(bits, "2002::/16") then return bits:sub(17, 48) end
  return is_within_one(bits, { "64:ff9b::/96", "::/96" }) and bits:sub(97) or nil
end

local NEVER = { "0.0.0.0/8", "127.0.0.0/8", "240.0.0.0/4", "::/128", "::1/128" }

local function is_never(bits)
  local inner = embedded(bits)
  return is_within_one(bits, NEVER) or inner ~= nil and is_within_one(inner, NEVER)
end

local GROUPS = {
  { "metadata", { "169.254.169.254", "169.254.170.2", "100.100.100.200", "fd00:ec2::254" } },
  { "private", { "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7" } },
  { "loopback", { "127.0.0.0/8", "::1" } },
  { "link-local", { "169.254.0.0/16", "fe80::/10" } },
  { "multicast", { "224.0.0.0/4", "ff00::/8" } },
}

M.group_networks = {}
for _, group in ipairs(GROUPS) do table.move(group[2], 1, #group[2], #M.group_networks + 1, M.group_networks) end

local function group_of(bits, policy)
  if is_within_one(bits, policy.gateway) or is_within_one(bits, policy.machine) then return "host" end
  for _, group in ipairs(GROUPS) do
    if is_within_one(bits, group[2]) then return group[1] end
  end
  local inner = embedded(bits)
  return inner and group_of(inner, policy) or "public"
end

-- ---- names ----

local A_LABELS = { ["bücher"] = "xn--bcher-kva", ["BÜCHER"] = "xn--bcher-kva" } -- by UTS 46

---@param name string
---@return string
function M.canonical(name)
  return (name:gsub("%.$", ""):gsub("[^.]+", function(label) return A_LABELS[label] or label:lower() end))
end

local function is_below(name, apex) return #name > #apex and name:sub(-#apex - 1) == "." .. apex end

-- ---- rules ----

local PRESETS = {
  ["none"] = { "deny", "deny" },
  ["public-only"] = { "deny", "allow", "dns", "public" },
  ["allow-all"] = { "allow", "allow" },
  ["non-local"] = { "deny", "allow", "dns", "public", "private" },
}

local function preset_rule(name, line)
  local call = name == "dns" and { protocols = { "udp", "tcp" }, ports = { 53 } } or {}
  return { action = "allow", destinations = { name == "dns" and "host" or name }, calls = { call }, line = line }
end

--- The policy as a list of rules with one destination each.
---@return table[]
function M.expand(policy)
  local rules = {}
  local function deny(destination, item)
    rules[#rules + 1] = { action = "deny", destination = destination, line = item.line, is_deny_list = true }
  end
  for _, item in ipairs(policy.deny_domains) do deny(item.name, item) end
  for _, item in ipairs(policy.deny_domain_suffixes) do
    local apex = item.name:gsub("^%.", "")
    deny(apex, item)
    deny("." .. apex, item)
  end
  local written = policy.rules
  if policy.preset then
    written = {}
    for i = 3, #PRESETS[policy.preset] do
      written[#written + 1] = preset_rule(PRESETS[policy.preset][i], policy.preset_line)
    end
  end
  for _, item in ipairs(written) do
    for _, call in ipairs(item.calls) do
      for _, destination in ipairs(item.destinations) do
        rules[#rules + 1] = {
          action = item.action, direction = item.direction, destination = destination, line = item.line,
          protocols = item.http and { "tcp" } or call.protocols, ports = call.ports, http = item.http,
        }
      end
    end
  end
  return rules
end

local function default(policy, direction)
  if policy.preset then return PRESETS[policy.preset][direction == "egress" and 1 or 2] end
  return direction == "egress" and (policy.default_egress or "deny") or policy.default_ingress or "allow"
end

local function contains(list, value)
  for _, item in ipairs(list) do
    if item == value then return true end
  end
  return false
end

local function fits_direction(rule, direction)
  return rule.direction == "any" or (rule.direction or "egress") == direction
end

local function fits_port(rule, question)
  if not rule.ports or #rule.ports == 0 then return true end
  if question.protocol ~= "tcp" and question.protocol ~= "udp" then return false end
  for _, range in ipairs(rule.ports) do
    local first, last = tostring(range):match("^(%d+)%-?(%d*)$")
    if question.port >= tonumber(first) and question.port <= tonumber(last ~= "" and last or first) then return true end
  end
  return false
end

local function fits_protocol(rule, question)
  local protocols = rule.protocols or {}
  return (#protocols == 0 or contains(protocols, question.protocol)) and fits_port(rule, question)
end

--- Whether a destination is a name, and whether one of these is it or is below it.
local function fits_names(destination, names)
  local suffix = destination:match("^%*?%.(.*)$")
  local wanted = M.canonical(suffix or destination)
  for _, name in ipairs(names) do
    if suffix and is_below(name, wanted) or not suffix and name == wanted then return true end
  end
  return false
end

--- "any", "group", "network" or "name".
---@param destination string
local function kind_of(destination)
  if destination == "*" then return "any" end
  if destination:find(":") or destination:find("^[%d./]+$") then return "network" end
  for _, group in ipairs(GROUPS) do
    if group[1] == destination then return "group" end
  end
  return (destination == "host" or destination == "public") and "group" or "name"
end

M.kind_of = kind_of

-- ---- verdicts ----

--- The names of an address that a rule sees. What is shown without being resolved opens nothing: it is seen
--- by rules that refuse, and takes from their sight nothing that was resolved.
local function names_seen(rule, pinned, shown)
  if not shown then return pinned end
  if contains(pinned, shown) then return { shown } end
  if rule.action == "allow" then return {} end
  local names = { shown }
  return table.move(pinned, 1, #pinned, 2, names)
end

--- Whether a network is no way to the gateway, whose address stands for the machine's loopback: where it is
--- allowed, and is not that address alone.
local function spares_gateway(rule, direction)
  local digits, width = M.network(rule.destination)
  return direction == "egress" and rule.action == "allow" and #digits < width
end

--- Whether the destination of a rule is the peer.
local function fits_peer(policy, rule, direction, bits, names)
  local kind = kind_of(rule.destination)
  if kind == "any" then return true end
  if kind == "name" then return fits_names(rule.destination, names) end
  if kind == "group" then return group_of(bits, policy) == rule.destination end
  return is_within(bits, rule.destination)
    and not (spares_gateway(rule, direction) and is_within_one(bits, policy.gateway))
end

local function decision_of(policy, rules, index, direction)
  local rule = rules[index]
  if not rule then return { action = default(policy, direction), reason = "default" } end
  return {
    action = rule.action, rule = index, line = rule.line, reason = rule.is_deny_list and "deny_domain" or "rule",
  }
end

-- ---- requests ----

--- Paths, and what servers may take them for; `start`: that is in doubt but for how it begins.
M.paths = {
  ["/"] = { "/" }, ["/repos/a"] = { "/repos/a" }, ["/repos/a?b=/admin"] = { "/repos/a" },
  ["/%72epos/%61"] = { "/repos/a" }, ["/Repos/a/"] = { "/Repos/a/" }, ["/admin"] = { "/admin" },
  ["/ADMIN/"] = { "/ADMIN/" }, ["/repos/../admin"] = { "/repos/../admin", "/admin" },
  ["/repos/./a"] = { "/repos/./a", "/repos/a" }, ["/repos/a%2fb"] = { start = "/repos/" },
  ["/repos/..;/admin"] = { start = "/" }, ["//admin"] = { start = "/" }, ["/x%5c..%5cadmin"] = { start = "/" },
}

local function is_like(text, pattern)
  return text:find("^" .. pattern:gsub("[^%w*]", "%%%0"):gsub("%*", ".*") .. "$") ~= nil
end

local function without_slash(path) return #path > 1 and path:gsub("/$", "") or path end

local function allows_path(pattern, path)
  if path.start then return pattern == "/*" end
  for _, reading in ipairs(path) do
    if not is_like(reading, pattern) then return false end
  end
  return true
end

local function refuses_path(pattern, path)
  pattern = without_slash(pattern:lower())
  if path.start then
    local literal, start = pattern:match("^[^*]*"), path.start
    return literal:sub(1, #start) == start:sub(1, #literal)
  end
  for _, reading in ipairs(path) do
    reading = reading:lower()
    if is_like(reading, pattern) or is_like(without_slash(reading), pattern) then return true end
  end
  return false
end

--- Whether a rule is for the request: true, false, or nil: nothing is known of requests.
local function fits_request(rule, question)
  if not rule.http or question.http == false then return not rule.http end
  if not question.method then return nil end
  local is_allow, methods, path = rule.action == "allow", rule.http.methods, rule.http.path
  local method = is_allow and question.method or question.method:upper()
  if methods and not contains(methods, method) then return false end
  local fits = is_allow and allows_path or refuses_path
  return not path or fits(path, M.paths[question.path])
end

--- What decides; a rule about requests, while nothing is known of them, is a maybe: the connection is let in to
--- be inspected where one before what decides comes to another end.
local function judge(policy, rules, question, bits, pinned, shown)
  local maybe, index = {}, nil
  for i, rule in ipairs(rules) do
    if fits_direction(rule, question.direction) and fits_protocol(rule, question)
      and fits_peer(policy, rule, question.direction, bits, names_seen(rule, pinned, shown)) then
      local fits = fits_request(rule, question)
      if fits then
        index = i
        break
      end
      local side = rule.action == "allow" and "allow" or "refuse"
      if fits == nil then maybe[side] = maybe[side] or i end
    end
  end
  local decision = decision_of(policy, rules, index, question.direction)
  if decision.action ~= "allow" and maybe.allow then
    decision = decision_of(policy, rules, maybe.allow, question.direction)
    decision.inspect = true
  elseif decision.action == "allow" and maybe.refuse then
    decision.inspect = true
  end
  return decision
end

--- Names for each thing that a name can be to these rules: theirs, ones below theirs, and a stranger.
local function names_to_show(rules, pinned)
  local names = table.move(pinned, 1, #pinned, 1, {})
  for _, rule in ipairs(rules) do
    if kind_of(rule.destination) == "name" then
      local name = M.canonical(rule.destination:match("^%*?%.(.*)$") or rule.destination)
      names[#names + 1] = name
      names[#names + 1] = "nobody-asked-for-this." .. name
    end
  end
  names[#names + 1] = "nobody-asked-for-this.test"
  return names
end

--- Where a connection ends: "refused", "inspected" or "let in".
local function end_of(decision)
  return decision.action ~= "allow" and "refused" or decision.inspect and "inspected" or "let in"
end

--- Whether the name that the client is still to show makes the difference between these.
local function hangs_on_name(policy, rules, question, bits, pinned)
  local unnamed = end_of(judge(policy, rules, question, bits, pinned, nil))
  for _, name in ipairs(names_to_show(rules, pinned)) do
    if end_of(judge(policy, rules, question, bits, pinned, name)) ~= unnamed then return true end
  end
  return false
end

local function names_pinned(pins, bits)
  local names = {}
  for _, pin in ipairs(pins) do
    if M.address(pin.address) == bits then names[#names + 1] = M.canonical(pin.name) end
  end
  return names
end

--- A connection. `sni` as policy:evaluate() takes it.
---@param policy table
---@param question { direction: string, protocol: string, address: string, port?: integer, sni?: string|false }
---@return { action: string, reason: string, rule?: integer, line?: integer }
function M.evaluate(policy, question)
  local bits, egress = M.address(question.address), question.direction == "egress"
  if egress and is_never(bits) then return { action = "deny", reason = "never" } end
  local rules, pinned = M.expand(policy), names_pinned(policy.pins, bits)
  local shown = egress and question.sni and M.canonical(question.sni) or nil
  if question.sni == false and egress and question.protocol == "tcp"
    and hangs_on_name(policy, rules, question, bits, pinned) then
    return { action = "defer", reason = "name_unknown" }
  end
  return judge(policy, rules, question, bits, pinned, shown)
end

--- A DNS query.
---@param question { name: string, protocol: "udp"|"tcp" }
function M.evaluate_dns(policy, question)
  local rules, to_resolver = M.expand(policy), { protocol = question.protocol, port = 53 }
  for i, rule in ipairs(rules) do
    local kind, fits = kind_of(rule.destination), false
    if kind == "name" then -- one about requests denies none
      fits = fits_names(rule.destination, { M.canonical(question.name) }) and not (rule.http and rule.action ~= "allow")
    elseif not rule.http and (kind == "any" or rule.destination == "host") then
      fits = fits_protocol(rule, to_resolver)
    end
    if fits and fits_direction(rule, "egress") then return decision_of(policy, rules, i, "egress") end
  end
  return decision_of(policy, rules, nil, "egress")
end

return M
