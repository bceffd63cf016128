--- Lua source, token by token. It is source that Lua has compiled already, so mistakes need no care.

local M = {}

---@alias lunette.TokenKind "name"|"string"|"number"|"symbol"|"end"

local byte, find, match, sub = string.byte, string.find, string.match, string.sub

--- What a token is that begins with this byte; nil: a symbol of one or more characters.
local STARTS = {}
for c = 0, 255 do
  local text = string.char(c)
  if text:find("[%a_]") then STARTS[c] = "name" end
  if text:find("%d") then STARTS[c] = "number" end
  if text:find("[\"']") then STARTS[c] = "quoted" end
end
STARTS[byte("[")] = "bracket"
STARTS[byte("-")] = "dash"
STARTS[byte(".")] = "dot"

local LONG_SYMBOLS = {
  ["::"] = true, ["=="] = true, ["~="] = true, ["<="] = true, [">="] = true, ["//"] = true, ["<<"] = true,
  [">>"] = true,
}
local ESCAPES = { a = "\a", b = "\b", f = "\f", n = "\n", r = "\r", t = "\t", v = "\v" }

--- The long bracket at `at`: its contents and where it ends, or nil.
local function long_bracket(source, at)
  local level = match(source, "^%[(=*)%[", at)
  if not level then return nil end
  local close = "]" .. level .. "]"
  local from = at + #level + 2
  local last = find(source, close, from, true)
  if not last then return nil end
  return sub(source, from, last - 1), last + #close
end

--- The quoted string at `at`: its contents and where it ends. Only keys need their exact contents;
--- escapes that keys hardly hold (\x, \u, decimal) are left as they are written.
local function quoted(source, at)
  local quote = sub(source, at, at)
  local special = quote == '"' and '["\\]' or "['\\]"
  local from, parts = at + 1, ""
  while true do
    local stop = find(source, special, from)
    if not stop then return parts, #source + 1 end
    local piece = sub(source, from, stop - 1)
    if sub(source, stop, stop) == quote then return parts .. piece, stop + 1 end
    local escaped = sub(source, stop + 1, stop + 1)
    if escaped == "z" then
      parts, from = parts .. piece, find(source, "%S", stop + 2) or #source + 1
    else
      parts, from = parts .. piece .. (ESCAPES[escaped] or escaped), stop + 2
    end
  end
end

local function symbol(source, at)
  local two = sub(source, at, at + 1)
  if LONG_SYMBOLS[two] then return "symbol", two, at + 2 end
  local dots = match(source, "^%.%.%.?", at)
  local text = dots or sub(two, 1, 1)
  return "symbol", text, at + #text
end

--- The token at `at`: its kind, its text, and where it ends. A comment has no kind.
local function token_at(source, at)
  local start = STARTS[byte(source, at)]
  if start == "name" then
    local name = match(source, "^[%w_]+", at)
    return "name", name, at + #name
  elseif start == "quoted" then
    return "string", quoted(source, at)
  elseif start == "number" or (start == "dot" and find(source, "^%.%d", at)) then
    local number = match(source, "^0[xX][%x.]*", at) or match(source, "^[%w.]+", at)
    return "number", number, at + #number
  elseif start == "dash" and byte(source, at + 1) == byte("-") then
    local _, stop = long_bracket(source, at + 2)
    return nil, nil, stop or find(source, "\n", at, true) or #source + 1
  elseif start == "bracket" then
    local text, stop = long_bracket(source, at)
    if text then return "string", text, stop end
  end
  return symbol(source, at)
end

--- Gives the next token at each call: its kind, its text (of a string: the contents, as far as escapes
--- allow) and its line. At the end of the kind "end", again and again.
---@param source string
---@return fun(): lunette.TokenKind, string, integer
function M.tokens(source)
  local at, line, newline = 1, 1, find(source, "\n", 1, true)
  local function go_to(stop)
    while newline and newline < stop do
      line = line + 1
      newline = find(source, "\n", newline + 1, true)
    end
    at = stop
  end
  if sub(source, 1, 3) == "\xef\xbb\xbf" then at = 4 end
  if sub(source, at, at) == "#" then go_to(newline or #source + 1) end
  return function()
    while true do
      go_to(find(source, "%S", at) or #source + 1)
      if at > #source then return "end", "", line end
      local kind, text, stop = token_at(source, at)
      local first_line = line
      go_to(stop)
      if kind then return kind, text, first_line end
    end
  end
end

return M
