--- Rules in a chain: lunette.allow("api.github.com"):tcp(443):udp("8000-9000"):when(f).
---
--- A chain stands for one rule per destination and protocol call, so that the ports of one protocol
--- are not opened in another. What it says is checked later, with the rest of the policy: all
--- mistakes of a file are told in one go.

local core = require "lunette.core"

local M = {}

-- What a chain holds, under keys that nothing else has, so that it has no fields that a policy could
-- change by accident. There may be a hundred thousand chains: what they hold is plain rules already,
-- and what many have in common is shared.
local RULE = {} -- the first plain rule; fields are set in it
local MORE = {} -- { protocols, ports } of further protocol calls; nil: none
local PLACE = {} -- { file, line } where the chain was begun

---@class lunette.Chain
local Chain = {}
local metatable = { __index = Chain, __name = "a rule", __metatable = false }

-- What a chain has not: mostly a port, which belongs to a protocol.
setmetatable(Chain, {
  __index = function(_, name)
    if name == "port" or name == "ports" then
      error(("a rule has no %s(): say the protocol, as in :tcp(443) or :udp(53)"):format(name), 2)
    elseif type(name) == "string" then
      error(("a rule has no %s(): it has tcp, udp, icmpv4, icmpv6, egress, ingress, any, when, name, http")
        :format(name), 2)
    end
  end,
})

--- Whether `value` is a chain.
---@return boolean
local function is_chain(value) return type(value) == "table" and rawget(value, RULE) ~= nil end
M.is_chain = is_chain

--- A value that was meant to be there: nil in an argument is nearly always a misspelt variable, and
--- leaving it out would open more than was meant.
local function present(value, what)
  if value == nil then
    error(what .. " is nil (is a variable misspelt?)", 3)
  end
  return value
end

--- Whether `value` is a list and not a described destination such as lunette.domain("db").
local function is_list(value)
  return type(value) == "table" and rawget(value, RULE) == nil and rawget(value, 1) ~= nil
end

--- The list, which must not be empty and must not have holes: what stands behind a hole would be
--- lost without a word.
local function dense(list, what, level)
  local count = 0
  for _ in next, list do count = count + 1 end
  if count == 0 then error(what .. " is empty", level) end
  for i = 1, count do
    if rawget(list, i) == nil then
      error(("%s has no entry %d (is a variable misspelt?)"):format(what, i), level)
    end
  end
  return list
end

local function check_chain(chain, method)
  if not is_chain(chain) then error(method .. "(): call it on a rule, with a colon", 3) end
end

--- The lists of one port, by port: most rules have one, and few are different.
---@type table<integer, integer[]>
local single_ports = {}

--- The ports of a call, given one by one or in lists; nil: all.
local function ports_of(protocol, ...)
  local count, first = select("#", ...), ...
  if count == 0 then return nil end
  if count == 1 and math.type(first) == "integer" and first >= 1 and first <= 65535 then
    single_ports[first] = single_ports[first] or { first }
    return single_ports[first]
  end
  local ports = {}
  for i = 1, count do
    local port = select(i, ...)
    if port == nil then error(("%s(): port %d is nil (is a variable misspelt?)"):format(protocol, i), 3) end
    if type(port) == "table" then
      dense(port, protocol .. "(): the list of ports", 4)
      table.move(port, 1, #port, #ports + 1, ports)
    else
      ports[#ports + 1] = port
    end
  end
  return ports
end

local PROTOCOLS = { tcp = { "tcp" }, udp = { "udp" }, icmpv4 = { "icmpv4" }, icmpv6 = { "icmpv6" } }

--- Adds a protocol call to the chain.
local function add_call(chain, protocol, ...)
  check_chain(chain, protocol)
  local rule, ports = chain[RULE], ports_of(protocol, ...)
  if rule.protocols == nil then
    rule.protocols, rule.ports = PROTOCOLS[protocol], ports
  else
    chain[MORE] = chain[MORE] or {}
    table.insert(chain[MORE], { protocols = PROTOCOLS[protocol], ports = ports })
  end
  return chain
end

local function set(chain, method, field, value)
  check_chain(chain, method)
  chain[RULE][field] = value
  return chain
end

--- TCP to these ports; none given: all.
---@param ... integer|string|(integer|string)[] 443, "8000-9000"
---@return lunette.Chain
function Chain:tcp(...) return add_call(self, "tcp", ...) end

--- UDP to these ports; none given: all.
---@param ... integer|string|(integer|string)[]
---@return lunette.Chain
function Chain:udp(...) return add_call(self, "udp", ...) end

--- ICMP echo over IPv4.
---@return lunette.Chain
function Chain:icmpv4() return add_call(self, "icmpv4") end

--- ICMP echo over IPv6.
---@return lunette.Chain
function Chain:icmpv6() return add_call(self, "icmpv6") end

--- For connections of the guest; this is the default.
---@return lunette.Chain
function Chain:egress() return set(self, "egress", "direction", "egress") end

--- For connections to the guest: the destination is the peer, the port the guest's.
---@return lunette.Chain
function Chain:ingress() return set(self, "ingress", "direction", "ingress") end

--- For both directions.
---@return lunette.Chain
function Chain:any() return set(self, "any", "direction", "any") end

--- Asks a function where everything else of the rule matches.
---@param handler fun(flow: lunette.Flow): boolean
---@return lunette.Chain
function Chain:when(handler) return set(self, "when", "when", present(handler, "when(): the function")) end

--- A label for people, shown beside the rule.
---@param label string
---@return lunette.Chain
function Chain:name(label) return set(self, "name", "name", present(label, "name(): the label")) end

--- Only for these requests, where lunette reads them: plain HTTP, or TLS with a `tls` table.
---@param match { methods?: string[], path?: string, headers?: table<string, string> }
---@return lunette.Chain
function Chain:http(match) return set(self, "http", "http", present(match, "http{}: the request")) end

--- Where the last chain was begun: the next one is often begun there too.
local last_place = {}

--- A chain of a plain rule, written where the nearest line outside lunette's own modules stands.
---@return lunette.Chain
local function chain_of(rule)
  local file, line = core.here()
  if last_place.file ~= file or last_place.line ~= line then last_place = { file = file, line = line } end
  return setmetatable({ [RULE] = rule, [PLACE] = last_place }, metatable)
end

local function starter(action)
  ---@param destination string|lunette.Destination|(string|lunette.Destination)[]
  ---@return lunette.Chain
  return function(destination)
    present(destination, action .. "(): the destination")
    if type(destination) == "table" and next(destination) == nil then
      error(action .. "(): the list of destinations is empty", 2)
    end
    if is_list(destination) then dense(destination, action .. "(): the list of destinations", 3) end
    return chain_of { action = action, destination = destination, protocols = nil, ports = nil } -- room for four
  end
end

M.allow = starter("allow")
M.deny = starter("deny")
M.reject = starter("reject")

--- DNS to the gateway: what `allow@dns` says.
---@return lunette.Chain
function M.allow_dns()
  return chain_of { action = "allow", destination = "host", protocols = { "udp", "tcp" }, ports = { 53 } }
end

--- A rule from its one-line form: `allow@public:tcp:443`, `deny:ingress@10.0.0.0/8`, `allow@dns`.
---@param text string
---@return lunette.Chain
function M.rule(text)
  local rule = type(text) == "string" and core.parse_rule(text)
  if not rule then
    error("rule(): give a one-line rule such as \"allow@public:tcp:443\"", 2)
  end
  return chain_of(rule)
end

--- The plain rules that a chain stands for, and where it was written.
---@param chain lunette.Chain
---@return table rule the first
---@return table[] more
---@return string? file
---@return integer? line
function M.plain(chain)
  local rule, place, more = chain[RULE], chain[PLACE], {}
  for i, call in ipairs(chain[MORE] or more) do
    local copy = {}
    for key, value in next, rule do copy[key] = value end
    copy.protocols, copy.ports = call.protocols, call.ports
    more[i] = copy
  end
  return rule, more, place.file, place.line
end

return M
