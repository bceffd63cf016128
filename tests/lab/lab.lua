--- What the specs of the lab share: run a command on the host or in a guest, and see what arrived on
--- the far side. Used inside tests/lab/lab.

local json = require "dkjson"

local M = {}

M.dir = assert(os.getenv "LAB", "run this inside tests/lab/lab")
M.build = os.getenv "LUNETTE_BUILD" or "build"
M.lunette = M.build .. "/lunette"
local here = debug.getinfo(1, "S").source:match("^@(.*)/") or "."
M.probe_py = here .. "/probe.py"

local function slurp(path)
  local file = io.open(path, "rb")
  if not file then return "" end
  local text = file:read "a"
  file:close()
  return text
end

local function spit(path, text)
  local file = assert(io.open(path, "wb"))
  file:write(text)
  file:close()
  return path
end

local function quote(word) return "'" .. word:gsub("'", "'\\''") .. "'" end
M.quote = quote

local serial = 0
--- A file of the lab's own that holds `text`.
function M.file(suffix, text)
  serial = serial + 1
  return spit(("%s/%d%s"):format(M.dir, serial, suffix), text)
end

---@class lab.Result
---@field status integer
---@field out string
---@field err string
---@field events? table[] of a guest
---@field recording? string the file that they are in

--- Runs a shell command on the host, at most `seconds` (60).
---@return lab.Result
function M.host(command, seconds)
  local out, err = M.file(".out", ""), M.file(".err", "")
  local _, _, status = os.execute(("env -u LD_PRELOAD -u ASAN_OPTIONS timeout -k 5 %d sh -c %s >%s 2>%s </dev/null")
    :format(seconds or 60, quote(command), out, err))
  return { status = status, out = slurp(out), err = slurp(err) }
end

--- Runs a shell command behind a policy: Lua text, or the name of a preset.
---@param policy string
---@param command string
---@param options? { seconds?: integer, args?: string }
---@return lab.Result
function M.guest(policy, command, options)
  options = options or {}
  local path = policy:find "%s" and M.file(".lua", policy) or policy
  local events = M.file(".jsonl", "")
  local result = M.host(("%s run --events %s %s %s -- sh -c %s")
    :format(M.lunette, events, options.args or "", path, quote(command)), options.seconds)
  result.events, result.recording = {}, events
  for line in slurp(events):gmatch "[^\n]+" do
    local event, _, problem = json.decode(line)
    assert(event, ("not a JSON line: %s (%s)"):format(line, tostring(problem)))
    table.insert(result.events, event)
  end
  return result
end

--- Whether an event has all these fields.
function M.matches(event, fields)
  for key, value in pairs(fields) do
    if event[key] ~= value then return false end
  end
  return true
end

--- How many of the events have all these fields.
function M.count_events(events, fields)
  local count = 0
  for _, event in ipairs(events) do
    if M.matches(event, fields) then count = count + 1 end
  end
  return count
end

-- ---- what arrived ----

local tokens = 0

local LOGS = { packets = "packets.log", queries = "queries.log", streams = "streams.log", host = "host.log" }

--- Where the logs stand now.
function M.mark()
  M.settle()
  local mark = {}
  for name, file in pairs(LOGS) do mark[name] = #slurp(M.dir .. "/" .. file) end
  return mark
end

--- Waits until everything sent so far is in the logs: a datagram with a token is sent after it.
function M.settle()
  tokens = tokens + 1
  local token = ("token-%d-%d"):format(tokens, os.time())
  for round = 0, 199 do
    if round % 20 == 0 then os.execute(("bash -c 'printf %s >/dev/udp/192.0.2.2/9'"):format(token)) end
    if slurp(M.dir .. "/packets.log"):find("sync " .. token, 1, true) then return end
    os.execute "sleep 0.02"
  end
  error "the packet log does not move"
end

local function lines_since(name, mark)
  local lines = {}
  for line in slurp(M.dir .. "/" .. LOGS[name]):sub(mark[name] + 1):gmatch "[^\n]+" do
    if not line:find "^sync " then lines[#lines + 1] = line end
  end
  return lines
end

--- Lines of a log since the mark that contain `text` (all: ""), after everything has arrived.
---@param name "packets"|"queries"|"streams"|"host"
---@return string[]
function M.since(name, mark, text)
  M.settle()
  local found = {}
  for _, line in ipairs(lines_since(name, mark)) do
    if line:find(text or "", 1, true) then found[#found + 1] = line end
  end
  return found
end

--- Asks probe.py, in the guest, for the outcome of each line "PROTOCOL ADDRESS PORT [sni NAME|host NAME]".
---@return string[] outcomes, lab.Result
function M.probe(policy, lines, options)
  local list = M.file(".probe", table.concat(lines, "\n") .. "\n")
  local result = M.guest(policy, ("/usr/bin/python3 %s %s"):format(M.probe_py, list), options)
  local outcomes = {}
  for outcome in result.out:gmatch "[^\n]+" do outcomes[#outcomes + 1] = outcome end
  assert(#outcomes == #lines, ("%d outcomes for %d probes; status %s\n%s\n%s")
    :format(#outcomes, #lines, tostring(result.status), result.out, result.err))
  return outcomes, result
end

return M
