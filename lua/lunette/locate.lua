--- Where the fields of a policy are written: a Lua table does not know, so its source is read.
---
--- Theory of operation. The tokens are walked once at statement level, without building a syntax tree.
--- Three shapes are followed, because policies are written in them:
---
---     local NAME = VALUE      NAME.field = VALUE      return VALUE
---
--- VALUE is described by its line and, where it is a table constructor or a name that stands for one,
--- by its fields. Anything else (calls, arithmetic, functions) is skipped token by token. What is not
--- understood has no line, and the caller takes that of the nearest thing around it: positions help the
--- reader, nothing is decided by them.

local lexer = require "lunette.lexer"

local M = {}

--- A table constructor. A field that is no constructor, or one on a single line, is its line alone.
---@class lunette.Node
---@field line integer 1-based
---@field fields table<string|integer, lunette.Node|integer>

---@class lunette.Token
---@field kind lunette.TokenKind
---@field text string
---@field line integer

local DEPTH_MAX = 64 -- of nested constructors; the conversion of values stops far earlier
local RING = 16 -- tokens in sight
local AHEAD_MAX = RING - 4 -- how far is looked

--- By how much a token changes the depth of brackets and blocks.
local SYMBOL_DEPTH = { ["("] = 1, ["["] = 1, ["{"] = 1, [")"] = -1, ["]"] = -1, ["}"] = -1 }
local NAME_DEPTH = { ["function"] = 1, ["if"] = 1, ["do"] = 1, ["repeat"] = 1, ["end"] = -1, ["until"] = -1 }

---@param token lunette.Token
local function depth_of(token)
  local depths = token.kind == "symbol" and SYMBOL_DEPTH or token.kind == "name" and NAME_DEPTH
  return depths and depths[token.text] or 0
end

---@class lunette.Walker
---@field next_token fun(): lunette.TokenKind, string, integer
---@field ring table<integer, lunette.Token> the tokens around here, by number modulo RING
---@field at integer
---@field read integer the number of the last that was read
---@field locals table<string, lunette.Node|integer>
local Walker = {}
Walker.__index = Walker

---@param source string
---@return lunette.Walker
local function walker_of(source)
  local ring = {}
  for i = 0, RING - 1 do ring[i] = { kind = "end", text = "", line = 1 } end
  local self = { next_token = lexer.tokens(source), ring = ring, at = 1, read = 0, locals = {} }
  return setmetatable(self, Walker)
end

--- The token `ahead` of here; -1 is the one before. It is reused a few tokens later.
---@return lunette.Token
function Walker:peek(ahead)
  local wanted = self.at + (ahead or 0)
  while self.read < wanted do
    self.read = self.read + 1
    local token = self.ring[self.read % RING]
    token.kind, token.text, token.line = self.next_token()
  end
  return self.ring[wanted % RING]
end

--- Whether the token `ahead` of here is this symbol or keyword.
function Walker:is(text, ahead)
  local token = self:peek(ahead)
  return token.text == text and (token.kind == "symbol" or token.kind == "name")
end

--- Whether there is a name `ahead` of here.
function Walker:is_name(ahead) return self:peek(ahead).kind == "name" end

--- Skips to the end of the value inside a constructor: the separator or brace that is not inside
--- brackets or a function's body.
function Walker:skip_value()
  local depth = 0
  while true do
    local token = self:peek()
    if token.kind == "end" then return end
    if depth == 0 and (self:is(",") or self:is(";") or self:is("}")) then return end
    depth = depth + depth_of(token)
    self.at = self.at + 1
  end
end

--- The key of the next entry, which is consumed: a name, or a constant in brackets. Nil for a
--- positional entry; false for a key that has to be computed.
function Walker:key()
  local token = self:peek()
  if token.kind == "name" and self:is("=", 1) then
    self.at = self.at + 2
    return token.text
  end
  if not self:is("[") then return nil end
  local constant = self:peek(1)
  if self:is("]", 2) and self:is("=", 3) then
    self.at = self.at + 4
    if constant.kind == "string" then return constant.text end
    if constant.kind == "number" then return math.tointeger(tonumber(constant.text)) or false end
    return false
  end
  while self:peek().kind ~= "end" and not self:is("=") do self.at = self.at + 1 end
  self.at = self.at + 1
  return false
end

--- Describes the table constructor here, and goes behind it.
---@return integer line
---@return table fields
---@return boolean on_one_line
function Walker:constructor(depth)
  local first, fields, position = self:peek().line, {}, 0
  self.at = self.at + 1
  while self:peek().kind ~= "end" and not self:is("}") do
    local key_line, key = self:peek().line, self:key()
    local line, inner, on_one_line = self:value(depth + 1)
    if key == nil then
      position = position + 1
      key, key_line = position, line
    end
    if key then
      fields[key] = inner and not on_one_line and { line = key_line, fields = inner } or key_line
    end
    self:skip_value()
    if not self:is("}") then self.at = self.at + 1 end
  end
  local last = self:peek().line
  self.at = self.at + 1
  return first, fields, first == last
end

--- What NAME.field.field here stands for, and how many tokens it is long; nil when it is not known.
---@return lunette.Node|integer|nil
---@return integer?
function Walker:named()
  local node, ahead = self.locals[self:peek().text], 1
  while node and self:is(".", ahead) and self:is_name(ahead + 1) and ahead < AHEAD_MAX do
    node = type(node) == "table" and node.fields[self:peek(ahead + 1).text] or nil
    ahead = ahead + 2
  end
  return node, ahead
end

--- Whether the expression goes on at the token `ahead`: then the name before it is only a part.
function Walker:continues(ahead)
  local token = self:peek(ahead)
  if token.kind == "string" then return true end
  if token.kind == "name" then return token.text == "and" or token.text == "or" end
  return token.kind == "symbol" and not (token.text:find("^[,;}%)]$") or token.text == "::")
end

--- Describes the value here. Goes behind it where it is a constructor or a name, else to wherever the
--- caller's skipping begins.
---@return integer line
---@return table? fields
---@return boolean? on_one_line
function Walker:value(depth)
  local line = self:peek().line
  if self:is("{") and depth < DEPTH_MAX then return self:constructor(depth) end
  if self:is_name() then
    local node, length = self:named()
    if type(node) == "table" and not self:continues(length) then
      self.at = self.at + length
      return node.line, node.fields
    end
  end
  return line
end

--- The value here as what a name stands for.
---@return lunette.Node|integer
function Walker:node()
  local line, fields = self:value(0)
  return fields and { line = line, fields = fields } or line
end

--- NAME.field.field = : the constructor that this changes and the key, or nil. Goes behind the `=`.
function Walker:assignment()
  local node, ahead, key = self.locals[self:peek().text], 1, nil
  while type(node) == "table" and self:is(".", ahead) and self:is_name(ahead + 1) and ahead < AHEAD_MAX do
    if key then node = node.fields[key] end
    key = self:peek(ahead + 1).text
    ahead = ahead + 2
  end
  if type(node) ~= "table" or not key or not self:is("=", ahead) then return nil end
  self.at = self.at + ahead + 1
  return node, key
end

--- One step at statement level, outside every block.
---@return lunette.Node|integer|nil result of a `return`
function Walker:statement()
  local line = self:peek().line
  if self:is("return") then
    self.at = self.at + 1
    return self:node()
  end
  if self:is("local") and self:is_name(1) then
    local name, ahead = self:peek(1).text, 2
    if self:is("<", ahead) then ahead = ahead + 3 end
    if self:is("=", ahead) then
      self.at = self.at + ahead + 1
      self.locals[name] = self:node()
      return nil
    end
  elseif self:is_name() and not self:is(".", -1) then
    local node, key = self:assignment()
    if node then
      local _, fields = self:value(0)
      node.fields[key] = fields and { line = line, fields = fields } or line
      return nil
    end
  end
  self.at = self.at + 1
  return nil
end

--- Describes the value that a chunk returns.
---@param source string the text of the chunk
---@return lunette.Node|integer|nil node nil when the chunk has no `return` at its top level
function M.returned(source)
  local walker = walker_of(source)
  local depth = 0
  while walker:peek().kind ~= "end" do
    local token = walker:peek()
    if depth == 0 and token.kind == "name" and depth_of(token) == 0 then
      local node = walker:statement()
      if node then return node end
    else
      depth = depth + depth_of(token)
      walker.at = walker.at + 1
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
    if walker:peek().line == line and walker:is(name) then
      walker.at = walker.at + 1
      if walker:is("(") and walker:is("{", 1) then walker.at = walker.at + 1 end
      if walker:is("{") then
        local first, fields = walker:constructor(0)
        return { line = first, fields = fields }
      end
    else
      walker.at = walker.at + 1
    end
  end
  return nil
end

return M
