#!/usr/bin/env lua5.4
--- The network of a virtual machine, in Lua: starts the machine with one end of a socket pair, and is
--- the network at the other. Events come to a function of this script, which also changes the policy
--- while the machine runs.
---
---   vmm.lua [-o DIR] POLICY [SECOND_POLICY] -- COMMAND...
---
--- -o: what the machine is to trust is written to DIR/bundle, and what it holds in the place of secrets to
--- DIR/placeholders, a line NAME=VALUE each, before COMMAND starts.
--- COMMAND gets the machine's end as descriptor 3, for QEMU's
--- -netdev stream,server=off,addr.type=fd,addr.str=3. When the machine's first TCP connection is
--- closed, SECOND_POLICY takes over. Exits with COMMAND's status, 125 when it could not do its work.
--- Needs luv, libuv for Lua (Debian: lua-luv).

local lunette = require "lunette"
local uv = require "luv"

local FRAME_MAX <const> = 1 << 17
local QUEUE_MAX <const> = 1 << 20 -- bytes that wait for a machine that does not read; what exceeds them is lost

local function fail(message)
  io.stderr:write("vmm: ", tostring(message), "\n")
  os.exit(125)
end

local policies, command, give = {}, {}, nil
do
  local into, first = policies, 1
  if arg[1] == "-o" then give, first = arg[2], 3 end
  for i = first, #arg do
    if arg[i] == "--" and into == policies then into = command else into[#into + 1] = arg[i] end
  end
  if #policies == 0 or #policies > 2 or #command == 0 then
    fail "usage: vmm.lua [-o DIR] POLICY [SECOND_POLICY] -- COMMAND..."
  end
end

--- Loads a policy, or says all that is wrong with it.
local function load_policy(path)
  local ok, policy = pcall(lunette.load, path)
  return ok and policy or fail(policy)
end

-- ---- the gateway ----

local first_closed = false

local function on_event(event)
  print(("event %s %s %s"):format(event.kind, event.name or event.dst or "-", event.reason or "-"))
  if event.kind == "flow_close" and event.protocol == "tcp" then first_closed = true end
end

local send_frame -- to the machine

local gateway = lunette.gateway {
  policy = load_policy(policies[1]),
  on_frame = function(bytes) send_frame(bytes) end,
  on_event = on_event,
}

if give then
  local function write(name, text)
    local file = assert(io.open(give .. "/" .. name, "w"))
    assert(file:write(text))
    file:close()
  end
  local lines = {}
  for _, secret in ipairs(gateway:secrets()) do lines[#lines + 1] = secret.name .. "=" .. secret.placeholder .. "\n" end
  write("bundle", gateway:trust() or "")
  write("placeholders", table.concat(lines))
end

-- ---- the machine: each frame has its length before it, 4 bytes, big-endian ----

local status
local ours, theirs
do
  local pair = assert(uv.socketpair("stream", 0, { nonblock = true }, {}))
  ours, theirs = uv.new_pipe(false), pair[2]
  assert(ours:open(pair[1]))
end

local machine, problem_of_start = uv.spawn(command[1], {
  args = table.move(command, 2, #command, 1, {}),
  stdio = { 0, 1, 2, theirs }, -- the last becomes descriptor 3
}, function(code, signal) status = signal == 0 and code or 125 end)
if not machine then fail(("%s: %s"):format(command[1], problem_of_start)) end
assert(uv.fs_close(theirs))

function send_frame(bytes)
  if ours:get_write_queue_size() + #bytes <= QUEUE_MAX then ours:write(string.pack(">s4", bytes)) end
end

-- ---- turns ----

--- Does what is due. The policy is changed here, for a handler of events may not do it.
local function turn()
  gateway:dispatch()
  local why = gateway:condemned() -- a violation of the kind that ends the machine
  if why then
    io.stderr:write("vmm: the machine is ended: ", why, "\n")
    machine:kill "sigkill"
  end
  if first_closed and policies[2] then
    gateway:reload(load_policy(policies[2]))
    policies[2] = nil
    print "event reload"
  end
end

local ready = uv.new_poll(gateway:fd())
ready:start("r", function(problem)
  if problem then fail(problem) end
  turn()
end)

local function hang_up()
  ready:close()
  ours:close()
end

local received = ""
ours:read_start(function(problem, data)
  if problem or not data then return hang_up() end
  received = received .. data
  local at = 1
  while #received - at + 1 >= 4 do
    local len = string.unpack(">I4", received, at)
    if len == 0 or len > FRAME_MAX then return hang_up() end
    if #received - at + 1 < 4 + len then break end
    gateway:input(received:sub(at + 4, at + 3 + len))
    at = at + 4 + len
  end
  received = received:sub(at)
  turn()
end)

uv.run() -- until the machine hung up and its process ended

local stats = gateway:stats()
gateway:close()
print(("frames %d in, %d out; flows %d opened, %d denied"):format(stats.frames_in, stats.frames_out,
  stats.flows_opened, stats.flows_denied))
os.exit(status or 125, true)
