--- `lunette repl`, with lines from a pipe.

local support = require "support"

local POLICY = [[
local lunette = require "lunette"
return {
  rules = {
    lunette.deny("10.0.0.5"),
    lunette.allow("10.0.0.0/8"):tcp(443):name("office"),
    lunette.allow("github.com"):tcp(443),
    lunette.reject("*"):ingress():tcp(22),
  },
}
]]

--- What the lines give: stdout, stderr, status.
local function repl(lines, policy)
  local path = support.policy_file(policy or POLICY, { ["other.lua"] = "return { rules = {} }" })
  local result = support.lunette({ lines }, "repl", path)
  local directory = path:gsub("policy.lua$", ""):gsub("%p", "%%%0")
  return result.out:gsub(directory, ""), result.err:gsub(directory, ""), result.status, path
end

local function output(lines)
  local out, err, status = repl(lines)
  assert.equal("", err)
  assert.equal(0, status)
  return out
end

local function mistake(line)
  local out, err, status = repl(line .. "\n1 + 1")
  assert.equal("2\n", out)
  assert.equal(0, status)
  return err
end

describe("lunette repl", function()
  it("answers queries as match does", function()
    assert.equal([[
deny: egress tcp 10.0.0.5:443: rule 1 (policy.lua:4): deny@10.0.0.5
allow: egress tcp 192.0.2.1:443 (github.com): rule 3 (policy.lua:6): allow@github.com:tcp:443
deny: egress tcp 192.0.2.1:443 (github.com), sni evil.example: default_egress
reject: ingress tcp 1.1.1.1 -> 22: rule 4 (policy.lua:7): reject:ingress@*:tcp:22
allow: dns github.com AAAA: rule 3 (policy.lua:6): allow@github.com:tcp:443
deny: dns github.com ANY: no policy can open queries of this type
deny: dns evil.example A: default_egress
]], output [[
egress tcp 10.0.0.5:443
egress tcp github.com:443
egress tcp github.com:443 sni evil.example
ingress tcp 1.1.1.1 -> 22
dns github.com AAAA
dns github.com ANY
egress tcp evil.example:443]])
  end)

  it("explains, and counts what decided", function()
    assert.equal([[
   1  deny@10.0.0.5 (policy.lua:4): is for another destination
   2  allow@10.0.0.0/8:tcp:443 (policy.lua:5): matches
allow: egress tcp 10.1.1.1:443: rule 2 (policy.lua:5): allow@10.0.0.0/8:tcp:443
1       0  deny@10.0.0.5  policy.lua:4
2       1  allow@10.0.0.0/8:tcp:443  policy.lua:5  # office
3       0  allow@github.com:tcp:443  policy.lua:6
4       0  reject:ingress@*:tcp:22  policy.lua:7
        0  egress: deny by default
        0  ingress: allow by default
]], output "explain egress tcp 10.1.1.1:443\nrules")
  end)

  it("pins names", function()
    assert.equal([[
allow: egress tcp 192.0.2.7:443: rule 3 (policy.lua:6): allow@github.com:tcp:443
deny: egress tcp 192.0.2.7:443: default_egress
]], output "pin github.com 192.0.2.7 192.0.2.8\negress tcp 192.0.2.7:443\nunpin GitHub.com.\negress tcp 192.0.2.7:443")
  end)

  it("tells groups of addresses", function()
    assert.equal("10.1.2.3: private\n172.16.0.1: host\nfd00:ec2::254: metadata\n",
      output "groups 10.1.2.3 172.16.0.1 fd00:ec2::254")
  end)

  it("reads the policy again, or another one; pins stay", function()
    local out, err, status, path = repl("pin github.com 192.0.2.7\nreload\nload public-only\nreload\n"
      .. "egress tcp 192.0.2.7:443 sni github.com\nload /nonexistent\n#policy")
    assert.equal("policy.lua: 4 rules\npublic-only: 2 rules\npublic-only: 2 rules\n"
      .. "allow: egress tcp 192.0.2.7:443, sni github.com: rule 2 (public-only): allow@public\n2\n", out)
    assert.equal("lunette: /nonexistent: cannot be read: No such file or directory\n", err)
    assert.equal(0, status)
    assert.is_string(path)
  end)

  it("tells what another policy would change", function()
    local out, err, status = repl("diff allow-all\ndiff /nonexistent\n1 + 1")
    assert.matches("^%+ [^\n]*: deny %-> allow %(.*\n2\n$", out)
    assert.equal("lunette: /nonexistent: cannot be read: No such file or directory\n", err)
    assert.equal(0, status)
    local result = support.lunette({ "load public-only\ndiff public-only" }, "repl")
    assert.equal("public-only: 2 rules\n", result.out)
  end)

  it("evaluates Lua and shows what it gives", function()
    assert.equal('2\n4\t"x"\n{ action = "deny", reason = "default" }\n1\n2\n{ 1, { a = "b", ["c d"] = true } }\n'
      .. '"deny"\n', output [[
1 + 1
#policy, "x"
policy:evaluate { address = "1.1.1.1", port = 1 }
for i = 1, 2 do
  print(i)
end
x = { 1, { a = "b", ["c d"] = true } }

x
lunette.compile { rules = {} }:evaluate_dns { name = "a.example" }.action]])
  end)

  it("goes on after mistakes of every kind", function()
    assert.equal("lunette: accepted: egress PROTOCOL ADDRESS:PORT, egress icmpv4 ADDRESS\n", mistake "egress foo")
    assert.equal("lunette: lua:1: undefined variable 'foo'\n", mistake "foo")
    assert.matches("^lunette: lua:1: syntax error", mistake "foo bar")
    assert.equal('lunette: address: found "x"; accepted: an IP address\n', mistake "groups x")
    assert.equal("lunette: accepted: pin NAME IP...\n", mistake "pin a.example")
    assert.equal("lunette: it is not pinned\n", mistake "unpin a.example")
    assert.equal("lunette: {}\n", mistake "error({})")
    assert.matches("too many instructions", mistake "while true do end")
    assert.matches("more memory", mistake "local t = {} for i = 1, 1e9 do t[i] = i end")
  end)

  it("has help, and ends at quit", function()
    local help = output "help\nquit\n1 + 1"
    for _, word in ipairs { "explain", "rules", "pin", "unpin", "groups", "load", "reload", "quit" } do
      assert.matches("\n[%w, ]*" .. word, help)
    end
    assert.not_matches("2\n$", help)
  end)

  it("needs no policy at first", function()
    local result = support.lunette({ "egress tcp 1.1.1.1:1\nload none\negress tcp 1.1.1.1:1" }, "repl")
    assert.equal("lunette: there is no policy yet: load POLICY\n", result.err)
    assert.equal("none: 0 rules\ndeny: egress tcp 1.1.1.1:1: default_egress\n", result.out)
    assert.equal(0, result.status)
  end)

  it("of a policy that cannot be loaded is exit status 2", function()
    local out, err, status = repl("1 + 1", "return { rules = 1 }")
    assert.equal("", out)
    assert.matches("^lunette: policy.lua:1: rules: it has the wrong type", err)
    assert.equal(2, status)
    assert.equal(2, support.lunette("repl", "none", "none").status)
  end)
end)
