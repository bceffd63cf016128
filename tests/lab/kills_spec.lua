--- A few kills at random moments; tests/lab/kills makes many.

local lab = require "tests.lab.lab"

describe("lunette, killed at any moment", function()
  it("leaves nothing that stops its next start", function()
    local program = lab.probe_py:gsub("probe%.py$", "kills")
    local result = lab.host(("%s --rounds 15 %s"):format(program, lab.build), 120)
    assert.equal(0, result.status, result.out .. result.err)
  end)
end)
