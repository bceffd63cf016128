--- The commands, run as programs.

local json = require "dkjson"
local support = require "support"

local run = support.lunette

local POLICY = [[
local lunette = require "lunette"
return {
  rules = {
    lunette.deny("10.0.0.5"),
    lunette.allow("10.0.0.0/8"),
    lunette.allow("api.github.com"):tcp(443):name("git"),
    lunette.reject("*"):ingress():tcp(22),
    lunette.allow("2001:db8::/32"):tcp(443),
    lunette.allow("*"):icmpv4(),
  },
  deny_domains = { "ads.example" },
}
]]

local policy

setup(function() policy = support.policy_file(POLICY) end)

describe("lunette", function()
  it("shows its commands, its version, and help for each", function()
    local help = run("--help")
    assert.equal(0, help.status)
    for _, name in ipairs { "run", "check", "match", "print", "diff", "test", "repl" } do
      assert.matches("\n  " .. name .. " ", help.out)
      local topic = run(name, "--help")
      assert.equal(0, topic.status)
      assert.matches("^usage: lunette " .. name .. " ", topic.out)
      assert.equal("", topic.err)
    end
    assert.matches("^lunette %d+%.%d+%.%d+\n$", run("--version").out)
    assert.equal(help.out, run("help").out)
    assert.equal(run("match", "--help").out, run("help", "match").out)
  end)

  it("without a command, or with one that it does not know, is exit status 2", function()
    assert.equal(2, run().status)
    local unknown = run("mtch", "x")
    assert.equal(2, unknown.status)
    assert.matches("^lunette: there is no command mtch %(did you mean match%?%)\n", unknown.err)
    assert.equal("", unknown.out)
    assert.equal(2, run("frobnicate").status)
  end)

  it("with arguments that are wrong says so and where the help is", function()
    for _, words in ipairs {
      { "check" }, { "check", "--jsn", "none" }, { "print" }, { "print", "none", "none" }, { "match" },
      { "match", "none" }, { "match", "--sni" }, { "match", "--json=1", "none", "dns a.example" },
      { "match", "--resolved", "a.example", policy, "dns a.example" },
    } do
      local result = run(table.unpack(words))
      assert.equal(2, result.status)
      assert.matches("^lunette: ", result.err)
      assert.matches("lunette: try: lunette %w+ %-%-help\n$", result.err)
    end
    assert.matches("did you mean %-%-json", run("check", "--jsn", "none").err)
  end)

  it("tells when its output cannot be written", function()
    local _, _, status = os.execute(("'%s/lunette' print public-only >/dev/full 2>/dev/null"):format(support.build))
    assert.equal(2, status)
  end)
end)

describe("check", function()
  it("is 0 for valid policies and says so", function()
    local result = run("check", policy, "public-only")
    assert.equal(0, result.status)
    assert.matches(policy .. ": valid, 7 rules\n", result.out, 1, true)
    assert.matches("\npublic%-only: valid, 2 rules\n$", result.out)
    assert.equal("", result.err)
    assert.equal(0, run("check", "--strict", policy).status)
  end)

  it("is 2 for one that is not, and tells all mistakes on stderr", function()
    local bad = support.policy_file("return {\n  max_connections = 'x',\n  rulse = {} }")
    local result = run("check", policy, bad)
    assert.equal(2, result.status)
    assert.matches(bad .. ":2: max_connections: ", result.err, 1, true)
    assert.matches(bad .. ":3: rulse: unknown key", result.err, 1, true)
    local _, lines = result.err:gsub("lunette: [^\n]*\n", "")
    assert.equal(2, lines)
  end)

  it("never shows a stack trace or bytes that steer a terminal", function()
    local bad = support.policy_file("error('\\27[2J\\r\\nx')")
    local result = run("check", bad)
    assert.equal(2, result.status)
    assert.is_nil(result.err:find("[\27\r]"))
    assert.is_nil(result.err:find("traceback"))
    assert.equal(1, select(2, result.err:gsub("\n", "")))
  end)

  it("notes a policy that lets nothing out", function()
    local result = run("check", support.policy_file("return {}"))
    assert.equal(0, result.status)
    assert.matches(": note: no rule allows egress: everything outgoing is denied, DNS included; .*%[denies%-all%]",
      result.out)
    assert.is_nil(run("check", policy).out:find("denies-all", 1, true))
    assert.is_nil(run("check", "allow-all").out:find("denies-all", 1, true))
  end)

  it("tells a rule that earlier ones swallow together, where it is written and which they are", function()
    local path = support.policy_file [[
local lunette = require "lunette"
return { rules = {
  lunette.allow_dns(),
  lunette.allow { "10.0.0.0/9", "10.128.0.0/9" },
  lunette.reject("10.0.0.0/8"):tcp(22),
  lunette.allow(".github.io"):tcp(443),
} }]]
    local result = run("check", path)
    assert.equal(0, result.status)
    assert.equal(path .. ": valid, 5 rules\n"
      .. path .. ":5: warning: rule 4, reject@10.0.0.0/8:tcp:22: rules 2 and 3 before it match all that it"
      .. " matches, together; put it first, or remove it [never-decides]\n"
      .. path .. ":6: warning: rule 5, allow@.github.io:tcp:443: names below github.io belong to many parties"
      .. " (Public Suffix List); allow the names that are needed [public-suffix]\n", result.out)
    assert.equal(1, run("check", "--strict", path).status)
    assert.equal(2, run("check", "--strict", path, support.policy_file("return 1")).status)
    local found = json.decode(run("check", "--json", path).out).findings
    assert.equal(2, #found)
    assert.equal("never-decides", found[1].code)
    assert.equal("warning", found[1].severity)
    assert.equal(4, found[1].rule)
    assert.equal(path .. ":5", found[1].source)
    assert.same({ 2, 3 }, { found[1].others[1], found[1].others[2] })
    assert.is_false(found[1].more_others)
    assert.is_string(found[1].why)
    assert.is_string(found[1].mend)
  end)

  it("has no warnings about the presets", function()
    assert.equal(0, run("check", "--strict", "none", "public-only", "allow-all", "non-local").status)
  end)

  it("has a JSON form, an object a line", function()
    local bad = support.policy_file("return { max_connections = '\"\\1' }")
    local result = run("check", "--json", bad, "none")
    assert.equal(2, result.status)
    local first, second = result.out:match("^(.-)\n(.-)\n$")
    first, second = json.decode(first), json.decode(second)
    assert.equal(bad, first.policy)
    assert.is_false(first.valid)
    assert.equal(1, first.problems[1].line)
    assert.equal("max_connections", first.problems[1].field)
    assert.is_true(second.valid)
    assert.equal(1, #second.findings)
    assert.equal("denies-all", second.findings[1].code)
    assert.is_nil(second.findings[1].rule)
  end)

  it("reads a policy from a pipe", function()
    local command = ("echo 'return {}' | '%s/lunette' check /dev/stdin >/dev/null"):format(support.build)
    local _, _, status = os.execute(command)
    assert.equal(0, status)
  end)
end)

describe("print", function()
  it("shows a rule a line, with its number, form and place", function()
    local result = run("print", policy)
    assert.equal(0, result.status)
    assert.matches("^1  deny@ads%.example +%S+policy%.lua:11\n2  deny@10%.0%.0%.5 +%S+policy%.lua:4\n", result.out)
    assert.matches("\n4  allow@api%.github%.com:tcp:443 +%S+policy%.lua:6  # git\n", result.out)
    assert.matches("egress: deny, ingress: allow by default\n$", result.out)
  end)

  it("shows presets", function()
    assert.matches("^1  allow@dns +public%-only\n2  allow@public +public%-only\n", run("print", "public-only").out)
  end)

  it("has a JSON form", function()
    local object = json.decode(run("print", "--json", policy).out)
    assert.equal(7, #object.rules)
    assert.equal("allow@api.github.com:tcp:443", object.rules[4].comment.text)
    assert.same({ "443" }, object.rules[4].ports)
    assert.equal("deny", object.default_egress)
  end)

  it("of a policy that is not valid is exit status 2", function()
    local result = run("print", "/nonexistent.lua")
    assert.equal(2, result.status)
    assert.matches("^lunette: /nonexistent.lua: cannot be read: ", result.err)
    assert.equal("", result.out)
  end)
end)

describe("match", function()
  --- Exit status and first word for a query.
  local function match(...)
    local result = run("match", policy, ...)
    return result.status, result.out:match("^%a+"), result
  end

  it("answers queries of one word or several", function()
    for query, status in pairs {
      ["egress tcp 10.1.2.3:22"] = 0, ["egress tcp 10.0.0.5:22"] = 1, ["egress udp 1.2.3.4:53"] = 1,
      ["egress icmpv4 1.1.1.1"] = 0, ["egress icmpv6 2606:4700::1"] = 1, ["egress tcp [2001:db8::1]:443"] = 0,
      ["egress icmpv6 [2001:db8::1]"] = 1, ["ingress tcp 10.0.0.9 -> 80"] = 0, ["ingress tcp 10.0.0.9->22"] = 1,
      ["ingress tcp 10.0.0.9 22"] = 1, ["dns api.github.com"] = 0, ["dns API.github.com. AAAA"] = 0,
      ["dns x.example"] = 1, ["egress tcp 127.0.0.1:80"] = 1,
    } do
      local words = {}
      for word in query:gmatch("%S+") do words[#words + 1] = word end
      assert.equal(status, (match(query)), query)
      assert.equal(status, (match(table.unpack(words))), query)
    end
  end)

  it("says which rule decided and where it is written", function()
    local _, action, result = match("egress tcp 10.1.2.3:22")
    assert.equal("allow", action)
    assert.equal(("allow: egress tcp 10.1.2.3:22: rule 3 (%s:5): allow@10.0.0.0/8\n"):format(policy), result.out)
    assert.equal("deny: egress udp 1.2.3.4:53: default_egress\n", select(3, match("egress udp 1.2.3.4:53")).out)
    assert.equal("deny: egress tcp 127.0.0.1:80: no policy can open this address\n",
      select(3, match("egress tcp 127.0.0.1:80")).out)
  end)

  it("takes names as the sandbox resolved them", function()
    local resolved = { "--resolved", "api.github.com=140.82.112.5,140.82.112.6" }
    assert.equal(0, (match(resolved[1], resolved[2], "egress tcp api.github.com:443")))
    assert.equal(0, (match(resolved[1], resolved[2], "egress tcp 140.82.112.6:443")))
    assert.equal(1, (match(resolved[1], resolved[2], "egress tcp 140.82.112.7:443")))
    assert.equal(1, (match(resolved[1], resolved[2], "egress tcp api.github.com:80")))
    assert.equal(0, (match(resolved[1], resolved[2], "--sni", "api.github.com", "egress tcp api.github.com:443")))
    assert.equal(1, (match(resolved[1], resolved[2], "--sni=evil.example", "egress tcp api.github.com:443")))
    assert.equal(1, (match("--resolved=db.example=10.1.1.1,10.0.0.5", "egress tcp db.example:5432")))
  end)

  it("takes a name without addresses to be a public one that can be asked for", function()
    local status, _, result = match("egress tcp api.github.com:443")
    assert.equal(0, status)
    assert.matches("is taken to resolve to a public address", result.err)
    status, _, result = match("egress tcp other.example:443")
    assert.equal(1, status)
    assert.equal("deny: dns other.example A: default_egress\n", result.out)
  end)

  it("traces every rule considered, and what the wire would show", function()
    local _, _, result = match("--trace", "egress tcp 10.0.0.5:22")
    assert.equal(([[
   1  deny@ads.example (%s:11): its name was not resolved to this address
   2  deny@10.0.0.5 (%s:4): matches
deny: egress tcp 10.0.0.5:22: rule 2 (%s:4): deny@10.0.0.5
on the wire: nothing: the packet is dropped
]]):format(policy, policy, policy), result.out)
    local function wire(...) return select(3, match("--trace", ...)).out:match("on the wire: (.-)\n$") end
    assert.equal("the connection is made", wire("egress tcp 10.1.1.1:22"))
    assert.equal("NXDOMAIN, and no query leaves", wire("dns ads.example"))
    assert.equal("it does not reach the guest", wire("ingress tcp 10.1.1.1 -> 22"))
    assert.equal("the connection is reset when the client has shown the name",
      wire("--sni=evil.example", "--resolved=api.github.com=192.0.2.1", "egress tcp 192.0.2.1:443"))
  end)

  it("has a JSON form, an object an address", function()
    local result = run("match", "--json", "--trace", "--resolved", "db.example=10.1.1.1,10.0.0.5", policy, "egress",
      "tcp", "db.example:5432")
    assert.equal(1, result.status)
    local first, second = result.out:match("^(.-)\n(.-)\n$")
    first, second = json.decode(first), json.decode(second)
    assert.equal("egress tcp 10.1.1.1:5432", first.query)
    assert.equal("allow", first.action)
    assert.equal(3, first.rule)
    assert.equal(policy .. ":5", first.source)
    assert.equal(3, #first.trace)
    assert.equal("destination", first.trace[2].why)
    assert.equal("deny", second.action)
  end)

  it("knows the DNS queries that no policy opens", function()
    for query, wire in pairs {
      ["dns example.com ANY"] = "REFUSED", ["dns example.com axfr"] = "REFUSED",
      ["dns example.com TYPE65"] = "the query",
      ["dns use-application-dns.net"] = "NXDOMAIN", ["dns example.com HTTPS"] = "the query",
    } do
      local result = run("match", "--trace", "allow-all", query)
      assert.equal(wire == "the query" and 0 or 1, result.status)
      assert.matches("on the wire: " .. wire, result.out, 1, true)
    end
  end)

  it("knows the gateway and the machine as the group host", function()
    local host = support.policy_file("return { rules = { 'allow@host:udp:53' } }")
    assert.equal(0, run("match", host, "egress udp 172.16.0.1:53").status)
    assert.equal(0, run("match", host, "egress udp [fd42:6d73:62::1]:53").status)
    assert.equal(1, run("match", host, "egress udp 172.16.0.2:53").status)
  end)

  it("notes what rebind protection would keep from the guest", function()
    local result = run("match", "--resolved", "db.example=192.168.1.1", "non-local", "egress tcp db.example:5432")
    assert.is_nil(result.err:find("rebind"))
    result = run("match", "--resolved", "db.example=192.168.1.1", "public-only", "egress tcp db.example:5432")
    assert.matches("rebind protection keeps 192.168.1.1 from being an answer for db.example", result.err)
  end)

  it("says why a function failed", function()
    local failing = support.policy_file("return {\n  on_connect = function() error('no') end }")
    local result = run("match", failing, "egress tcp 192.0.2.1:443")
    assert.equal(1, result.status)
    assert.matches("the function of the policy failed: .*policy.lua:2: no\n$", result.out)
  end)

  it("with a query that is none says what is accepted", function()
    for query, message in pairs {
      ["egrss tcp 1.2.3.4:443"] = "is not the start of a query", ["egress tcp"] = "accepted: egress PROTOCOL",
      ["egress sctp 1.2.3.4:443"] = "is not a protocol", ["egress tcp 1.2.3.4"] = "has no port",
      ["egress tcp 2001:db8::1"] = "has no port", ["egress tcp [2001:db8::1]"] = "has no port",
      ["egress tcp 1.2.3.4:99999"] = "is not a port", ["egress tcp 1.2.3.4:x"] = "is not a port",
      ["egress tcp [x]:80"] = "is not an IPv6 address", ["egress tcp a b:80"] = "accepted: egress PROTOCOL",
      ["ingress icmpv4 10.0.0.1 -> 1"] = "egress only", ["ingress tcp 10.0.0.9 -"] = "put the query in quotes",
      ["dns"] = "accepted: dns NAME", ["dns a_b..c"] = "neither an address nor a name",
      ["dns a.example A/B"] = "not a DNS type",
      [("x "):rep(20)] = "too long", [" "] = "there is no query",
    } do
      local result = run("match", policy, query)
      assert.equal(2, result.status, query)
      assert.is_truthy(result.err:find(message, 1, true), result.err)
      assert.equal("", result.out)
    end
  end)
end)
