--- Floods by the guest, short ones; tests/lab/floods makes long ones, and says figures.

local lab = require "tests.lab.lab"

local KINDS = "syn,udp,fragments,ndp,dns,acks,deserted,zero-window,dns-streams,first-flight"

describe("a flood by the guest", function()
  it("leaves memory bounded, control answering, and an honest user served again", function()
    local program = lab.probe_py:gsub("probe%.py$", "floods")
    local result = lab.host(("%s --count 5000 --only %s %s"):format(program, KINDS, lab.build), 180)
    assert.equal(0, result.status, result.out .. result.err)
  end)
end)
