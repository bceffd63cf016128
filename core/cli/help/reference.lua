--- Turns the annotations in lua/meta into the text that `lunette help TOPIC` shows, and writes all topics as
--- a C file:
---
---     lua5.4 reference.lua OUTPUT TOPIC=FILE…
---
--- Prose (`--- …`) is Markdown and is kept; it stands before what it is about. `---@class` takes the prose
--- before it as a section's beginning, and `---@field` becomes an entry with its type.

--- What a type is called; tables that have a section of their own are just tables.
local function type_text(text)
  text = text:gsub("lunette%.RuleLike", "rule"):gsub("lunette%.Destination", "destination")
  text = text:gsub("lunette%.Flow", "flow")
  text = text:gsub("lunette%.OnViolation", "fun(violation)")
  text = text:gsub("lunette%.ViolationAction", '"block" | "block-and-log" | "block-and-terminate"')
  return (text:gsub("lunette%.[%a.]+", "table"):gsub("%s*|%s*", " | "))
end

--- The Markdown of one annotated file.
local function reference(path)
  local out, prose = {}, {}
  local function put(line)
    if line == "" and (out[#out] == "" or #out == 0) then return end
    out[#out + 1] = line
  end
  local function flush()
    for _, line in ipairs(prose) do put(line) end
    prose = {}
  end
  for line in io.lines(path) do
    local name, optional, what = line:match "^%-%-%-@field ([%w_]+)(%??) (.+)$"
    if name then
      put ""
      put(("## `%s`: %s%s"):format(name, type_text(what), optional == "" and "; required" or ""))
      put ""
      flush()
    elseif line:match "^%-%-%-@class" then
      flush()
    elseif not line:match "^%-%-%-@" then
      prose[#prose + 1] = line:match "^%-%-%- ?(.*)$" or ""
    end
  end
  assert(table.concat(prose) == "", path .. ": prose that belongs to nothing")
  return table.concat(out, "\n") .. "\n"
end

local function c_string(text)
  local lines = {}
  for line in text:gmatch "([^\n]*)\n" do
    lines[#lines + 1] = ('     "%s\\n"'):format(line:gsub('[\\"]', "\\%0"))
  end
  return table.concat(lines, "\n")
end

local c = {}
local function put(text) c[#c + 1] = text end

put '/* Made by core/cli/help/reference.lua from lua/meta. */\n#include "cli/help.h"\n'
put "const struct help_topic help_topics[] = {"
for i = 2, #arg do
  local topic, path = arg[i]:match "^(%w+)=(.+)$"
  put(('    {"%s",\n%s},'):format(topic, c_string(reference(path))))
end
put "};\nconst size_t help_topics_count = sizeof(help_topics) / sizeof(help_topics[0]);"

local file = assert(io.open(arg[1], "w"))
assert(file:write(table.concat(c, "\n"), "\n"))
assert(file:close())
