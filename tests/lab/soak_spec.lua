--- A short soak; tests/lab/soak makes long ones, and says figures.

local lab = require "tests.lab.lab"

describe("a gateway under mixed load and trouble", function()
  it("stays as it was, decides rightly, and ends well", function()
    local program = lab.probe_py:gsub("probe%.py$", "soak")
    local result = lab.host(("%s --seconds 12 %s"):format(program, lab.build), 180)
    assert.equal(0, result.status, result.out .. result.err)
  end)
end)
