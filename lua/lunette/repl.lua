--- `lunette repl`: asks a policy, line by line.

local core = require "lunette.core"
local lunette = require "lunette"
local questions = require "lunette.questions"

local M = {}

local RULES_COMPLETED = 1000 -- rules whose names and destinations are offered
local DEPTH_MAX, FIELDS_MAX = 4, 100 -- of a table that is printed

local HELP = [[
egress tcp 1.2.3.4:443          what the policy says; also with a name, and ingress, udp, icmpv4, icmpv6:
egress tcp a.example:443 sni a.example
egress tcp a.example:443 GET /path
ingress tcp 10.0.0.9 -> 80
dns a.example AAAA
explain QUERY                   every rule that was considered, and why it did not match
rules                           the rules, and how many queries of this session each decided
pin NAME IP...                  as if the sandbox had resolved NAME
unpin NAME
groups ADDRESS...               the group that an address is in
diff POLICY                     what would change with another policy
load POLICY                     another policy: a file or a preset
reload                          reads the policy again; pins stay
help, quit
Anything else is Lua; `policy` is the policy, and `lunette` the module: policy:evaluate{…}, #policy.
]]

---@class lunette.Session
---@field path? string
---@field asking? lunette.Asking
---@field hits table<integer|string, integer>
---@field pending string[] lines of Lua that is not complete yet
local session = { hits = {}, pending = {} }

local function say(format, ...) core.write(format:format(...) .. "\n") end

-- ---- values ----

local function is_identifier(key) return type(key) == "string" and key:find("^[%a_][%w_]*$") ~= nil end

--- A value as Lua would write it, as far as it can be written.
local function show(value, depth)
  if type(value) == "string" then return (("%q"):format(value):gsub("\\\n", "\\n")) end
  if type(value) ~= "table" or depth > DEPTH_MAX then return tostring(value) end
  local parts, count = {}, #value
  for i = 1, math.min(count, FIELDS_MAX) do parts[i] = show(rawget(value, i), depth + 1) end
  local keys = {}
  for key in next, value do
    if math.type(key) ~= "integer" or key < 1 or key > count then keys[#keys + 1] = key end
  end
  table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)
  for i = 1, math.min(#keys, FIELDS_MAX) do
    local key = keys[i]
    local label = is_identifier(key) and key or "[" .. show(key, depth + 1) .. "]"
    parts[#parts + 1] = label .. " = " .. show(rawget(value, key), depth + 1)
  end
  if count > FIELDS_MAX or #keys > FIELDS_MAX then parts[#parts + 1] = "…" end
  return #parts == 0 and "{}" or "{ " .. table.concat(parts, ", ") .. " }"
end

-- ---- the policy ----

--- A policy; nil when it is not valid, which is told.
local function read(path)
  local policy, problems = core.load(path)
  for _, problem in ipairs(problems or {}) do core.tell(problem.text) end
  return policy
end

--- Takes a policy. Returns whether it is valid.
local function open(path)
  local policy = read(path)
  if not policy then return false end
  local pins = session.asking and session.asking.pins or {}
  session.path, session.asking, session.hits = path, questions.ask(policy), {}
  session.asking:add_pins(pins)
  rawset(_G, "policy", policy)
  return true
end

local function asking()
  return session.asking or error("there is no policy yet: load POLICY", 0)
end

-- ---- commands ----

---@param text string
---@param trace boolean
local function ask(text, trace)
  local connection, method, path = text:match("^(.-)%s+(%a[%a-]*)%s+([/*]%S*)%s*$")
  text = connection or text
  local query, sni = text:match("^(.-)%s+sni%s+(%S+)%s*$")
  local question, why = core.query(query or text)
  if not question then error(why, 0) end
  question.method, question.path = method, path
  question.sni, question.trace = sni, trace or nil
  local policy = asking().policy
  for _, verdict in ipairs(asking():judge(question)) do
    local decider = verdict.decider
    if decider then session.hits[decider] = (session.hits[decider] or 0) + 1 end
    for _, step in ipairs(verdict.decision and verdict.decision.trace or {}) do
      say("%4d  %s%s: %s", step.rule, policy:rule(step.rule).text, step.source and " (" .. step.source .. ")" or "",
        core.miss(step.why))
    end
    say("%s: %s: %s", verdict.action, verdict.what, verdict.reason)
  end
end

local function trimmed(text) return (text:match("^%s*(.-)%s*$")) end

local function words_of(text)
  local words = {}
  for word in text:gmatch("%S+") do words[#words + 1] = word end
  return words
end

---@type table<string, fun(text: string): string?>
local commands = {}

function commands.egress(text) ask("egress " .. text, false) end
function commands.ingress(text) ask("ingress " .. text, false) end
function commands.dns(text) ask("dns " .. text, false) end
function commands.explain(text) ask(text, true) end
function commands.help() core.write(HELP) end
function commands.quit() return "quit" end
commands.exit = commands.quit

function commands.rules()
  local policy = asking().policy
  local width = #tostring(#policy)
  for i = 1, #policy do
    local rule = policy:rule(i)
    say(("%%%dd  %%6d  %%s%%s%%s"):format(width), i, session.hits[i] or 0, rule.text,
      rule.source and "  " .. rule.source or "", rule.name and "  # " .. rule.name or "")
  end
  for _, direction in ipairs { "egress", "ingress" } do
    say(("%%%ds  %%6d  %%s: %%s by default"):format(width), "", session.hits[direction] or 0, direction,
      policy:default(direction))
  end
end

function commands.pin(text)
  local words = words_of(text)
  local name = table.remove(words, 1)
  if #words == 0 then error("accepted: pin NAME IP...", 0) end
  asking():add_pins { [name] = words }
end

function commands.unpin(text)
  if not asking():remove_pins(trimmed(text)) then error("it is not pinned", 0) end
end

function commands.groups(text)
  local addresses = words_of(text)
  if #addresses == 0 then error("accepted: groups ADDRESS...", 0) end
  for _, address in ipairs(addresses) do say("%s: %s", address, asking().policy:group(address)) end
end

function commands.diff(text)
  local policy, other = asking().policy, read(trimmed(text))
  if other then core.diff(policy, other) end
end

function commands.load(text)
  if open(trimmed(text)) then say("%s: %d rules", session.path, #session.asking.policy) end
end

function commands.reload()
  asking()
  commands.load(session.path)
end

--- The command of a line, and what follows it: a word alone or before blanks, so that Lua can have variables
--- of the same names.
local function command_of(line)
  local word, rest = line:match("^%s*(%l+)%s*$"), ""
  if not word then word, rest = line:match("^%s*(%l+)%s+([%w%[:%.%*_/~-].*)$") end
  return word and commands[word], rest
end

-- ---- Lua ----

--- Runs a line of Lua and prints what it returns; keeps it where it is not complete.
---@return string? "more"
local function run_lua(line)
  session.pending[#session.pending + 1] = line
  local text = table.concat(session.pending, "\n")
  local chunk, message = load("return " .. text, "=lua")
  if not chunk then chunk, message = load(text, "=lua") end
  if not chunk and message:find("<eof>$") then return "more" end
  session.pending = {}
  if not chunk then error(message, 0) end
  local results = table.pack(chunk())
  for i = 1, results.n do results[i] = show(results[i], 1) end
  if results.n > 0 then say("%s", table.concat(results, "\t")) end
  return nil
end

-- ---- what the command calls ----

--- Begins. Without a policy there is none until `load`.
---@param path? string
---@return boolean good
function M.open(path)
  rawset(_G, "lunette", lunette)
  rawset(_G, "policy", nil)
  rawset(_G, "print", function(...)
    local words = table.pack(...)
    for i = 1, words.n do words[i] = tostring(words[i]) end
    say("%s", table.concat(words, "\t"))
  end)
  return path == nil or open(path)
end

--- Does what a line says. Mistakes are told.
---@param line string
---@return string? "quit", or "more": it goes on with the next line
function M.line(line)
  if #session.pending == 0 and line:find("^%s*$") then return nil end
  local command, rest
  if #session.pending == 0 then command, rest = command_of(line) end
  local ok, result = pcall(command or run_lua, command and rest or line)
  if ok then return result end
  session.pending = {}
  local text = type(result) == "string" and result or show(result, 1)
  core.tell((text:gsub("^[^\n]-/lunette/[%l]+%.lua:%d+: ", ""))) -- not where lunette's own modules raised it
  return nil
end

--- Forgets lines that are not complete.
function M.cancel() session.pending = {} end

--- All words that may stand in a line, besides commands.
local function vocabulary()
  local words = { "tcp", "udp", "icmpv4", "icmpv6", "egress", "ingress", "dns", "sni", "policy", "lunette" }
  for _, group in ipairs { "public", "private", "loopback", "link-local", "metadata", "multicast", "host" } do
    words[#words + 1] = group
  end
  if not session.asking then return words end
  for name in pairs(session.asking.pins) do words[#words + 1] = name end
  local policy = session.asking.policy
  for i = 1, math.min(#policy, RULES_COMPLETED) do
    local rule = policy:rule(i)
    words[#words + 1] = rule.destination
    words[#words + 1] = rule.name
  end
  return words
end

--- Completes the last word of a line.
---@param line string up to the cursor
---@return string insertion what all that fit go on with
---@return string fitting those that fit, where they are several
function M.complete(line)
  local first, word = line:match("^%s*(%S*)$"), line:match("(%S*)$")
  local seen, fitting = {}, {}
  local words = vocabulary()
  if first then
    for name in pairs(commands) do words[#words + 1] = name end
  end
  for _, candidate in ipairs(words) do
    if candidate:sub(1, #word) == word and not seen[candidate] then
      seen[candidate] = true
      fitting[#fitting + 1] = candidate
    end
  end
  if #fitting == 0 then return "", "" end
  table.sort(fitting)
  local common, last = fitting[1], fitting[#fitting]
  while last:sub(1, #common) ~= common do common = common:sub(1, -2) end
  local insertion = common:sub(#word + 1) .. (#fitting == 1 and " " or "")
  return insertion, #fitting > 1 and table.concat(fitting, "  ") or ""
end

return M
