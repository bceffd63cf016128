--- The manual page lunette(1), made from what `lunette help` says:
---
---     lua5.4 man.lua LUNETTE OUTPUT

local lunette, output = arg[1], arg[2]

local function help(topic)
  local pipe = assert(io.popen(("'%s' help %s"):format(lunette:gsub("'", "'\\''"), topic)))
  local text = pipe:read "a"
  assert(pipe:close(), "lunette help " .. topic .. " failed")
  return text
end

--- Text as roff shows it: as it is.
local function roff(text)
  return (text:gsub("\\", "\\e"):gsub("%-", "\\-"):gsub("%f[^\n\0]([.'])", "\\&%1"))
end

local page = {}
local function put(format, ...) page[#page + 1] = format:format(...) end

--- Lines that are kept as they are.
local function verbatim(text) put(".nf\n%s\n.fi", roff((text:gsub("\n+$", "")))) end

local main = help ""
put '.TH LUNETTE 1 "" "lunette" "User Commands"\n.ad l'
put ".SH NAME\nlunette \\- a programmable network perimeter for sandboxes and microVMs"
put ".SH SYNOPSIS\n.B lunette\n.I COMMAND\n[\\fIARGUMENT\\fR...]"
put ".SH DESCRIPTION"
put "A policy in Lua says what a guest may reach; lunette is all of its network."
put ".SH COMMANDS"
local commands = main:match "commands:\n(.-)\n\n"
for name in commands:gmatch "  (%l+) [^\n]*" do
  local synopsis, rest = help(name):match "^usage: lunette ([^\n]*)\n+(.*)$"
  put(".SS lunette %s", roff(synopsis))
  verbatim(rest)
end
put ".SH POLICIES"
verbatim(help "policy")
put ".SH EVENTS"
verbatim(help "events")

local file = assert(io.open(output, "w"))
assert(file:write(table.concat(page, "\n"), "\n"))
assert(file:close())
