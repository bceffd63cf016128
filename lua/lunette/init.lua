--- lunette: a programmable network perimeter. `require "lunette"` in a policy file gives what policies
--- are written with; in any other Lua program also what loads, asks and runs them.

local core = require "lunette.core"
local counting = require "lunette.counting"
local destinations = require "lunette.destinations"
local lists = require "lunette.lists"
local presets = require "lunette.presets"
local profiles = require "lunette.profiles"
local rules = require "lunette.rules"
local secrets = require "lunette.secrets"
local strict = require "lunette.strict"

---@class lunette
local M = {}

---@type string
M.version = core.version

M.allow = rules.allow
M.deny = rules.deny
M.reject = rules.reject
M.allow_dns = rules.allow_dns
M.rule = rules.rule

M.domain = destinations.domain
M.suffix = destinations.suffix
M.cidr = destinations.cidr
M.ip = destinations.ip
M.group = destinations.group
M.country = destinations.country
M.continent = destinations.continent
M.asn = destinations.asn

M.profiles = profiles.profiles

--- Lists of destinations: lunette.deny(lunette.lists.doh).
---@type table<string, string[]>
M.lists = strict.module("lunette.lists", lists)

--- Secrets by where they come from: lunette.secrets.env("GITHUB_TOKEN", "api.github.com").
M.secrets = strict.module("lunette.secrets", secrets)

--- The presets as functions that return a new configuration: lunette.policy.public_only().
---@type table<string, fun(): table>
M.policy = {}
for name, preset in pairs(presets) do
  M.policy[name:gsub("%-", "_")] = preset
end
strict.module("lunette.policy", M.policy)

M.counter = counting.counter
M.ratelimit = counting.ratelimit

--- A variable of lunette's environment, or nil.
---@param name string
---@return string?
function M.env(name) return core.env(name) end

if not core.compile then return strict.module("lunette", M) end -- inside a policy file

local expand = require "lunette.expand"
local locate = require "lunette.locate"

--- All mistakes of a policy; as a string, one line each.
---@class lunette.Problems
local Problems = {}
Problems.__index = Problems
Problems.__name = "lunette.Problems"

function Problems:__tostring()
  local lines = {}
  for i, problem in ipairs(self) do lines[i] = problem.text end
  return table.concat(lines, "\n")
end

---@param policy lunette.Policy?
---@param problems lunette.Problem[]?
---@return lunette.Policy
local function checked(policy, problems)
  if policy then return policy end
  error(setmetatable(problems, Problems), 0)
end

--- Where the call of compile() is written, and what its argument looks like there.
local function call_site()
  local path, line = core.here()
  local source
  local file = path and io and io.open(path, "rb")
  if file then
    source = file:read("a")
    file:close()
  end
  return { file = path, line = line, node = source and locate.argument(source, "compile", line) }
end

--- Compiles a configuration. Raises a lunette.Problems when it is not valid.
---@param config table as a policy file returns it; `gateway` (an address or a list) beside its keys
---  names the addresses that are the group `host`
---@return lunette.Policy
function M.compile(config)
  local at, gateway = call_site(), nil
  if type(config) == "table" and rawget(config, "gateway") ~= nil then
    local copy = {}
    for key, value in next, config do copy[key] = value end
    gateway, copy.gateway = copy.gateway, nil
    config = copy
  end
  local plain, marks, problems = expand.expand(config, at)
  return checked(core.compile(plain, marks, problems, gateway))
end

--- Loads a policy file, or a preset by its name. Raises a lunette.Problems when it is not valid.
---@param path string
---@param options? { gateway?: string|string[] }
---@return lunette.Policy
function M.load(path, options)
  return checked(core.load(path, options and options.gateway))
end

--- A gateway: the network of one guest, for a program that moves its frames. Poll gw:fd(), and call
--- gw:dispatch() when it is readable and after frames were put in.
---@param options lunette.GatewayOptions
---@return lunette.Gateway
M.gateway = core.gateway

return strict.module("lunette", M)
