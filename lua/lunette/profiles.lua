--- Profiles: parts of a policy to put together, lunette.profiles{"public", "private"}.
---
--- The result is a list of rules. It can stand as `rules`, inside `rules` among others, or be the whole
--- policy; then everything else is denied.

local rules = require "lunette.rules"

local M = {}

---@alias lunette.Profile "public"|"private"|"host"

-- In the order in which the rules come out. Names are of no use without DNS, so every profile has it.
local ORDER = { "public", "private", "host" }

---@type table<table, true>
local made = setmetatable({}, { __mode = "k" })

--- The rules of some profiles, DNS first, each once whatever the order they are asked for.
---@param names lunette.Profile[]
---@return lunette.Chain[]
function M.profiles(names)
  if type(names) ~= "table" or #names == 0 then
    error('profiles(): give a list of "public", "private", "host"', 2)
  end
  local wanted = {}
  for _, profile in ipairs(ORDER) do
    wanted[profile] = false
  end
  for i, profile in ipairs(names) do
    if wanted[profile] == nil then
      error(('profiles(): entry %d is %q; accepted: "public", "private", "host"')
        :format(i, tostring(profile)), 2)
    end
    wanted[profile] = true
  end
  local list = { rules.allow_dns() }
  for _, profile in ipairs(ORDER) do
    if wanted[profile] then
      list[#list + 1] = rules.allow(profile)
    end
  end
  made[list] = true
  return list
end

--- Whether `value` came from profiles().
function M.is_profiles(value) return made[value] ~= nil end

return M
