--- Destinations that say what they are, for the cases where a bare string could mean two things.

local M = {}

---@class lunette.Destination


---@param key string
local function describe(key)
  ---@return lunette.Destination
  return function(value)
    if value == nil then
      error(key .. "(): the argument is nil (is a variable misspelt?)", 2)
    end
    return { [key] = value }
  end
end

--- Exactly this name, also one without a dot: lunette.domain("db").
M.domain = describe("domain")
--- Every name below this one, at any depth, not itself: lunette.suffix("internal.example").
M.suffix = describe("suffix")
--- A prefix: lunette.cidr("10.0.0.0/8").
M.cidr = describe("cidr")
--- One address: lunette.ip("2001:db8::1").
M.ip = describe("ip")
--- A group: lunette.group("private").
M.group = describe("group")
--- Addresses of a country by its two letters: lunette.country("DE"). Needs geoip.country_db.
M.country = describe("country")
--- Addresses of a continent by its two letters: lunette.continent("EU"). Needs geoip.country_db.
M.continent = describe("continent")
--- Addresses of an autonomous system: lunette.asn(13335). Needs geoip.asn_db.
M.asn = describe("asn")

return M
