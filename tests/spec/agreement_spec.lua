--- Every way of asking a policy gives one answer, and it is the one that naive.lua finds by walking the rules:
--- policies and questions at random, asked in all ways. LUNETTE_SEED chooses others.

local json = require "dkjson"
local lunette = require "lunette"

local generator = require "generator"
local naive = require "naive"
local support = require "support"

local POLICIES, QUESTIONS = 1000, 10
local SAMPLE_EVERY = 40 -- of the policies, one is asked by programs too

local seed = tonumber(os.getenv("LUNETTE_SEED")) or 20250117
local directory = support.directory()
local path = directory .. "/policy.lua"

local function expected(policy, question)
  local answer = question.address and naive.evaluate(policy, question) or naive.evaluate_dns(policy, question)
  answer.source, answer.line = answer.line and path .. ":" .. answer.line, nil
  return answer
end

local mistakes = {}

local ALL = { "action", "reason", "rule", "source", "inspect" }

--- Takes note of an answer that is not the one expected.
---@param told? string[] the fields that it has in this way of asking; nil: all
local function compare(way, policy, question, answer, told)
  local wanted, found, is_wrong = expected(policy, question), {}, false
  for _, key in ipairs(told or ALL) do
    found[key] = answer[key]
    is_wrong = is_wrong or wanted[key] ~= answer[key]
  end
  if is_wrong then
    mistakes[#mistakes + 1] = ("%s, seed %d, policy %d:\n%spins %s\nquestion %s\nexpected %s\nfound %s"):format(
      way, seed, policy.number, policy.text, json.encode(policy.pins), json.encode(question), json.encode(wanted),
      json.encode(found))
  end
end

--- Calls back for policies with their questions; then tells the first answer that was wrong.
local function each_policy(step, check)
  mistakes = {}
  for number = 1, POLICIES, step do
    local policy, questions = generator.policy(seed, number), {}
    policy.number = number
    for i = 1, QUESTIONS do questions[i] = generator.question(policy) end
    support.write(path, policy.text)
    check(policy, questions)
  end
  assert(#mistakes == 0, #mistakes .. " answers are wrong; the first: " .. tostring(mistakes[1]))
end

local function ask(compiled, question)
  return question.address and compiled:evaluate(question) or compiled:evaluate_dns(question)
end

local function add_pins(compiled, policy)
  for _, pin in ipairs(policy.pins) do compiled:pin(pin.name, pin.address) end
  return compiled
end

-- ---- programs ----

--- The addresses of this machine, which `lunette match` and others know as the host.
local function machine_addresses()
  local pipe = assert(io.popen("ip -o address show"))
  local addresses = {}
  for address in pipe:read("a"):gmatch("inet6? ([%x.:]+)") do addresses[#addresses + 1] = address end
  pipe:close()
  assert(#addresses > 0, "ip tells no addresses")
  return addresses
end
local machine = machine_addresses()

--- The question as a program reads it; nil where that has no words for it.
local function words_of(question)
  if question.name then return question.protocol == "udp" and "dns " .. question.name or nil end
  local peer = ("%s %s %s"):format(question.direction, question.protocol, question.address)
  if not question.port then return peer end
  if question.direction == "ingress" then return ("%s -> %d"):format(peer, question.port) end
  local form = question.address:find(":") and "%s %s [%s]:%d" or "%s %s %s:%d"
  return form:format(question.direction, question.protocol, question.address, question.port)
end

local function decoded(line) return (assert(json.decode(line))) end

local function match(policy, question)
  local arguments = { "match", "--json" }
  for _, pin in ipairs(policy.pins) do
    table.move({ "--resolved", pin.name .. "=" .. pin.address }, 1, 2, #arguments + 1, arguments)
  end
  if question.method then
    table.move({ "--http", question.method .. " " .. question.path }, 1, 2, #arguments + 1, arguments)
  end
  if question.sni then table.move({ "--sni", question.sni }, 1, 2, #arguments + 1, arguments) end
  table.move({ path, words_of(question) }, 1, 2, #arguments + 1, arguments)
  return decoded(support.lunette(table.unpack(arguments)).out)
end

--- Lines of `lunette repl`: what it answers to each.
local function repl(policy, lines)
  local input = {}
  for i, pin in ipairs(policy.pins) do input[i] = ("pin %s %s"):format(pin.name, pin.address) end
  table.move(lines, 1, #lines, #input + 1, input)
  local result = support.lunette({ table.concat(input, "\n") }, "repl", path)
  assert(result.status == 0 and result.err == "", result.err)
  local answers = {}
  for line in result.out:gmatch("[^\n]+") do answers[#answers + 1] = line end
  return answers
end

--- An answer for people, or a table as Lua writes it.
local function read_answer(line)
  if line:find("^{") then
    return {
      action = line:match('action = "(.-)"'), reason = line:match('reason = "(.-)"'),
      rule = tonumber(line:match("rule = (%d+)")), source = line:match('source = "(.-)"'),
    }
  end
  local rule, source = line:match(": rule (%d+) %((.-)%): ")
  local reason = line:find(": default_%l+$") and "default" or line:find(": no policy can") and "never" or nil
  return { action = line:match("^%l+"), rule = tonumber(rule), source = source, reason = reason }
end

local function lua_of(question)
  local fields = {}
  for key, value in pairs(question) do
    fields[#fields + 1] = ("%s = %s"):format(key, type(value) == "string" and ("%q"):format(value) or tostring(value))
  end
  local method = question.name and "evaluate_dns" or "evaluate"
  return ("policy:%s { %s }"):format(method, table.concat(fields, ", "))
end

local function event(kind, address, fields)
  fields.kind, fields.time, fields.action, fields.reason = kind, "2026-01-02T03:04:05.678Z", "allow", "default"
  local guest = address:find(":") and "fd42:6d73:62::2" or "172.16.0.2"
  fields.src = fields.direction == "ingress" and address or guest
  fields.dst = fields.direction == "ingress" and guest or address
  return json.encode(fields)
end

--- A connection or query as `--events` tells it.
local function event_of(policy, question)
  if question.name then
    return event("dns_query", policy.gateway[1], {
      direction = "egress", protocol = question.protocol, port = 53, name = naive.canonical(question.name), type = "A",
    })
  end
  return event(question.method and "http_request" or "flow_open", question.address, {
    method = question.method, path = question.path,
    direction = question.direction, protocol = question.protocol, port = question.port,
    name = question.sni and naive.canonical(question.sni), name_from = question.sni and "shown" or nil,
  })
end

--- Connections that tell what was resolved.
local function events_of_pins(policy)
  local events = {}
  for i, pin in ipairs(policy.pins) do
    events[i] = event("flow_open", pin.address, {
      direction = "egress", protocol = "tcp", port = 1, name = naive.canonical(pin.name), name_from = "resolved",
    })
  end
  return events
end

--- The answers to the events, in their order.
local function replay(lines)
  support.write(directory .. "/events", table.concat(lines, "\n") .. "\n")
  local result = support.lunette("replay", "--all", "--json", directory .. "/events", path)
  assert(result.err == "", result.err)
  local answers = {}
  for line in result.out:gmatch("[^\n]+") do answers[#answers + 1] = decoded(line) end
  assert(table.remove(answers).judged == #lines, "not all are judged")
  for _, answer in ipairs(answers) do answer.action = answer.after end
  return answers
end

--- What `lunette print` prints of the policy, in a file, and as a table.
---@return string
---@return table
local function printed()
  local text = support.lunette("print", "--json", path).out
  support.write(directory .. "/printed.json", text)
  return directory .. "/printed.json", decoded(text)
end

describe("the answers of seed " .. seed, function()
  it("are those of a walk through the rules", function()
    each_policy(1, function(policy, questions)
      local compiled = add_pins(lunette.load(path, { gateway = policy.gateway }), policy)
      for _, question in ipairs(questions) do
        compare("evaluate", policy, question, ask(compiled, question))
        question.trace = true
        compare("evaluate with a trace", policy, question, ask(compiled, question))
      end
    end)
  end)

  it("are those of lunette match", function()
    each_policy(SAMPLE_EVERY, function(policy, questions)
      policy.machine = machine
      for _, question in ipairs(questions) do
        question.sni = question.sni or nil
        if question.http == nil and words_of(question) then
          compare("match", policy, question, match(policy, question))
        end
      end
    end)
  end)

  it("are those of lunette repl", function()
    each_policy(SAMPLE_EVERY, function(policy, questions)
      policy.machine = machine
      local lines = {}
      for i, question in ipairs(questions) do
        local words = question.sni ~= false and question.http == nil and words_of(question)
        local rest = question.sni and " sni " .. question.sni or ""
        if question.method then rest = ("%s %s %s"):format(rest, question.method, question.path) end
        lines[i] = words and words .. rest or lua_of(question)
      end
      local answers = repl(policy, lines)
      assert.equal(#questions, #answers)
      for i, answer in ipairs(answers) do
        local read = read_answer(answer)
        compare("repl", policy, questions[i], read, { "action", "rule", "source", read.reason and "reason" })
      end
    end)
  end)

  it("are those of lunette replay", function()
    each_policy(SAMPLE_EVERY, function(policy, questions)
      policy.machine = machine
      local events = events_of_pins(policy)
      for _, question in ipairs(questions) do
        question.sni = question.sni or nil
        if question.http == false then question.http = nil end -- no event tells
        events[#events + 1] = event_of(policy, question)
      end
      local answers = replay(events)
      for i, question in ipairs(questions) do
        compare("replay", policy, question, answers[#policy.pins + i], { "action", "reason", "rule", "source" })
      end
    end)
  end)

  it("are those of what lunette print prints", function()
    each_policy(SAMPLE_EVERY, function(policy, questions)
      local copy, config = printed()
      local from_file = add_pins(lunette.load(copy, { gateway = policy.gateway }), policy)
      for i, rule in ipairs(config.rules) do config.rules[i] = rule.comment.text end
      config.gateway = policy.gateway
      local from_lines = not policy.has_requests and add_pins(lunette.compile(config), policy)
      for _, question in ipairs(questions) do
        compare("print --json", policy, question, ask(from_file, question), { "action", "rule" })
        if from_lines then
          compare("rules on one line", policy, question, ask(from_lines, question), { "action", "rule" })
        end
      end
      local changes = support.lunette("diff", path, copy)
      assert.same({ 0, "" }, { changes.status, changes.out .. changes.err }, policy.text)
    end)
  end)
end)
