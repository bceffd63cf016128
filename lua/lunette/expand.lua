--- From a configuration as people write it to the plain table that is validated: chains become plain
--- rules, lists in lists become one. Everything else, mistakes included, is passed on as it is;
--- validation tells all of them at once.
---
--- Positions travel beside the tables, not in them: a mark says where a table and its fields are
--- written. There may be a hundred thousand rules, so a rule needs no mark of its own: that of their
--- list knows.

local locate = require "lunette.locate"
local profiles = require "lunette.profiles"
local rules = require "lunette.rules"

local M = {}

---@class lunette.Mark
---@field file? string
---@field line? integer
---@field lines table<string|integer, integer> of the fields, where known
---@field files? table<integer, string> of the items, where it is another
---@field origins? table<integer, string> the user's own paths of the items, "rules[3]", where they
---  differ from where the items stand

---@class lunette.Problem
---@field file? string
---@field line? integer
---@field field string
---@field found? string
---@field accepted? string
---@field message string

local HOLES_MAX = 16 -- told of one list
local NO_LINES = {} -- never changed
local DEPTH_MAX = 32 -- of tables in tables; deeper ones are refused when values are converted

---@class lunette.Expansion
---@field marks table<table, lunette.Mark>
---@field problems lunette.Problem[]
---@field list any[] the expanded rules
---@field at lunette.Mark of that list
local Expansion = {}
Expansion.__index = Expansion

--- Marks the tables in `value` with the positions that `node` knows. A table that has a mark keeps
--- it: it was written elsewhere. One without fields of known lines needs none: it is where its own
--- field is.
---@param node lunette.Node
function Expansion:mark(value, node, file, depth)
  if type(value) ~= "table" or self.marks[value] or depth > DEPTH_MAX then return end
  local lines = {}
  self.marks[value] = { file = file, line = node.line, lines = lines }
  for key, field in next, node.fields do
    if type(field) == "table" then
      lines[key] = field.line
      self:mark(rawget(value, key), field, file, depth + 1)
    else
      lines[key] = field
    end
  end
end

function Expansion:problem(mark, field, message, found, accepted)
  self.problems[#self.problems + 1] = {
    file = mark.file, line = mark.line,
    field = field, message = message, found = found, accepted = accepted,
  }
end

--- Adds what is entry `i` of the user's own list `prefix`, or comes from it, to the expanded list.
function Expansion:add(rule, prefix, i, file, line)
  local position, at = #self.list + 1, self.at
  self.list[position], at.lines[position] = rule, line
  if file ~= at.file then at.files[position] = file end
  if prefix ~= "rules" or i ~= position then at.origins[position] = ("%s[%d]"):format(prefix, i) end
end

--- Whether `value` is a list of rules and not a rule written as a table.
local function is_list(value)
  return type(value) == "table" and not rules.is_chain(value) and rawget(value, 1) ~= nil
end

--- One entry of `rules`, whatever it is.
function Expansion:add_entry(entry, prefix, i, file, line, depth)
  if rules.is_chain(entry) then
    local rule, more, chain_file, chain_line = rules.plain(entry)
    if chain_file then file, line = chain_file, chain_line end
    self:add(rule, prefix, i, file, line)
    for _, further in ipairs(more) do self:add(further, prefix, i, file, line) end
  elseif is_list(entry) and depth < DEPTH_MAX then
    self:add_list(entry, ("%s[%d]"):format(prefix, i), file, line, depth + 1)
  else
    self:add(entry, prefix, i, file, line)
  end
end

--- The highest index of a list that may have holes.
local function highest(list)
  local last = 0
  for key in next, list do
    if math.type(key) == "integer" and key > last then last = key end
  end
  return last
end

--- All entries of a list of rules. A hole is a mistake of its own: what was meant to stand there, and
--- in Lua everything behind it, would be lost without a word.
function Expansion:add_list(list, prefix, file, line, depth)
  local mark = self.marks[list] or { file = file, line = line, lines = NO_LINES }
  local holes = 0
  for i = 1, highest(list) do
    local entry = rawget(list, i)
    local entry_line = mark.lines[i] or mark.line
    if entry ~= nil then
      self:add_entry(entry, prefix, i, mark.file, entry_line, depth)
    else
      holes = holes + 1
      self:problem({ file = mark.file, line = entry_line }, ("%s[%d]"):format(prefix, i),
        "there is no rule here (is a variable misspelt?)", "nil")
      if holes >= HOLES_MAX then return end
    end
  end
end

--- Replaces `rules` by the expanded list. Entries under other keys are kept, for validation to refuse.
function Expansion:expand_rules(config)
  local list, mark = rawget(config, "rules"), self.marks[config]
  local file, line = mark.file, mark.lines.rules or mark.line
  if rules.is_chain(list) then
    self:problem({ file = file, line = line }, "rules", "is one rule", "a rule", "a list of rules: { … }")
    config.rules = nil
    return
  end
  if type(list) ~= "table" then return end
  self.list, self.at = {}, { file = file, line = line, lines = {}, files = {}, origins = {} }
  self.marks[self.list] = self.at
  self:add_list(list, "rules", file, line, 1)
  for key, value in next, list do
    if math.type(key) ~= "integer" or key < 1 then self.list[key] = value end
  end
  config.rules = self.list
end

--- Expands a configuration.
---@param config any what the policy returned
---@param at { file?: string, line?: integer, node?: lunette.Node|integer } where it was written
---@return any config a plain table where `config` was a table
---@return table<table, lunette.Mark> marks
---@return lunette.Problem[] problems
function M.expand(config, at)
  local self = setmetatable({ marks = {}, problems = {} }, Expansion)
  if rules.is_chain(config) then
    self:problem(at, "", "the policy is one rule", "a rule", "a table: { rules = { … } }")
    config = {}
  end
  if type(config) ~= "table" then return config, self.marks, self.problems end
  local node = type(at.node) == "table" and at.node or { line = at.line, fields = NO_LINES }
  self:mark(config, node, at.file, 0)
  local expanded = {}
  if profiles.is_profiles(config) then
    expanded.rules = config
  else
    for key, value in next, config do expanded[key] = value end
  end
  self.marks[expanded] = self.marks[config]
  self:expand_rules(expanded)
  return expanded, self.marks, self.problems
end

--- Expands what a policy file returned.
---@param config any
---@param file string
---@param source string the text of the file; "" where there is none
function M.policy(config, file, source)
  local node = locate.returned(source)
  return M.expand(config, { file = file, line = type(node) ~= "table" and node or nil, node = node })
end

return M
