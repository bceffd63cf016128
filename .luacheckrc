std = "lua54"
max_line_length = 120
files["lua/meta/*.lua"] = { ignore = { "111", "131", "212", "241" } }
files["tests/spec/**/*.lua"] = { std = "lua54+busted" }
files["policies/*.lua"] = { read_globals = { "env" } }
files["policies/*_test.lua"] = {
  globals = { "allows", "denies", "rejects", "resolves", "refuses", "pin", "with_pins", "policy", "test" },
}
files["policies/*_spec.lua"] = { std = "lua54+busted" }
