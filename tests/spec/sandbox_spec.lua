--- A policy file cannot get out of its sandbox, and cannot run for ever in it.

local support = require "support"

--- What the policy's expression is, as far as it says so in the name of a rule.
local function value_of(expression, others)
  local policy = support.load(([[
    local lunette = require "lunette"
    local value = (function() %s end)()
    return { rules = { lunette.allow("*"):name("value " .. tostring(value)) } }
  ]]):format(expression), others)
  return policy:rules()[1].name:match("^value (.*)$")
end

local function problem_of(text, others) return support.problems(text, others)[1] end

describe("the sandbox has no", function()
  for _, name in ipairs {
    "io", "debug", "package", "coroutine", "dofile", "loadfile", "collectgarbage", "print", "warn",
    "os.execute", "os.exit", "os.remove", "os.rename", "os.tmpname", "os.getenv", "os.setlocale",
    "string.dump", "string.pack", "string.unpack", "load and _G.loadstring",
  } do
    it(name, function() assert.equal("nil", value_of("return " .. name)) end)
  end
end)

describe("in the sandbox", function()
  it("what is promised is there", function()
    for _, expression in ipairs {
      "type(os.time())", "type(os.date())", "type(os.clock())", "math.tointeger(3.0)", "utf8.len('é')",
      "table.concat({ 'a', 'b' }, ',')", "select(2, pcall(error, 'x'))", "load('return 5')()", "next({ 7 })",
      "('a'):rep(3)", "('k=v'):match('=(.*)')", "env and type(env)", "_VERSION",
      "tostring(setmetatable({}, { __tostring = function() return 't' end }))",
    } do
      assert.not_equal("nil", value_of("return " .. expression))
    end
  end)

  it("env reads a variable and nothing sets one", function()
    assert.equal(os.getenv("PATH"), value_of("return env('PATH')"))
    assert.equal("nil", value_of("return env('LUNETTE_NOT_SET')"))
    assert.equal(os.getenv("PATH"), value_of("return require('lunette').env('PATH')"))
  end)

  it("a misspelt variable is an error, not nil", function()
    assert.equal("3: undefined variable 'offcie_hours'", problem_of([[
local lunette = require "lunette"
local rule = lunette.allow("public")
rule:when(offcie_hours)
return { rules = { rule } }]]))
  end)

  it("asking for what other programs have is none", function()
    assert.equal("absent", value_of("if io or debug or package then return 'there' end return 'absent'"))
  end)
end)

describe("out of the sandbox leads no", function()
  it("bytecode", function()
    assert.equal("nil", value_of("return (load('\\27Lua\\x54\\0'))"))
    assert.equal("nil", value_of("return (load('\\27Lua\\x54\\0', 'x', 'b'))"))
    assert.equal("nil", value_of([[
      local once = '\27Lua'
      return (load(function() local s = once once = nil return s end, 'x', 'bt'))]]))
    assert.matches("binary chunk", problem_of("\27Lua\x54\0"))
  end)

  it("metatable of strings", function()
    assert.equal("false", value_of("return getmetatable('')"))
    assert.matches("protected", problem_of("setmetatable(_G, nil) return {}"))
    assert.matches("nil value", problem_of("return ('').dump(function() end)"))
  end)

  it("global of an environment of one's own", function()
    assert.equal("nil", value_of("return load('return io', 'x', 't', {})()"))
    assert.equal("nil", value_of([[
      local _ENV <const> = { load = load }
      return load('return rawget and rawget(_G, "io")', 'x', 't', {})()]]))
  end)

  it("environment behind a function of the library", function()
    assert.equal("nil", value_of("return rawget(_G, 'io')"))
    assert.equal("table", value_of("return type(_G._G._G)"))
    assert.equal("nil", value_of([[
      for _, value in pairs(_G) do
        if type(value) == 'table' and rawget(value, 'execute') then return 'escaped' end
      end]]))
  end)

  it("path in the name of a module", function()
    for _, name in ipairs {
      "../secret", "..", "/etc/passwd", "a/b", "./lib", "lib..", ".lib", "a..b", "lib\\0x", "", "lib.lua/", "~/lib",
      "lunette/../x",
    } do
      assert.matches("only names with dots", problem_of(("require '%s' return {}"):format(name)))
    end
  end)

  it("module that is not beside the policy or lunette's own", function()
    assert.matches("not found", problem_of("require 'busted' return {}"))
    assert.matches("not found", problem_of("require 'lunette.nothing' return {}"))
    assert.matches("not found", problem_of("require 'os' return {}"))
  end)

  it("part of the engine", function()
    assert.equal("nil", value_of("return require('lunette.core').compile"))
    assert.equal("nil", value_of("return require('lunette.core').load"))
    assert.equal("nil", value_of("return rawget(require('lunette'), 'load')"))
  end)

  it("change of lunette's own modules", function()
    for _, change in ipairs {
      "require('lunette.expand').expand = function() return {}, 5, 6 end",
      "require('lunette.expand').expand = function() return {}, { [_G] = 1 }, 'x' end",
      "require('lunette.expand').expand = function(c) return c, { [c] = 1 }, { 1 } end",
      "require('lunette.expand').expand = function(c) return c, { [c] = { file = {}, line = {}, lines = 1 } }, {} end",
      "require('lunette.expand').policy = function() return {}, 5, 6 end",
      "require('lunette.locate').returned = function() return { line = 'x', fields = { rules = {} } } end",
      "require('lunette.lexer').tokens = function() return function() return 'end' end end",
      "string.find, string.match, string.sub = nil, nil, nil",
      "next, ipairs, type, rawget, math, table, string = nil",
    } do
      local ok, problems = pcall(support.load,
        change .. " return { rules = { { action = 'allow', destination = '*' } } }")
      assert.is_true(ok or type(problems) == "table") -- and not a crash
    end
  end)

  it("file that is not a regular one", function()
    local path = support.policy_file("require 'pipe' return {}")
    os.execute("mkfifo '" .. path:gsub("policy.lua$", "pipe.lua") .. "'")
    local ok, problems = pcall(require("lunette").load, path)
    assert.is_false(ok)
    assert.matches("Invalid argument", tostring(problems))
  end)
end)

describe("modules beside the policy", function()
  it("are found, once each, by plain and dotted names", function()
    local others = { ["lib.lua"] = "return { n = 1 }", ["parts/more.lua"] = "return 2" }
    assert.equal("3", value_of("return require('lib').n + require('parts.more')", others))
    assert.equal("true", value_of("return require('lib') == require('lib')", others))
    assert.equal("deep", value_of("return require('parts')", { ["parts/init.lua"] = "return 'deep'" }))
  end)

  it("are sandboxed too", function()
    assert.equal("nil", value_of("return require('lib')", { ["lib.lua"] = "return io and 'escaped' or 'nil'" }))
    assert.matches("undefined variable 'x'", problem_of("require 'lib' return {}", { ["lib.lua"] = "return x" }))
  end)

  it("do not stand in for lunette's own", function()
    assert.equal("function",
      value_of("return type(require('lunette').allow)", { ["lunette.lua"] = "return {}" }))
  end)

  it("that require each other in a circle are an error", function()
    assert.matches("requires itself", problem_of("require 'a' return {}",
      { ["a.lua"] = "return require 'b'", ["b.lua"] = "return require 'a'" }))
  end)

  it("with a syntax error are told by their name", function()
    assert.matches("lib.lua:2: ", problem_of("require 'lib' return {}", { ["lib.lua"] = "local x\nx = = 1" }))
  end)
end)

describe("bounds", function()
  it("an endless loop ends, and pcall does not swallow the end", function()
    assert.matches("^%d: it ran too many instructions", problem_of([[
      local function forever() while true do end end
      while true do
        pcall(function() while true do xpcall(forever, function() end) end end)
      end]]))
  end)

  it("memory ends, and pcall does not swallow that either", function()
    assert.matches("needs more memory", problem_of("local t = {} while true do t[#t + 1] = { #t } end"))
    assert.matches("needs more memory", problem_of([[
      while true do
        pcall(function() local t = {} while true do t[#t + 1] = {} end end)
      end]]))
  end)

  it("long strings are refused", function()
    assert.matches("too large", problem_of("return ('x'):rep(1e10)"))
    assert.matches("needs more memory", problem_of("local s = 'x' while true do s = s .. s end"))
    assert.matches("needs more memory",
      problem_of("local s = ('x'):rep(1 << 22) return { name = table.concat({ s, s, s, s }) }"))
  end)

  it("deep recursion ends", function()
    assert.matches("memory", problem_of("local function f() return 1 + f() end return f()"))
    assert.matches("stack overflow", problem_of("local function f(s) return (s:gsub('.', f)) end return f('x')"))
    assert.matches("nested too deep", problem_of("local t = {} t.self = t return { rules = t }"))
  end)

  it("repetition of nothing ends at once", function()
    assert.equal("", value_of("return (''):rep(1 << 60)"))
  end)

  it("a pattern that backtracks ends", function()
    assert.matches("too many instructions",
      problem_of("return (('a'):rep(1000)):find(('.-'):rep(20) .. 'b')"))
  end)

  for _, call in ipairs {
    "table.move({}, 1, math.maxinteger - 1, 2)", "table.concat({}, '', 1, math.maxinteger)",
    "table.unpack({}, 1, 1 << 40)", "table.remove({}, math.mininteger)", "table.insert({}, math.mininteger, 1)",
  } do
    it(call .. " ends at once", function()
      local started = os.clock()
      assert.matches("too many instructions", problem_of("return " .. call))
      assert.is_true(os.clock() - started < 1)
    end)
  end

  it("tables whose length is made up are refused where C would loop", function()
    for _, call in ipairs {
      "table.insert(t, 1, 1)", "table.remove(t, 1)", "table.concat(t)", "table.sort(t)", "table.unpack(t)",
      "table.move(t, 1, 2, 3)", "table.move({}, 1, 2, 3, t)",
    } do
      for _, metamethod in ipairs { "__len = function() return 1 << 60 end", "__index = table.concat",
        "__newindex = rawlen" } do
        assert.matches("without metamethods",
          problem_of(("local t = setmetatable({}, { %s }) %s return {}"):format(metamethod, call)))
      end
    end
  end)

  it("finalizers are refused: they run without a bound", function()
    assert.matches("__gc", problem_of("setmetatable({}, { __gc = function() while true do end end }) return {}"))
    assert.equal("ok", value_of([[
      local metatable = {}
      setmetatable({}, metatable)
      metatable.__gc = function() while true do end end
      for i = 1, 1e5 do local _ = { i } end
      return 'ok']]))
  end)

  it("handlers of __close end too", function()
    assert.matches("too many instructions", problem_of([[
local function f(n)
  local guard <close> = setmetatable({}, { __close = function() while true do end end })
  return n > 0 and f(n - 1) + 1 or 0
end
f(100)]]))
  end)

  it("an error while an error is handled is an error", function()
    assert.matches("^1: ", problem_of("xpcall(error, function() error('again') end) error('end')"))
    assert.matches("not a string", problem_of("error({})"))
    assert.matches("not a string",
      problem_of("error(setmetatable({}, { __tostring = function() while true do end end }))"))
  end)
end)
