--- Where the fields of a policy are written: a Lua table does not know, so its source is read.
---
--- Theory of operation. The source is cut into tokens, then walked once at statement level, without
--- building a syntax tree. Three shapes are followed, because policies are written in them:
---
---     local NAME = VALUE      NAME.field = VALUE      return VALUE
---
--- VALUE is described by a node: its line, and, where it is a table constructor or a name that stands
--- for one, its fields. Anything else (calls, arithmetic, functions) is skipped token by token; it
--- has a line and no fields. What is not understood has no line, and the caller takes that of the
--- nearest thing around it: positions help the reader, nothing is decided by them.

local M = {}

---@class lunette.Node
---@field line integer 1-based
---@field fields? table<string|integer, lunette.Node> of a table constructor

---@class lunette.Token
---@field kind "name"|"string"|"number"|"symbol"|"end"
---@field text string the name, symbol or number; of a string: its contents, as far as escapes allow
---@field line integer

local DEPTH_MAX = 64 -- of nested constructors; the conversion of values stops far earlier

local OPENS = { ["function"] = true, ["if"] = true, ["do"] = true, ["repeat"] = true }
local CLOSES = { ["end"] = true, ["until"] = true }
local SYMBOLS = { "...", "..", "::", "==", "~=", "<=", ">=", "//", "<<", ">>" }
local ESCAPES = { a = "\a", b = "\b", f = "\f", n = "\n", r = "\r", t = "\t", v = "\v" }

--- The long bracket at `at`: its contents and where it ends, or nil.
local function long_bracket(source, at)
  local level = source:match("^%[(=*)%[", at)
  if not level then return nil end
  local close = "]" .. level .. "]"
  local from = at + #level + 2
  local last = source:find(close, from, true)
  if not last then return nil end
  return source:sub(from, last - 1), last + #close
end

--- The quoted string at `at`: its contents and where it ends. Only keys need their exact contents;
--- escapes that keys hardly hold (\x, \u, decimal) are left as they are written.
local function quoted(source, at)
  local quote = source:sub(at, at)
  local i = at + 1
  local parts = {}
  while true do
    local stop = source:find('[\\\n"\']', i)
    if not stop then return nil end
    parts[#parts + 1] = source:sub(i, stop - 1)
    local c = source:sub(stop, stop)
    if c == quote then return table.concat(parts), stop + 1 end
    if c == "\n" then return nil end
    if c == "\\" then
      local next_char = source:sub(stop + 1, stop + 1)
      if next_char == "z" then
        i = source:find("%S", stop + 2) or #source + 1
      else
        parts[#parts + 1] = ESCAPES[next_char] or next_char
        i = stop + 2
      end
    else -- the other quote
      parts[#parts + 1] = c
      i = stop + 1
    end
  end
end

--- The symbol at `at`: the longest that fits.
local function symbol(source, at)
  for _, text in ipairs(SYMBOLS) do
    if source:sub(at, at + #text - 1) == text then return text end
  end
  return source:sub(at, at)
end

--- One token that starts at `at` (no blank, no comment): kind, text, and where it ends.
local function token_at(source, at)
  local name = source:match("^[%a_][%w_]*", at)
  if name then return "name", name, at + #name end
  local number = source:match("^0[xX][%x%.]*", at) or source:match("^%.?%d[%w%.]*", at)
  if number then return "number", number, at + #number end
  local text, stop = long_bracket(source, at)
  if text then return "string", text, stop end
  if source:find("^[\"']", at) then
    text, stop = quoted(source, at)
    if text then return "string", text, stop end
  end
  text = symbol(source, at)
  return "symbol", text, at + #text
end

--- Cuts `source` into tokens, one at a call; at the end of the kind "end", again and again.
---@param source string
---@return fun(): lunette.Token
local function tokenizer(source)
  local line, at, newline = 1, 1, source:find("\n", 1, true)
  local function skip_to(stop)
    while newline and newline < stop do
      line = line + 1
      newline = source:find("\n", newline + 1, true)
    end
    at = stop
  end
  if source:find("^#") then skip_to(source:find("\n", 1, true) or #source + 1) end
  return function()
    while true do
      skip_to(source:find("%S", at) or #source + 1)
      if at > #source then return { kind = "end", text = "", line = line } end
      if not source:find("^%-%-", at) then
        local kind, text, stop = token_at(source, at)
        local token = { kind = kind, text = text, line = line }
        skip_to(stop)
        return token
      end
      local _, stop = long_bracket(source, at + 2)
      skip_to(stop or source:find("\n", at, true) or #source + 1)
    end
  end
end

local NOTHING = { kind = "end", text = "", line = 1 } -- what stands before the first token

---@class lunette.Walker
---@field next_token fun(): lunette.Token
---@field tokens table<integer, lunette.Token> those around here: a large file has too many to keep
---@field at integer
---@field read integer the last that was read
---@field locals table<string, lunette.Node>
local Walker = {}
Walker.__index = Walker

---@param source string
---@return lunette.Walker
local function walker_of(source)
  local self = { next_token = tokenizer(source), tokens = {}, at = 1, read = 0, locals = {} }
  return setmetatable(self, Walker)
end

--- The token `ahead` of here; -1 is the one before.
function Walker:peek(ahead)
  local wanted = self.at + (ahead or 0)
  while self.read < wanted do
    self.read = self.read + 1
    self.tokens[self.read] = self.next_token()
  end
  return self.tokens[wanted] or NOTHING
end

--- Goes `count` tokens on.
function Walker:advance(count)
  for _ = 1, count do
    self:peek()
    self.tokens[self.at - 1] = nil
    self.at = self.at + 1
  end
end

--- Whether the token `ahead` of here is this symbol or keyword.
function Walker:is(text, ahead)
  local token = self:peek(ahead)
  return token.text == text and (token.kind == "symbol" or token.kind == "name")
end

function Walker:ends_value(ahead)
  return self:is(",", ahead) or self:is(";", ahead) or self:is("}", ahead) or self:peek(ahead).kind == "end"
end

--- Skips to the end of the value inside a constructor: the separator or brace that is not inside
--- brackets or a function's body.
function Walker:skip_value()
  local depth = 0
  while self:peek().kind ~= "end" do
    local token = self:peek()
    if depth == 0 and self:ends_value() then return end
    if token.kind == "symbol" then
      if token.text:find("^[%(%[{]$") then depth = depth + 1 end
      if token.text:find("^[%)%]}]$") then depth = depth - 1 end
    elseif token.kind == "name" then
      if OPENS[token.text] then depth = depth + 1 end
      if CLOSES[token.text] then depth = depth - 1 end
    end
    self:advance(1)
  end
end

--- The key of the next entry, which is consumed: a name, or a constant in brackets. Nil for a
--- positional entry; false for a key that has to be computed.
function Walker:key()
  local token = self:peek()
  if token.kind == "name" and self:is("=", 1) then
    self:advance(2)
    return token.text
  end
  if not self:is("[") then return nil end
  local constant = self:peek(1)
  if self:is("]", 2) and self:is("=", 3) then
    self:advance(4)
    if constant.kind == "string" then return constant.text end
    if constant.kind == "number" then return math.tointeger(tonumber(constant.text)) or false end
    return false
  end
  self:skip_to_assignment()
  return false
end

--- Past the `=` behind a computed key.
function Walker:skip_to_assignment()
  while self:peek().kind ~= "end" and not self:is("=") do
    self:advance(1)
  end
  self:advance(1)
end

--- Describes the table constructor here, and goes behind it.
---@return lunette.Node
function Walker:constructor(depth)
  local node = { line = self:peek().line, fields = {} }
  self:advance(1)
  local position = 0
  while self:peek().kind ~= "end" and not self:is("}") do
    local line = self:peek().line
    local key = self:key()
    local positional = key == nil
    if positional then
      position = position + 1
      key = position
    end
    local value = self:value(depth + 1)
    if key then
      node.fields[key] = { line = positional and value.line or line, fields = value.fields }
    end
    self:skip_value()
    if not self:is("}") then self:advance(1) end
  end
  self:advance(1)
  return node
end

--- Describes the value here. Goes behind it where it is a constructor or a name, else to wherever
--- the caller's skipping begins.
---@return lunette.Node
function Walker:value(depth)
  local token = self:peek()
  if self:is("{") and depth < DEPTH_MAX then
    return self:constructor(depth)
  end
  if token.kind == "name" then
    local node, ahead = self.locals[token.text], 1
    while node and self:is(".", ahead) and self:peek(ahead + 1).kind == "name" do
      node = node.fields and node.fields[self:peek(ahead + 1).text]
      ahead = ahead + 2
    end
    if node and not self:continues(ahead) then
      self:advance(ahead)
      return { line = node.fields and node.line or token.line, fields = node.fields }
    end
  end
  return { line = token.line }
end

--- Whether the expression goes on at the token `ahead`: then the name before it is only a part.
function Walker:continues(ahead)
  local token = self:peek(ahead)
  if token.kind == "string" then return true end
  if token.kind == "name" then return token.text == "and" or token.text == "or" end
  return token.kind == "symbol" and not (token.text:find("^[,;}%)]$") or token.text == "::")
end

--- NAME.field.field: the node that an assignment to it changes and the key, or nil. Consumes up to
--- and with the `=`.
function Walker:assignment()
  local node, ahead, key = self.locals[self:peek().text], 1, nil
  if not node then return nil end
  while self:is(".", ahead) and self:peek(ahead + 1).kind == "name" do
    if key then
      node = node.fields and node.fields[key]
      if not node then return nil end
    end
    key = self:peek(ahead + 1).text
    ahead = ahead + 2
  end
  if not key or not self:is("=", ahead) then return nil end
  self:advance(ahead + 1)
  return node, key
end

--- One step at statement level, outside every block.
---@return lunette.Node? result of a `return`
function Walker:statement()
  local token = self:peek()
  if self:is("return") then
    self:advance(1)
    return self:value(0)
  end
  if self:is("local") and self:peek(1).kind == "name" then
    local name, ahead = self:peek(1).text, 2
    if self:is("<", ahead) then ahead = ahead + 3 end
    if self:is("=", ahead) then
      self:advance(ahead + 1)
      self.locals[name] = self:value(0)
      return nil
    end
  elseif token.kind == "name" and not self:is(".", -1) then
    local node, key = self:assignment()
    if node then
      node.fields = node.fields or {}
      local line = token.line
      node.fields[key] = { line = line, fields = self:value(0).fields }
      return nil
    end
  end
  self:advance(1)
  return nil
end

--- Describes the table that a chunk returns.
---@param source string the text of the chunk
---@return lunette.Node? node nil when the chunk has no `return` at its top level
function M.returned(source)
  local walker = walker_of(source)
  local depth = 0
  while walker:peek().kind ~= "end" do
    local token = walker:peek()
    if depth == 0 and token.kind == "name" and not OPENS[token.text] then
      local node = walker:statement()
      if node then return node end
    else
      if token.kind == "name" or token.kind == "symbol" then
        if OPENS[token.text] or token.text:find("^[%(%[{]$") then depth = depth + 1 end
        if CLOSES[token.text] or token.text:find("^[%)%]}]$") then depth = depth - 1 end
      end
      walker:advance(1)
    end
  end
  return nil
end

--- The table constructor that is the argument of a call of `name` on a line.
---@param source string
---@param name string the last part of the function's name: "compile"
---@param line integer
---@return lunette.Node?
function M.argument(source, name, line)
  local walker = walker_of(source)
  while walker:peek().kind ~= "end" do
    if walker:is(name) and walker:peek().line == line then
      if walker:is("(", 1) and walker:is("{", 2) then walker:advance(1) end
      if walker:is("{", 1) then
        walker:advance(1)
        return walker:constructor(0)
      end
    end
    walker:advance(1)
  end
  return nil
end

return M
