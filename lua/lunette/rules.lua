--- Rules in a chain: lunette.allow("api.github.com"):tcp(443):udp("8000-9000"):when(f).
---
--- A chain stands for one rule per destination and protocol call, so that the ports of one protocol
--- are not opened in another. What it says is checked later, with the rest of the policy: all
--- mistakes of a file are told in one go.

local core = require "lunette.core"

local M = {}

---@class lunette.Draft what a chain has collected
---@field action "allow"|"deny"|"reject"
---@field destinations any[]
---@field calls { protocol: string, ports?: any[] }[]
---@field direction? "egress"|"ingress"|"any"
---@field when? fun(flow: lunette.Flow): boolean
---@field http? { methods?: string[], path?: string }
---@field name? string
---@field file? string where the chain was begun
---@field line? integer

-- Keyed by the chain itself, so that a chain has no fields that a policy could change by accident.
---@type table<lunette.Chain, lunette.Draft>
local drafts = setmetatable({}, { __mode = "k" })

---@class lunette.Chain
local Chain = {}
local metatable = { __index = Chain, __name = "a rule", __metatable = false }

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
  return type(value) == "table" and not drafts[value] and rawget(value, 1) ~= nil
end

--- The list, which must not be empty and must not have holes: what stands behind a hole would be
--- lost without a word.
local function dense(list, what)
  local count = 0
  for _ in next, list do count = count + 1 end
  if count == 0 then error(what .. " is empty", 3) end
  for i = 1, count do
    if rawget(list, i) == nil then
      error(("%s has no entry %d (is a variable misspelt?)"):format(what, i), 3)
    end
  end
  return list
end

--- Adds the protocol call to the chain; ports are given one by one or in lists.
local function add_call(chain, protocol, ...)
  local draft = drafts[chain]
  if not draft then error(protocol .. "(): call it on a rule, with a colon", 2) end
  local call = { protocol = protocol }
  for i = 1, select("#", ...) do
    local port = present((select(i, ...)), ("%s(): port %d"):format(protocol, i))
    call.ports = call.ports or {}
    if type(port) == "table" then
      dense(port, protocol .. "(): the list of ports")
      table.move(port, 1, #port, #call.ports + 1, call.ports)
    else
      call.ports[#call.ports + 1] = port
    end
  end
  draft.calls[#draft.calls + 1] = call
  return chain
end

local function set(chain, method, field, value)
  local draft = drafts[chain]
  if not draft then error(method .. "(): call it on a rule, with a colon", 2) end
  draft[field] = value
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
---@param match { methods?: string[], path?: string } { methods = { "GET" }, path = "/repos/*" }
---@return lunette.Chain
function Chain:http(match) return set(self, "http", "http", present(match, "http{}: the request")) end

--- Starts a chain, written where the nearest line outside lunette's own modules stands.
local function start(action, destinations)
  local file, line = core.here()
  local chain = setmetatable({}, metatable)
  drafts[chain] = { action = action, destinations = destinations, calls = {}, file = file, line = line }
  return chain
end

local function starter(action)
  ---@param destination string|lunette.Destination|(string|lunette.Destination)[]
  ---@return lunette.Chain
  return function(destination)
    present(destination, action .. "(): the destination")
    if is_list(destination) then
      return start(action, dense(destination, action .. "(): the list of destinations"))
    end
    if type(destination) == "table" and next(destination) == nil then
      error(action .. "(): the list of destinations is empty", 2)
    end
    return start(action, { destination })
  end
end

M.allow = starter("allow")
M.deny = starter("deny")
M.reject = starter("reject")

--- DNS to the gateway: what `allow@dns` says.
---@return lunette.Chain
function M.allow_dns()
  local chain = start("allow", { "host" })
  drafts[chain].calls = { { protocol = { "udp", "tcp" }, ports = { 53 } } }
  return chain
end

--- The protocols of a one-line form, "tcp" or "tcp,udp", or nil when `text` is not that. `*` is any.
--- A word with a letter that no part of an IPv6 address has is meant as a protocol, right or wrong.
local function parse_protocols(text)
  if text == "*" then return {} end
  local list = {}
  for word in (text .. ","):gmatch("([^,]*),") do
    if not word:find("[g-z]") then return nil end
    list[#list + 1] = word
  end
  return list
end

--- Cuts the protocols and ports off the end of a one-line form. An IPv6 address has colons too, so
--- they are found from behind, by what protocols look like.
local function parse_target(target)
  local destination, middle, last = target:match("^(.+):([%a%d,*]+):([%d,%-]+)$")
  local protocols = middle and parse_protocols(middle)
  if protocols then
    local ports = {}
    for port in (last .. ","):gmatch("([^,]*),") do
      ports[#ports + 1] = port
    end
    return destination, protocols, ports
  end
  destination, last = target:match("^(.+):([%a%d,*]+)$")
  protocols = last and parse_protocols(last)
  if protocols then return destination, protocols, nil end
  return target, nil, nil
end

local KINDS = { domain = true, country = true, continent = true, asn = true }

--- The destination of a one-line form: as it is, or described, domain(db), asn(13335).
local function parse_destination(text)
  local kind, value = text:match("^(%l+)%((.*)%)$")
  if not KINDS[kind] then return text end
  return { [kind] = kind == "asn" and math.tointeger(tonumber(value)) or value }
end

--- A rule's fields from its one-line form: `allow@public:tcp:443`, `deny:ingress@10.0.0.0/8`,
--- `allow@dns`. Fields are not checked beyond their shape.
---@param text string
---@return table? fields nil when `text` has no such shape
function M.parse(text)
  local head, target = text:match("^([^@]+)@(.+)$")
  if not head then return nil end
  local action, direction = head:match("^([^:]+):([^:]+)$")
  local fields = { action = action or head, direction = direction }
  if target == "dns" then
    fields.destination, fields.protocols, fields.ports = "host", { "udp", "tcp" }, { "53" }
  else
    local destination
    destination, fields.protocols, fields.ports = parse_target(target)
    fields.destination = parse_destination(destination)
  end
  return fields
end

--- A rule from its one-line form.
---@param text string
---@return lunette.Chain
function M.rule(text)
  local fields = type(text) == "string" and M.parse(text)
  if not fields then
    error("rule(): give a one-line rule such as \"allow@public:tcp:443\"", 2)
  end
  local chain = start(fields.action, { fields.destination })
  drafts[chain].direction = fields.direction
  drafts[chain].calls = { { protocol = fields.protocols, ports = fields.ports } }
  return chain
end

--- Whether `value` is a chain.
---@return boolean
function M.is_chain(value) return drafts[value] ~= nil end

--- The plain rules that a chain stands for, and where it was written.
---@param chain lunette.Chain
---@return table[] rules
---@return string? file
---@return integer? line
function M.plain(chain)
  local draft = drafts[chain]
  local rules = {}
  for _, destination in ipairs(draft.destinations) do
    for _, call in ipairs(#draft.calls > 0 and draft.calls or { {} }) do
      rules[#rules + 1] = {
        action = draft.action,
        direction = draft.direction,
        destination = destination,
        protocols = type(call.protocol) == "string" and { call.protocol } or call.protocol,
        ports = call.ports,
        when = draft.when,
        http = draft.http,
        name = draft.name,
      }
    end
  end
  return rules, draft.file, draft.line
end

return M
