"""A lane that brings zero stays as it was, and the module says so; other lanes pass."""

import cocotb
from cocotb.triggers import ReadOnly, RisingEdge

from tb.components import cover_points
from tb.components.clock import start_clock
from tb.components.packing import pack, unpack
from tb.components.random_tiles import random_generator
from tb.modules.pytest_runs import each_run


@cocotb.test()
async def zeros_stay_and_others_pass(dut):
    """Lanes are zero in half of the cycles; they are held, pass, and are reset at random."""
    lanes, width = (int(dut[n].value) for n in ("LANES", "WIDTH"))
    rng = random_generator()
    count = 300
    values = rng.integers(0, 2**width, (count, lanes)) * rng.integers(0, 2, (count, lanes))
    holds = rng.integers(0, 4, count) > 0
    resets = rng.integers(0, 20, count) == 0
    resets[0] = True
    start_clock(dut.clk_i)
    cover_points.watch(cover_points.zero_hold, dut)
    before = [0] * lanes
    for cycle, word in enumerate(pack(values, width)):
        dut.data_i.value = word
        dut.hold_i.value = int(holds[cycle])
        dut.rst_i.value = int(resets[cycle])
        await ReadOnly()
        zeros = [bool(holds[cycle]) and value == 0 for value in values[cycle].tolist()]
        assert int(dut.zero_o.value) == sum(zero << lane for lane, zero in enumerate(zeros))
        if cycle:  # before the reset nothing is held
            pairs = zip(zeros, before, values[cycle].tolist(), strict=True)
            wanted = [old if zero else value for zero, old, value in pairs]
            came = unpack([int(dut.data_o.value)], lanes, width) % 2**width
            assert came[0].tolist() == wanted, f"cycle {cycle}"
            before = [0] * lanes if resets[cycle] else wanted
        await RisingEdge(dut.clk_i)


@each_run("tb.test_zero_hold")
def test_zero_hold(run, simulator):
    run.on(simulator)
