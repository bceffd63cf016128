--- Secrets that the guest uses without having them, by where their values come from.

local M = {}

---@class lunette.SecretOptions what else a secret can say
---@field placeholder? string
---@field inject? lunette.Inject
---@field require_tls? boolean
---@field refresh_s? integer
---@field on_violation? lunette.OnViolation|lunette.ViolationAction

local SOURCES = { "value", "from_env", "from_file", "command" }

--- A secret of one source. Errors are those of the line that calls the constructor.
local function secret(constructor, source, name, from, hosts, options)
  local function fail(message) error(("secrets.%s(): %s"):format(constructor, message), 3) end
  if type(name) ~= "string" or name == "" then
    fail("the first argument is the guest's variable, such as \"GITHUB_TOKEN\"")
  end
  if type(from) ~= "string" or from == "" then
    fail(("where %s comes from is missing (is a variable misspelt?)"):format(name))
  end
  if type(hosts) == "string" then hosts = { hosts } end
  if type(hosts) ~= "table" or #hosts == 0 then
    fail(("the hosts that %s may go to are missing: a name, or a list of names"):format(name))
  end
  if options ~= nil and type(options) ~= "table" then
    fail(("what else %s says is a table, not a %s"):format(name, type(options)))
  end
  local made = {}
  for key, value in pairs(options or {}) do made[key] = value end
  for _, key in ipairs(SOURCES) do
    if made[key] ~= nil then fail(("%s has its value from %s already, not from `%s`"):format(name, source, key)) end
  end
  for _, key in ipairs { "env", "allow_hosts" } do
    if made[key] ~= nil then fail(("`%s` is an argument, not an option"):format(key)) end
  end
  made.env, made.allow_hosts, made[source] = name, hosts, from
  return made
end

--- From a variable of lunette's environment: `secrets.env("GITHUB_TOKEN", "api.github.com")`; of another name:
--- `secrets.env("GITHUB_TOKEN", hosts, { variable = "CI_TOKEN" })`.
---@param name string the guest's variable
---@param hosts string|string[] where it may go
---@param options? lunette.SecretOptions|{ variable?: string }
---@return lunette.Secret
function M.env(name, hosts, options)
  local variable, others = name, options
  if type(options) == "table" then
    others = {}
    for key, value in pairs(options) do others[key] = value end
    variable, others.variable = options.variable or name, nil
  end
  return secret("env", "from_env", name, variable, hosts, others)
end

--- From a file: `secrets.file("NPM_TOKEN", "/run/secrets/npm", "registry.example")`.
---@param name string the guest's variable
---@param path string
---@param hosts string|string[] where it may go
---@param options? lunette.SecretOptions
---@return lunette.Secret
function M.file(name, path, hosts, options) return secret("file", "from_file", name, path, hosts, options) end

--- From what a command prints: `secrets.command("TOKEN", "vault-token api", "api.example", { refresh_s = 900 })`.
---@param name string the guest's variable
---@param command string for sh(1)
---@param hosts string|string[] where it may go
---@param options? lunette.SecretOptions
---@return lunette.Secret
function M.command(name, command, hosts, options) return secret("command", "command", name, command, hosts, options) end

--- The value itself, which then stands in the policy or was computed by it.
---@param name string the guest's variable
---@param value string
---@param hosts string|string[] where it may go
---@param options? lunette.SecretOptions
---@return lunette.Secret
function M.value(name, value, hosts, options) return secret("value", "value", name, value, hosts, options) end

return M
