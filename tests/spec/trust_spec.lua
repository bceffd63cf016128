--- What a policy names outside of itself, as `check` opens it, and `lunette ca`.

local json = require "dkjson"
local support = require "support"

local run = support.lunette

describe("lunette ca", function()
  local data

  before_each(function() data = support.directory() end)

  local function ca(...) return run({ XDG_DATA_HOME = data }, "ca", ...) end

  it("says where the CA is, and whether there is one", function()
    assert.equal(data .. "/lunette/ca.pem\n", ca("path").out)
    local none = ca()
    assert.equal(1, none.status)
    assert.matches("^lunette: there is no CA yet", none.err)
    assert.equal("", none.out)
  end)

  it("makes one and shows it, for people and for programs", function()
    local made = ca("regenerate")
    assert.equal(0, made.status)
    local shown = ca()
    local function without_days(text) return (text:gsub(" %(%d+ days left%)", "")) end
    assert.equal(without_days(made.out), without_days(shown.out))
    assert.matches("\nsubject      CN=lunette CA %x+\nSHA%-256      %x%x:", shown.out)
    local object = json.decode(ca("show", "--json").out)
    assert.equal(shown.out:match "SHA%-256 +(%S+)", object.sha256)
    assert.equal(data .. "/lunette/ca-key.pem", object.key)
    assert.matches("^%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%dZ$", object.not_after)
    assert.not_equal(object.sha256, json.decode(ca("--json", "regenerate").out).sha256)
  end)

  it("knows three words", function()
    for _, words in ipairs { { "remove" }, { "show", "path" }, { "--jsn" } } do
      local wrong = ca(table.unpack(words))
      assert.equal(2, wrong.status)
      assert.matches("^lunette: ", wrong.err)
    end
  end)
end)

describe("lunette check", function()
  local function check(text) return run({ XDG_DATA_HOME = "/nowhere" }, "check", support.policy_file(text)) end

  it("opens the files that a policy names, and tells every one that cannot be used", function()
    local found = check [[
      return { policy = "public-only",
        tls = { upstream_ca_certs = { "/none/ca.pem" }, upstream_ca_certs_for = { ["*.a.example"] = "/none/other.pem" },
                ca_cert = "/none/ca.pem", ca_key = "/none/key.pem" },
        secrets = { { env = "A", from_file = "/none/token", allow_hosts = { "a.example" } } } }
    ]]
    assert.equal(2, found.status)
    for _, field in ipairs {
      "tls.ca_cert: ", "tls.ca_key: ", "tls.upstream_ca_certs[1]: ", 'tls.upstream_ca_certs_for["*.a.example"][1]: ',
      "secrets[1].from_file: ",
    } do
      assert.is_truthy(found.err:find(field .. "No such file or directory", 1, true), field .. found.err)
    end
  end)

  it("makes no CA, runs no command, and asks for no variable", function()
    local ran = support.directory() .. "/ran"
    local found = check(([[
      return { policy = "public-only", tls = {}, secrets = {
        { env = "A", command = "touch %s; false", allow_hosts = { "a.example" } },
        { env = "B", from_env = "LUNETTE_NO_SUCH_VARIABLE", allow_hosts = { "a.example" } } } }
    ]]):format(ran))
    assert.equal(0, found.status, found.err)
    assert.is_nil(io.open(ran))
  end)

  it("shows a value nowhere, not even one that cannot be used", function()
    local found = check [[
      return { policy = "public-only", tls = {},
        secrets = { { env = "A", value = "top\nsecret", allow_hosts = { "a.example" } } } }
    ]]
    assert.equal(2, found.status)
    assert.matches("secrets%[1%]%.value: ", found.err)
    assert.is_nil(found.err:find("top", 1, true))
  end)
end)
