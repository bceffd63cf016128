--- What a policy's functions remember from one flow to the next: counters and rate limits.
---
---     local per_minute = lunette.ratelimit { n = 20, per = 60 }
---     return { rules = { lunette.allow("public"):tcp(443):when(function(flow) return per_minute:take(flow) end) } }
---
--- A function may be asked about a flow more than once: without a name, when the flow is let through to
--- its server as long as it shows none, and again with the name that it shows; and when another policy
--- comes. Here a flow counts once all the same, of the last MEMORY that counted. What is remembered
--- belongs to the policy: one that is loaded anew begins anew.

local core = require "lunette.core"

local M = {}

local KEYS_MAX = 4096 -- of one counter or limit
local MEMORY = 4096 -- flows of one counter or limit

-- ---- flows that counted ----

---@class lunette.Memory
---@field [integer] string
---@field known table<string, any>
---@field at integer
local Memory = {}
Memory.__index = Memory

local function memory() return setmetatable({ known = {}, at = 0 }, Memory) end

--- What the flow and the key are remembered by; nil: the flow is judged this once.
local function mark_of(flow, key)
  local id = flow.id
  return id and ("%d %s"):format(id, key)
end

--- Remembers; the oldest is forgotten.
function Memory:add(mark, value)
  if not mark then return end
  self.at = self.at % MEMORY + 1
  local oldest = self[self.at]
  if oldest then self.known[oldest] = nil end
  self[self.at], self.known[mark] = mark, value
end

-- ---- values by key, those used lately and those before ----

---@class lunette.Generations
---@field young table<any, any>
---@field old table<any, any>
---@field n_young integer
---@field n_old integer
local Generations = {}
Generations.__index = Generations

local function generations() return setmetatable({ young = {}, old = {}, n_young = 0, n_old = 0 }, Generations) end

--- Drops the old ones.
function Generations:age()
  self.old, self.n_old = self.young, self.n_young
  self.young, self.n_young = {}, 0
end

--- The value of a key, which is young again; or nil.
function Generations:get(key)
  local value = self.young[key]
  if value == nil and self.old[key] ~= nil then
    value = self.old[key]
    self.old[key], self.n_old = nil, self.n_old - 1
    self:put(key, value)
  end
  return value
end

function Generations:put(key, value)
  if self.young[key] == nil then self.n_young = self.n_young + 1 end
  self.young[key] = value
end

-- ---- arguments ----

local function check_flow(flow, method)
  if type(flow) ~= "userdata" then error(method .. "(): give it the flow that the function is asked about", 3) end
end

--- What is counted by: all flows together unless a key is given.
local function check_key(key, method)
  if key == nil then return "" end
  if type(key) ~= "string" and type(key) ~= "number" then
    error(("%s(): the key is a %s; accepted: a string, a number, or none"):format(method, type(key)), 3)
  end
  return key
end

-- ---- counters ----

---@class lunette.Counter
---@field values lunette.Generations
---@field memory lunette.Memory
local Counter = {}
Counter.__index = Counter
Counter.__metatable = false

---@type table<string, lunette.Counter>
local counters = {}

--- The counter of that name: the same wherever the policy asks for it. It keeps the keys used last, at
--- least 2048 of them; a key that was forgotten begins at 0 again.
---@param name string
---@return lunette.Counter
function M.counter(name)
  if type(name) ~= "string" then error("counter(): give a name", 2) end
  if not counters[name] then
    counters[name] = setmetatable({ values = generations(), memory = memory() }, Counter)
  end
  return counters[name]
end

--- Counts a flow. Returns how many there were, this one included.
---@param flow lunette.Flow
---@param key? string|number
---@return integer
function Counter:count(flow, key)
  check_flow(flow, "count")
  key = check_key(key, "count")
  local mark = mark_of(flow, key)
  if mark and self.memory.known[mark] then return self.memory.known[mark] end
  local values = self.values
  local value = (values:get(key) or 0) + 1
  values:put(key, value)
  if values.n_young > KEYS_MAX // 2 then values:age() end
  self.memory:add(mark, value)
  return value
end

--- How many there were.
---@param key? string|number
---@return integer
function Counter:get(key) return self.values:get(check_key(key, "get")) or 0 end

-- ---- rate limits ----

---@class lunette.RateLimiter
---@field n number
---@field per number
---@field buckets lunette.Generations
---@field aged number when the buckets were aged
---@field memory lunette.Memory
local RateLimiter = {}
RateLimiter.__index = RateLimiter
RateLimiter.__metatable = false

--- At most `n` flows at once, and `n` in `per` seconds in the long run (a token bucket). To be made where
--- the policy is loaded, not in the function that is asked.
---@param limit { n: number, per: number }
---@return lunette.RateLimiter
function M.ratelimit(limit)
  for key in pairs(type(limit) == "table" and limit or {}) do
    if key ~= "n" and key ~= "per" then error(("ratelimit(): there is no field '%s' here"):format(key), 2) end
  end
  local n, per = type(limit) == "table" and limit.n, type(limit) == "table" and limit.per
  if type(n) ~= "number" or type(per) ~= "number" or not (n >= 1 and n < math.huge and per > 0 and per < math.huge) then
    error("ratelimit(): give { n = flows, per = seconds }, n at least 1", 2)
  end
  return setmetatable({ n = n, per = per, buckets = generations(), aged = core.now(), memory = memory() }, RateLimiter)
end

--- The bucket of a key, filled up to now; nil when there are too many keys. One that was not used for `per`
--- seconds is full, and can be forgotten.
function RateLimiter:bucket(key, now)
  local buckets = self.buckets
  local unaged = now - self.aged
  if unaged >= self.per then
    buckets:age()
    if unaged >= 2 * self.per then buckets:age() end
    self.aged = now
  end
  local bucket = buckets:get(key)
  if bucket then
    bucket.tokens = math.min(self.n, bucket.tokens + (now - bucket.at) * self.n / self.per)
    bucket.at = now
  elseif buckets.n_young + buckets.n_old < KEYS_MAX then
    bucket = { tokens = self.n, at = now }
    buckets:put(key, bucket)
  end
  return bucket
end

--- Whether the flow is within the limit, of which it takes its part. Beyond 4096 keys at a time, more are
--- not within it.
---@param flow lunette.Flow
---@param key? string|number
---@return boolean
function RateLimiter:take(flow, key)
  check_flow(flow, "take")
  key = check_key(key, "take")
  local mark = mark_of(flow, key)
  if mark and self.memory.known[mark] then return true end
  local bucket = self:bucket(key, core.now())
  if not bucket or bucket.tokens < 1 then return false end
  bucket.tokens = bucket.tokens - 1
  self.memory:add(mark, true)
  return true
end

return M
