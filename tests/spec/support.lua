--- What the specs share: policies written as text, and lunette run as a program.

local lunette = require "lunette"

local M = {}

M.build = assert(os.getenv("LUNETTE_BUILD"), "run the specs by tests/spec/run")

--- A new directory, removed at the end of the test run.
---@return string
function M.directory()
  local pipe = assert(io.popen("mktemp -d"))
  local path = pipe:read("l")
  pipe:close()
  M.directories[#M.directories + 1] = path
  return path
end
M.directories = setmetatable({}, {
  __gc = function(list)
    for _, path in ipairs(list) do os.execute("rm -rf '" .. path .. "'") end
  end,
})

---@param path string
---@param text string
function M.write(path, text)
  local file = assert(io.open(path, "wb"))
  assert(file:write(text))
  file:close()
end

--- Writes a policy, and files beside it.
---@param text string
---@param others? table<string, string>
---@return string path
function M.policy_file(text, others)
  local directory = M.directory()
  for name, content in pairs(others or {}) do
    if name:find("/") then os.execute(("mkdir -p '%s/%s'"):format(directory, name:match("(.*)/"))) end
    M.write(directory .. "/" .. name, content)
  end
  M.write(directory .. "/policy.lua", text)
  return directory .. "/policy.lua"
end

--- Loads a policy's text; raises as lunette.load() does.
function M.load(text, others) return lunette.load(M.policy_file(text, others)) end

--- Loads a policy's text that is wrong: its problems, each as "line: field: message: …", as it stands in
--- the message behind the file's name.
---@return string[]
function M.problems(text, others)
  local path = M.policy_file(text, others)
  local ok, problems = pcall(lunette.load, path)
  assert(not ok, "the policy is valid")
  local lines = {}
  for i, problem in ipairs(problems) do
    local line = problem.text:gsub("^" .. path:gsub("%p", "%%%0") .. ":%s?", "")
    lines[i] = line
  end
  return lines
end

local function quote(word) return "'" .. tostring(word):gsub("'", "'\\''") .. "'" end

---@class support.Result
---@field status integer
---@field out string
---@field err string

--- Runs the program `lunette`. A table before the arguments holds variables for its environment; its item
--- 1, where there is one, is what stands on stdin.
---@param ... string|table<string|integer, string>
---@return support.Result
function M.lunette(...)
  local arguments = { ... }
  local directory, input = M.directory(), "/dev/null"
  local words = { "env" }
  if type(arguments[1]) == "table" then
    for name, value in pairs(table.remove(arguments, 1)) do
      if name == 1 then
        input = directory .. "/in"
        M.write(input, value)
      else
        words[#words + 1] = quote(name .. "=" .. value)
      end
    end
  end
  words[#words + 1] = quote(M.build .. "/lunette")
  for _, word in ipairs(arguments) do words[#words + 1] = quote(word) end
  local out, err = directory .. "/out", directory .. "/err"
  local _, _, status = os.execute(("%s >%s 2>%s <%s"):format(table.concat(words, " "), out, err, input))
  local function read(path)
    local file = assert(io.open(path, "rb"))
    local text = file:read("a")
    file:close()
    return text
  end
  return { status = status, out = read(out), err = read(err) }
end

return M
