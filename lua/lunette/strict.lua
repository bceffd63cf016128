--- Modules that say so when they are asked for a name that they do not have: nil would be called, or
--- stand for a rule that is not there.

local M = {}

--- Makes `module` raise for other names than those it has now.
---@generic T: table
---@param name string what the message calls it
---@param module T
---@return T module
function M.module(name, module)
  local names = {}
  for key in pairs(module) do names[#names + 1] = key end
  table.sort(names)
  local has = table.concat(names, ", ")
  return setmetatable(module, {
    __index = function(_, key) error(("%s has no %s; it has: %s"):format(name, tostring(key), has), 2) end,
  })
end

return M
