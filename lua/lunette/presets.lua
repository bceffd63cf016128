--- The presets: ordinary policies. `lunette print public-only` shows what one expands to; copy the
--- function's table into a file of your own to change it.
---
--- Everything a preset does not allow is denied. In particular `public-only` and `non-local` leave the
--- host, cloud metadata, loopback, link-local and multicast addresses closed.

local rules = require "lunette.rules"

local M = {}

--- Nothing in, nothing out, no DNS.
M["none"] = function()
  return {
    rules = {},
    default_egress = "deny",
    default_ingress = "deny",
  }
end

--- The internet, and DNS.
M["public-only"] = function()
  return {
    rules = {
      rules.allow_dns(),
      rules.allow("public"),
    },
    default_egress = "deny",
    default_ingress = "allow",
  }
end

--- Everything that can be allowed at all.
M["allow-all"] = function()
  return {
    rules = {},
    default_egress = "allow",
    default_ingress = "allow",
  }
end

--- The internet and private networks, and DNS.
M["non-local"] = function()
  return {
    rules = {
      rules.allow_dns(),
      rules.allow("public"),
      rules.allow("private"),
    },
    default_egress = "deny",
    default_ingress = "allow",
  }
end

return M
