--- Where a sandbox with a policy gets to: a name is asked for, as a guest would, and then connected to.

local lunette = require "lunette"

local M = {}

local GATEWAY = { "172.16.0.1", "fd42:6d73:62::1" }

---@class Reach
---@field policy lunette.Policy
---@field pinned table<string, string>
local Reach = {}
Reach.__index = Reach

--- The policy file `name` beside the spec that calls.
---@param name string
---@return Reach
function M.policy(name)
  local directory = debug.getinfo(2, "S").source:match("^@(.*/)")
  return setmetatable({ policy = lunette.load(directory .. name, { gateway = GATEWAY }), pinned = {} }, Reach)
end

--- A public address (RFC 5737) of the name's own.
local function address_of(self, name)
  if not self.pinned[name] then
    local count = 1
    for _ in pairs(self.pinned) do count = count + 1 end
    self.pinned[name] = "203.0.113." .. count
    self.policy:pin(name, self.pinned[name])
  end
  return self.pinned[name]
end

--- Connects to a name that the sandbox asks for first: the action, or "nxdomain".
---@param name string
---@param port integer
---@param protocol? "tcp"|"udp"
---@return string
function Reach:name(name, port, protocol)
  if self.policy:evaluate_dns { name = name }.action ~= "allow" then return "nxdomain" end
  local sni = protocol ~= "udp" and port == 443 and name or nil
  return self.policy:evaluate {
    address = address_of(self, name), port = port, protocol = protocol or "tcp", sni = sni,
  }.action
end

--- Makes a request over TLS to a name that the sandbox asks for first.
---@param name string
---@param method string
---@param path string
---@return lunette.Decision
function Reach:request(name, method, path)
  return self.policy:evaluate { address = address_of(self, name), port = 443, sni = name, method = method, path = path }
end

--- Connects to an address without asking for a name.
---@param address string
---@param port? integer
---@param protocol? string
---@return string
function Reach:address(address, port, protocol)
  return self.policy:evaluate { address = address, port = port, protocol = protocol or "tcp" }.action
end

--- A peer connects to a port of the sandbox.
function Reach:ingress(address, port)
  return self.policy:evaluate { direction = "ingress", address = address, port = port }.action
end

--- What no policy here may open: networks around the machine, the machine itself, cloud metadata.
M.surroundings = {
  "10.0.0.1", "172.20.0.1", "192.168.1.1", "100.64.0.1", "fd00::1", "169.254.1.1", "fe80::1", "169.254.169.254",
  "fd00:ec2::254", "127.0.0.1", "::1", "0.0.0.0", "224.0.0.1", "172.16.0.1", "fd42:6d73:62::1",
}

--- Whether every one of the surroundings is closed at a port; else which is open.
---@param reach Reach
---@param port integer
---@return boolean
---@return string?
function M.is_shut_in(reach, port)
  for _, address in ipairs(M.surroundings) do
    for _, protocol in ipairs { "tcp", "udp" } do
      if reach:address(address, port, protocol) == "allow" then return false, address end
    end
  end
  return true
end

return M
