--- Rules about requests: `http`, as policies, the commands and the Lua API have them.

local json = require "dkjson"
local lunette = require "lunette"
local support = require "support"

local run = support.lunette

local POLICY = [[
local lunette = require "lunette"
return {
  tls = {},
  rules = {
    lunette.deny("api.example"):http { path = "/repos/*/settings*" },
    lunette.allow("api.example"):tcp(443):http { methods = { "GET" }, path = "/repos/*" },
    lunette.allow("api.example"):tcp(443):http { path = "/graphql", headers = { ["X-Client"] = "ci-*" } },
    lunette.allow("open.example"):tcp(443),
  },
}
]]

--- The decision on a request to api.example.
local function judged(question)
  local policy = support.load(POLICY)
  policy:pin("api.example", "192.0.2.1")
  local asked = { address = "192.0.2.1", port = 443, sni = "api.example" }
  for key, value in pairs(question) do asked[key] = value end
  return policy:evaluate(asked)
end

describe("a rule about requests", function()
  it("lets a connection in, to be inspected", function()
    local decision = judged {}
    assert.equal("allow", decision.action)
    assert.equal(2, decision.rule)
    assert.is_true(decision.inspect)
    assert.equal("deny", judged({ http = false }).action)
    assert.equal("deny", judged({ port = 80 }).action)
  end)

  it("judges by method, path and headers", function()
    assert.equal(2, judged({ method = "GET", path = "/repos/a/b?page=2" }).rule)
    assert.equal(1, judged({ method = "GET", path = "/repos/a/settings" }).rule)
    assert.equal("default", judged({ method = "POST", path = "/repos/a" }).reason)
    assert.equal("default", judged({ method = "POST", path = "/graphql" }).reason)
    assert.equal(3, judged({ method = "POST", path = "/graphql", headers = { ["x-client"] = "ci-1" } }).rule)
    assert.equal("default", judged({ path = "/graphql", headers = { ["X-Client"] = { "ci-1", "me" } } }).reason)
    assert.is_nil(judged({ path = "/repos/" }).inspect)
  end)

  it("is not deceived about the path", function()
    for _, path in ipairs { "/repos/../user", "/repos/%2e%2e/user", "/repos//../user", "/repos/..;/user",
      "/repos/x%2f..%2f..%2fuser", "/repos/..\\user", "//repos/x", "/repos/%252e%252e/user", "/x/../repos/a/settings",
      "/repos/a/Settings", "/repos/a/%73ettings", "/repos/a/./settings" } do
      assert.equal("deny", judged({ path = path }).action, path)
    end
  end)

  it("explains what a request misses", function()
    local trace = judged({ method = "PUT", path = "/repos/a", trace = true }).trace
    assert.same({ "path", "method", "path", "name" }, { trace[1].why, trace[2].why, trace[3].why, trace[4].why })
    assert.equal("http_unknown", judged({ trace = true }).trace[1].why)
    assert.equal("http_none", judged({ http = false, trace = true }).trace[1].why)
    assert.equal("path_ambiguous", judged({ path = "/graphql/a%2fb", trace = true }).trace[2].why)
    assert.equal("header", judged({ path = "/graphql", trace = true }).trace[3].why)
  end)

  it("is asked about only where there can be requests", function()
    for message, question in pairs {
      ["after the name is known"] = { path = "/", sni = false },
      ["of egress tcp"] = { path = "/", protocol = "udp" },
      ["http: accepted: false"] = { http = true },
      ["headers: accepted:"] = { headers = { "X-A: 1" } },
    } do
      assert.has_error.matches(function() judged(question) end, message)
    end
  end)

  it("has a name that may be asked for, and denies none", function()
    local policy = support.load(POLICY)
    assert.equal("allow", policy:evaluate_dns({ name = "api.example" }).action)
    assert.equal(2, policy:evaluate_dns({ name = "api.example" }).rule)
  end)
end)

describe("the commands", function()
  local path = support.policy_file(POLICY)

  local function match(...) return run("match", ...) end

  it("match requests", function()
    local allowed = match("--http", "GET /repos/x", path, "egress tcp api.example:443")
    assert.equal(0, allowed.status)
    assert.matches("^allow: egress tcp 192%.0%.2%.1:443, GET /repos/x: rule 2 ", allowed.out)
    assert.equal(1, match("--http", "POST /repos/x", path, "egress tcp api.example:443").status)
    assert.equal(0, match("--http", "POST /graphql", "--header", "X-Client: ci-2", path,
      "egress tcp api.example:443").status)
    local set_up = json.decode(match("--json", path, "egress tcp api.example:443").out)
    assert.is_true(set_up.inspect)
    assert.matches("judged one by one", match(path, "egress tcp api.example:443").out)
    for _, arguments in ipairs { { "--http", "GET" }, { "--header", "X" } } do
      assert.equal(2, match(arguments[1], arguments[2], path, "egress tcp api.example:443").status)
    end
    assert.equal(2, match("--http", "GET /", path, "dns api.example").status)
  end)

  it("test requests", function()
    local file = support.policy_file(POLICY, { ["policy_test.lua"] = [[
allows { name = "api.example", port = 443, path = "/repos/x" }
allows { name = "api.example", port = 443, method = "POST", path = "/graphql", headers = { ["X-Client"] = "ci-" } }
denies { name = "api.example", port = 443, method = "POST", path = "/repos/x" }
denies { name = "api.example", port = 443, path = "/repos/x/settings" }
]] })
    local result = run("test", (file:gsub("policy.lua$", "policy_test.lua")))
    assert.equal("1 file, 4 cases: 4 passed, 0 failed\n", result.out)
  end)

  it("print what requests a rule is for, and take it back", function()
    assert.matches("allow@api%.example:tcp:443 http{GET /repos/%*}", run("print", path).out)
    local copy = support.policy_file("return {}", { ["copy.json"] = run("print", path, "--json").out })
    local result = run("diff", path, (copy:gsub("policy.lua$", "copy.json")))
    assert.equal("", result.out .. result.err)
    assert.equal(0, result.status)
  end)

  it("tell policies that differ in requests alone", function()
    local other = support.policy_file((POLICY:gsub('path = "/repos/%*" }', 'path = "/*" }')))
    local result = run("diff", path, other)
    assert.equal(1, result.status)
    assert.matches("%- requests: rule 2, .*http{GET /repos/%*}", result.out)
    assert.matches("%+ requests: rule 2, .*http{GET /%*}", result.out)
    local function swapped(a, b)
      return support.policy_file(('return { tls = {}, rules = { %s, %s } }'):format(a, b))
    end
    local get = '{ action = "allow", destination = "a.example", http = { methods = "GET" } }'
    local put = '{ action = "allow", destination = "a.example", http = { methods = "PUT" } }'
    assert.equal("~ requests: the rules about them are in another order\n",
      run("diff", swapped(get, put), swapped(put, get)).out)
  end)

  it("check rules that see no request", function()
    local file = support.policy_file [[
local lunette = require "lunette"
return { tls = { bypass = { ".b.example" } }, rules = {
  lunette.allow("a.b.example"):tcp(443):http { path = "/x" },
  lunette.allow("c.example"):tcp(8443):http { path = "/x" },
  lunette.allow("d.example"):tcp(443),
  lunette.allow("d.example"):tcp(443):http { path = "/x" },
} }]]
    local out = run("check", file).out
    assert.matches("rule 1, [^\n]*%[requests%-bypassed%]", out)
    assert.matches("rule 2, [^\n]*%[requests%-unseen%]", out)
    assert.matches("rule 4, [^\n]*rule 3 before it [^\n]*%[never%-decides%]", out)
  end)

  it("replay requests", function()
    local function event(kind, rest)
      return ('{"time":"2026-01-01T00:00:00Z","kind":"%s","protocol":"tcp","direction":"egress","src":"172.16.0.2",'
        .. '"dst":"192.0.2.1","port":443,"name":"api.example","action":"allow","reason":"rule","rule":1%s}\n')
        :format(kind, rest)
    end
    local file = support.policy_file(POLICY, { ["events"] = event("flow_open", "")
      .. event("http_request", ',"method":"GET","path":"/repos/a"')
      .. event("http_request", ',"method":"DELETE","path":"/repos/a"') })
    local result = run("replay", (file:gsub("policy.lua$", "events")), file)
    assert.equal(1, result.status)
    assert.matches("allow  %-> deny    egress tcp 192%.0%.2%.1:443, DELETE /repos/a %(api%.example%): default_egress",
      result.out)
    assert.matches("3 judged, 1 would change", result.out)
  end)

  it("ask the REPL", function()
    local result = run({ "egress tcp api.example:443 GET /repos/x\n" }, "repl", path)
    assert.matches("allow: egress tcp 192%.0%.2%.1:443 %(api%.example%), GET /repos/x: rule 2", result.out)
  end)
end)

it("the module gives rules with headers back", function()
  local rule = lunette.allow("a.example"):http { headers = { ["X-A"] = "1" } }
  local listed = lunette.compile({ tls = {}, rules = { rule } }):rules()[1]
  assert.same({ methods = {}, headers = { ["X-A"] = "1" } }, listed.http)
end)
