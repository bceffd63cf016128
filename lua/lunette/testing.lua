--- Tests of policies: what `lunette test FILE...` runs. A test file is Lua, in a sandbox as policies are,
--- and stands beside its policy: agent_test.lua beside agent.lua. What it says, it says of that policy:
---
---     allows { name = "api.github.com", port = 443 }       -- asked for first, as a guest would
---     denies "egress tcp 10.0.0.5:443"                     -- as `lunette match` writes it
---     rejects { direction = "ingress", address = "192.0.2.1", port = 22 }
---     allows { port = 443, { name = "pypi.org" }, { name = "files.pythonhosted.org" } }
---     resolves { "github.com", "pypi.org" }                -- names that may be asked for in DNS
---     refuses "gist.github.com"                            -- and may not
---
--- Fields are those of policy:evaluate(), and `name`: it stands for the addresses that pin() gave it, else
--- it is asked for, and is then taken to have a public address. What stands beside several cases is
--- part of each. pin(NAME, IP...) holds to the end of the file, with_pins({ [NAME] = IP }, function)
--- while the function runs. policy(FILE) takes another policy from there on, and returns it.
--- test(TITLE, function) groups: an error in it is a failure, and the file goes on. The group `host` is the
--- gateway alone, wherever the tests run.

local core = require "lunette.core"
local locate = require "lunette.locate"
local presets = require "lunette.presets"
local questions = require "lunette.questions"

local M = {}

local UNDECIDED_SHOWN = 100 -- rules of one policy
local BENCH_ROUNDS = 1000 -- of one decision
local PROGRESS_EVERY = 0.05 -- seconds
local STOP = {} -- raised where what went wrong is recorded already

---@class lunette.Coverage
---@field rules integer how many there are
---@field hits table<integer|string, integer> cases by the rule that decided, or by "egress", "ingress": the default

--- What is carried from one file to the next, each of which has a sandbox of its own: plain values.
---@class lunette.TestState
---@field files integer
---@field passed integer
---@field failed integer
---@field broken integer files that could not be run to their end
---@field policies string[] the paths, in the order of their use
---@field coverage table<string, lunette.Coverage>
---@field bench { cases: integer, ns: number, slowest: number, slowest_case: string }

---@class lunette.TestRun of one file
---@field path string
---@field source string
---@field options table<string, any> tap, junit, coverage, min_coverage, bench, terminal
---@field state lunette.TestState
---@field asking? lunette.Asking
---@field coverage? lunette.Coverage of the policy that is asked
---@field titles string[]
---@field junit string[] the cases of this file
local Run = {}
Run.__index = Run

-- ---- state ----

local function serialize(value)
  if type(value) ~= "table" then return ("%q"):format(value) end
  local parts = {}
  for key, field in pairs(value) do parts[#parts + 1] = ("[%q]=%s"):format(key, serialize(field)) end
  return "{" .. table.concat(parts, ",") .. "}"
end

---@return lunette.TestState
local function restore(text)
  if text ~= "" then return load("return " .. text, "=state", "t", {})() end
  return { files = 0, passed = 0, failed = 0, broken = 0, policies = {}, coverage = {},
    bench = { cases = 0, ns = 0, slowest = 0, slowest_case = "" } }
end

-- ---- telling ----

local function escape_xml(text)
  text = text:gsub("[%z\1-\8\11\12\14-\31]", "?")
  local entities = { ["<"] = "&lt;", [">"] = "&gt;", ["&"] = "&amp;", ['"'] = "&quot;", ["\n"] = "&#10;" }
  return (text:gsub('[<>&"\n]', entities))
end

function Run:erase_progress()
  if self.progress_shown then core.write("\r\27[K") end
  self.progress_shown = false
end

function Run:show_progress()
  if not self.options.terminal or self.options.tap or os.clock() < (self.progress_due or 0) then return end
  self.progress_due, self.progress_shown = os.clock() + PROGRESS_EVERY, true
  local state = self.state
  core.write(("\r\27[K%d passed, %d failed: %s"):format(state.passed, state.failed, self.path))
end

--- Records one case.
---@param failure? string nil: it passed
---@param place string "agent_test.lua:12"
---@param what string
---@param detail? string of a failure: what decided
function Run:record(failure, place, what, detail)
  local state = self.state
  local outcome = failure and "failed" or "passed"
  state[outcome] = state[outcome] + 1
  local title = table.concat(self.titles, ": ")
  if title ~= "" then what = title .. ": " .. what end
  if self.options.tap then
    core.write(("%s %d - %s: %s\n"):format(failure and "not ok" or "ok", state.passed + state.failed, place,
      (what:gsub("#", "\\#"))))
    if failure then core.write(("  # %s\n"):format(failure)) end
    if detail then core.write(("  # %s\n"):format(detail)) end
  elseif failure then
    self:erase_progress()
    core.write(("%s: %s: %s\n"):format(place, what, failure))
    if detail then core.write(("    %s\n"):format(detail)) end
  end
  if self.options.junit then
    local case = ('<testcase classname="%s" name="%s"'):format(escape_xml(self.path), escape_xml(place .. ": " .. what))
    self.junit[#self.junit + 1] = not failure and case .. "/>\n"
      or ('%s><failure message="%s">%s</failure></testcase>\n')
        :format(case, escape_xml(failure), escape_xml(detail or ""))
  end
  self:show_progress()
end

--- Where the test file calls: "agent_test.lua:12", and the line.
local function place_here()
  local file, line = core.here()
  return file and ("%s:%d"):format(file, line) or "?", line
end

-- ---- the policy ----

local function directory_of(path) return path:match("^(.*/)") or "" end

--- The policy of the tests from here on: a file, from the directory of the test file, or a preset.
function Run:use(file)
  local path = (presets[file] or file:sub(1, 1) == "/") and file or directory_of(self.path) .. file
  local policy, problems = core.load(path)
  if not policy then
    for _, problem in ipairs(problems) do core.tell(problem.text) end
    self.broken = true
    error(STOP, 0)
  end
  local state = self.state
  if not state.coverage[path] then
    state.policies[#state.policies + 1] = path
    state.coverage[path] = { rules = #policy, hits = {} }
  end
  self.asking, self.coverage = questions.ask(policy), state.coverage[path]
  return policy
end

--- Asks the policy in use: unless one was chosen, the one beside the test file.
---@return lunette.Asking
function Run:current()
  if not self.asking then
    local beside = self.path:match("([^/]*)_test%.lua$")
    if not beside then error('say policy("FILE"): the name of this file does not tell the policy\'s', 0) end
    self:use(beside .. ".lua")
  end
  return self.asking
end

-- ---- cases ----

--- The question that a case asks: `dns`, or what policy:evaluate() takes, perhaps with `name`.
---@param case string|table
---@param common? table fields that the case has too
---@param of_names boolean whether a bare word is a name to be asked for
local function question_of(case, common, of_names)
  local question = {}
  for key, value in pairs(common or {}) do
    if type(key) == "string" then question[key] = value end
  end
  if type(case) == "string" then
    local fields, why = core.query(case)
    if of_names and not case:find("%s") then fields = { dns = case } end
    if not fields then error(why, 0) end
    case = fields
  elseif type(case) ~= "table" then
    error(('a case is a query such as "egress tcp 1.2.3.4:443", or a table, not a %s'):format(type(case)), 0)
  end
  for key, value in pairs(case) do question[key] = value end
  if of_names and question.name then question.dns, question.name = question.name, nil end
  return question
end

function Run:measure(verdict)
  if not self.options.bench then return end
  local bench, ns = self.state.bench, self.asking.policy:measure(verdict.asked, BENCH_ROUNDS)
  bench.cases, bench.ns = bench.cases + 1, bench.ns + ns
  if ns > bench.slowest then bench.slowest, bench.slowest_case = ns, verdict.what end
end

--- The verdicts on a question. Counts what decided.
function Run:judge(question)
  local hits = self.coverage.hits
  return self.asking:judge(question, function(verdict)
    if verdict.decider then hits[verdict.decider] = (hits[verdict.decider] or 0) + 1 end
    if verdict.asked then self:measure(verdict) end
  end)
end

---@alias lunette.Expected { text: string, [string]: true }

--- The line of a case in a table of cases, as far as the source tells; else that of the call.
function Run:line_of(call, i, line)
  local node = locate.argument(self.source, call, line)
  local field = node and node.fields[i]
  return type(field) == "table" and field.line or field or line
end

--- One case: all its verdicts have to be as expected.
---@param expected lunette.Expected
---@param place string
---@param find_place fun(): string the same, more exactly
function Run:check(question, expected, place, find_place)
  self:current()
  for _, verdict in ipairs(self:judge(question)) do
    if not expected[verdict.action] then
      self:record(("expected %s, came %s"):format(expected.text, verdict.action), find_place(), verdict.what,
        verdict.reason)
      return
    end
  end
  self:record(nil, place, questions.describe(question, question.address))
end

--- A function such as allows{}.
---@param expected lunette.Expected
function Run:expectation(call, expected, of_names)
  return function(cases)
    local place, line = place_here()
    local is_list = type(cases) == "table" and rawget(cases, 1) ~= nil
    local common = is_list and cases or nil
    for i, case in ipairs(is_list and cases or { cases }) do
      self:check(question_of(case, common, of_names), expected, place, function()
        return is_list and (place:gsub("%d+$", tostring(self:line_of(call, i, line)))) or place
      end)
    end
  end
end

-- ---- what test files are written with ----

--- A message handler: what went wrong, and where in the test file.
local function located(message)
  if type(message) == "table" then return message end -- STOP, or located before
  local text = type(message) == "string" and message:gsub("^[^\n]-:%d+: ", "") or "an error that is not a string"
  return { place = place_here(), text = text }
end

function Run:test(title, body)
  self.titles[#self.titles + 1] = title
  local ok, problem = xpcall(body, located)
  self.titles[#self.titles] = nil
  if not ok and problem ~= STOP then
    self.titles[#self.titles + 1] = title
    self:record(problem.text, problem.place, "error")
    self.titles[#self.titles] = nil
  elseif not ok and self.broken then
    error(STOP, 0)
  end
end

function Run:with_pins(pins, body)
  local undo = self:current():add_pins(pins)
  if not body then return end
  local ok, problem = xpcall(body, located)
  undo()
  if not ok then error(problem, 0) end
end

--- The globals of a test file.
function Run:globals()
  return {
    allows = self:expectation("allows", { text = "allow", allow = true }, false),
    denies = self:expectation("denies", { text = "deny", deny = true }, false),
    rejects = self:expectation("rejects", { text = "reject", reject = true }, false),
    resolves = self:expectation("resolves", { text = "allow", allow = true }, true),
    refuses = self:expectation("refuses", { text = "deny or reject", deny = true, reject = true }, true),
    policy = function(file) return self:use(file) end,
    pin = function(name, ...)
      local addresses = ...
      self:current():add_pins { [name] = type(addresses) == "table" and addresses or { ... } }
    end,
    with_pins = function(pins, body) self:with_pins(pins, body) end,
    test = function(title, body) self:test(title, body) end,
    assert = function(value, message, ...)
      local place = place_here()
      if value then
        self:record(nil, place, "assert")
        return value, message, ...
      end
      self:record(message == nil and "it is " .. tostring(value) or tostring(message), place, "assert")
      error(STOP, 0)
    end,
  }
end

--- The file cannot be run to its end.
function Run:break_off(place, text)
  self:erase_progress()
  self.state.broken = self.state.broken + 1
  if place then core.tell(("%s: %s"):format(place, text)) end
  if self.options.tap then core.write(("Bail out! %s\n"):format(place or self.path)) end
  if self.options.junit then
    self.junit[#self.junit + 1] = ('<testcase classname="%s" name="%s"><error message="%s"/></testcase>\n')
      :format(escape_xml(self.path), escape_xml(place or self.path), escape_xml(text or "the policy is not valid"))
  end
end

function Run:run()
  local chunk, message = load(self.source, "@" .. self.path)
  if not chunk then
    local line, text = message:match(":(%d+): (.*)$")
    self:break_off(("%s:%s"):format(self.path, line or "1"), text or message)
    return
  end
  for name, value in pairs(self:globals()) do rawset(_G, name, value) end
  local ok, problem = xpcall(chunk, located)
  if not ok and problem ~= STOP then
    self:break_off(problem.place, problem.text)
  elseif self.broken then
    self:break_off()
  end
end

--- Runs one file.
---@param path string
---@param source string
---@param options table<string, any>
---@param carried string the state so far; "" at first
---@return string the state
function M.run(path, source, options, carried)
  local state = restore(carried)
  local self = setmetatable(
    { path = path, source = source, options = options, state = state, titles = {}, junit = {} }, Run)
  local passed, failed, broken = state.passed, state.failed, state.broken
  self:run()
  self:erase_progress()
  state.files = state.files + 1
  if options.junit then
    failed, broken = state.failed - failed, state.broken - broken
    core.write_junit(('<testsuite name="%s" tests="%d" failures="%d" errors="%d">\n')
      :format(escape_xml(path), state.passed - passed + failed + broken, failed, broken))
    for _, case in ipairs(self.junit) do core.write_junit(case) end
    core.write_junit("</testsuite>\n")
  end
  return serialize(state)
end

-- ---- the end ----

local function counted(n, thing) return ("%d %s%s"):format(n, thing, n == 1 and "" or "s") end

--- What no case of a policy was decided by: lines for people; and how many deciders were used, of how many.
---@param coverage lunette.Coverage
local function undecided(path, coverage)
  local lines, used = {}, 0
  local policy = core.load(path)
  for i = 1, coverage.rules do
    if coverage.hits[i] then
      used = used + 1
    elseif #lines < UNDECIDED_SHOWN then
      local rule = policy and policy:rule(i)
      lines[#lines + 1] = rule and ("%s: rule %d decided no case: %s"):format(rule.source or path, i, rule.text)
    end
  end
  local hidden = coverage.rules - used - #lines
  if hidden > 0 then lines[#lines + 1] = ("%s: and %d more"):format(path, hidden) end
  for _, direction in ipairs { "egress", "ingress" } do
    if coverage.hits[direction] then
      used = used + 1
    else
      lines[#lines + 1] = ("%s: default_%s decided no case"):format(path, direction)
    end
  end
  return lines, used, coverage.rules + 2
end

--- Tells the coverage. Returns whether it is enough.
local function tell_coverage(state, options, say)
  local enough = true
  for _, path in ipairs(state.policies) do
    local lines, used, all = undecided(path, state.coverage[path])
    local percent = used * 100 / all
    if options.coverage then
      for _, line in ipairs(lines) do say(line) end
    end
    say(("coverage of %s: %.1f %% (%d of %d: %s, 2 defaults)")
      :format(path, math.floor(percent * 10) / 10, used, all, counted(all - 2, "rule")))
    if percent < (options.min_coverage or 0) then
      say(("coverage of %s is below %d %%"):format(path, options.min_coverage))
      enough = false
    end
  end
  return enough
end

--- Tells the end of all files.
---@param options table<string, any>
---@param carried string
---@param lost integer files that did not even come to a state: they went beyond the bounds of a sandbox
---@return integer status of the command
function M.finish(options, carried, lost)
  local state = restore(carried)
  state.files, state.broken = state.files + lost, state.broken + lost
  local cases = state.passed + state.failed
  local function say(line) core.write((options.tap and "# " or "") .. line .. "\n") end
  if options.tap then core.write(("1..%d\n"):format(cases)) end
  local bench = state.bench
  if bench.cases > 0 then
    say(("bench: %.0f ns a decision over %s; slowest %.0f ns: %s")
      :format(bench.ns / bench.cases, counted(bench.cases, "case"), bench.slowest, bench.slowest_case))
  end
  local enough = true
  if options.coverage or options.min_coverage then enough = tell_coverage(state, options, say) end
  say(("%s, %s: %d passed, %d failed%s"):format(counted(state.files, "file"), counted(cases, "case"), state.passed,
    state.failed, state.broken > 0 and (", %s not run to the end"):format(counted(state.broken, "file")) or ""))
  if state.broken > 0 then return 2 end
  return (state.failed > 0 or not enough) and 1 or 0
end

return M
