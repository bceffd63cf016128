--- Questions to a policy as people ask them, of names too: what `lunette test` and `lunette repl` share.

local core = require "lunette.core"

local M = {}

--- `dns` is a name to be asked for, with `type`; else it is what policy:evaluate() takes, perhaps with `name`
--- instead of `address` or beside it. A request shows that name, unless it is said what it shows.
---@alias lunette.AskedByName table<string, any>

---@class lunette.Verdict
---@field action lunette.Action
---@field what string what was judged, as `lunette match` writes it
---@field reason string what decided, for people
---@field asked? table what the policy was asked; nil: it has no say in this
---@field decision? lunette.Decision
---@field decider? integer|string the rule; or "egress", "ingress": the default

---@class lunette.Asking
---@field policy lunette.Policy
---@field pins table<string, string[]> the addresses of names
local Asking = {}
Asking.__index = Asking

---@param policy lunette.Policy
---@return lunette.Asking
function M.ask(policy) return setmetatable({ policy = policy, pins = {} }, Asking) end

--- A name as the key of a table.
local function canonical(name) return (name:lower():gsub("%.$", "")) end

--- Adds pins; returns what undoes that.
---@param pins table<string, string|string[]>
---@return fun()
function Asking:add_pins(pins)
  local policy, before = self.policy, {}
  for name, addresses in pairs(pins) do
    if type(addresses) ~= "table" then addresses = { addresses } end
    policy:pin(name, addresses)
    name = canonical(name)
    before[name] = self.pins[name] or false
    local all = table.move(before[name] or {}, 1, #(before[name] or {}), 1, {})
    self.pins[name] = table.move(addresses, 1, #addresses, #all + 1, all)
  end
  return function()
    for name, addresses in pairs(before) do
      policy:unpin(name)
      if addresses then policy:pin(name, addresses) end
      self.pins[name] = addresses or nil
    end
  end
end

--- Takes the pins of a name back. Returns whether there were some.
---@param name string
---@return boolean
function Asking:remove_pins(name)
  self.pins[canonical(name)] = nil
  return self.policy:unpin(name)
end

--- Whether it is about a request, not only a connection.
local function is_request(question) return question.method or question.path or question.headers end

--- What a question is about, as `lunette match` writes it.
---@param question lunette.AskedByName
---@param address? string that is judged
---@return string
function M.describe(question, address)
  if question.dns then return ("dns %s %s"):format(question.dns, question.type or "A") end
  local direction, protocol = question.direction or "egress", question.protocol or "tcp"
  local peer, port = tostring(address or question.name), question.port and tostring(question.port)
  local text
  if not port then
    text = ("%s %s %s"):format(direction, protocol, peer)
  elseif direction == "ingress" then
    text = ("%s %s %s -> %s"):format(direction, protocol, peer, port)
  else
    text = ("%s %s %s:%s"):format(direction, protocol, peer:find(":") and "[" .. peer .. "]" or peer, port)
  end
  if question.name and address then text = ("%s (%s)"):format(text, question.name) end
  if question.sni then text = ("%s, sni %s"):format(text, question.sni) end
  return is_request(question) and ("%s, %s %s"):format(text, question.method or "GET", question.path or "/") or text
end

---@return lunette.Verdict
function Asking:verdict(decision, asked, question, what)
  local direction = question.direction or "egress"
  return {
    action = decision.action, what = what, reason = core.reason(self.policy, direction, decision), asked = asked,
    decision = decision, decider = decision.rule or decision.reason == "default" and direction or nil,
  }
end

--- A DNS query: what the policy says, unless none has a say in it.
function Asking:judge_dns(question)
  local what = M.describe(question)
  local refusal = core.refusal(question.dns, question.type or "A")
  if refusal then return { action = "deny", what = what, reason = refusal } end
  local asked = { name = question.dns, type = question.type, protocol = question.protocol, trace = question.trace }
  return self:verdict(self.policy:evaluate_dns(asked), asked, question, what)
end

function Asking:judge_address(question, address)
  local asked = {}
  for key, value in pairs(question) do asked[key] = value end
  asked.name, asked.address = nil, address
  if is_request(question) and question.sni == nil then asked.sni = question.name end
  return self:verdict(self.policy:evaluate(asked), asked, question, M.describe(question, address))
end

--- A public address (RFC 5737, RFC 3849) that nothing is pinned to.
function Asking:free_address(protocol)
  local used = {}
  for _, addresses in pairs(self.pins) do
    for _, address in ipairs(addresses) do used[address] = true end
  end
  for i = 1, 254 do
    local address = (protocol == "icmpv6" and "2001:db8::%x" or "192.0.2.%d"):format(i)
    if not used[address] then return address end
  end
  error("too many addresses of 192.0.2.0/24 are pinned", 0)
end

--- The verdicts on a question: one for each address that it is about. A name stands for the addresses
--- that it is pinned to; else it is asked for, and then taken to have a public address.
---@param question lunette.AskedByName
---@param seen? fun(verdict: lunette.Verdict) gets every verdict on the way, while its pins are there
---@return lunette.Verdict[]
function Asking:judge(question, seen)
  local verdicts, name = {}, question.name
  local function add(verdict)
    verdicts[#verdicts + 1] = verdict
    if seen then seen(verdict) end
  end
  if question.dns or not name then
    add(question.dns and self:judge_dns(question) or self:judge_address(question, question.address))
    return verdicts
  end
  local addresses, undo = self.pins[canonical(name)], nil
  if question.address then
    addresses = { question.address }
  elseif not addresses then
    add(self:judge_dns { dns = name, trace = question.trace })
    if verdicts[1].action ~= "allow" then return verdicts end
    verdicts, addresses = {}, { self:free_address(question.protocol) }
  end
  if addresses ~= self.pins[canonical(name)] then undo = self:add_pins { [name] = addresses } end
  for _, address in ipairs(addresses) do add(self:judge_address(question, address)) end
  if undo then undo() end
  return verdicts
end

return M
