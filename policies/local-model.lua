--- An agent with a model on this machine: one port of the host, and no network at all.
---
---     lunette run policies/local-model.lua -- ./agent
---
--- Inside, the host is host.lunette.internal; the connection arrives at the host's 127.0.0.1.

local lunette = require "lunette"

local MODEL_PORT = 11434 -- Ollama's; llama.cpp's server takes 8080

return {
  rules = {
    lunette.allow("host"):tcp(MODEL_PORT),
    lunette.allow(lunette.domain("host.lunette.internal")):tcp(MODEL_PORT), -- lets the name be asked for
  },
  default_egress = "deny",
  default_ingress = "deny",
}
