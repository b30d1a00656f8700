"""Each lane is delayed by the number of cycles that the parameters give; reset empties it."""

import cocotb
import numpy as np
from cocotb.triggers import ClockCycles, ReadOnly, RisingEdge

from tb.components.clock import start_clock
from tb.components.packing import pack, unpack
from tb.components.random_tiles import random_generator
from tb.modules.pytest_runs import each_run


@cocotb.test()
async def lane_by_lane_delay(dut):
    """Random vectors come in every cycle; lane i leaves i cycles later, or LANES − 1 − i."""
    lanes, width, reverse = (int(dut[n].value) for n in ("LANES", "WIDTH", "REVERSE"))
    start_clock(dut.clk_i)
    dut.rst_i.value = 1
    dut.data_i.value = 0
    await ClockCycles(dut.clk_i, 2)
    dut.rst_i.value = 0
    count = 4 * lanes + 10
    sent = random_generator().integers(0, 2**width, (count, lanes))
    words = []
    for word in pack(sent, width):
        dut.data_i.value = word
        await ReadOnly()
        words.append(int(dut.data_o.value))
        await RisingEdge(dut.clk_i)
    came = unpack(words, lanes, width) % 2**width
    for lane in range(lanes):
        delay = lanes - 1 - lane if reverse else lane
        expected = np.concatenate([np.zeros(delay), sent[: count - delay, lane]])
        np.testing.assert_array_equal(came[:, lane], expected, f"lane {lane}")


@cocotb.test()
async def reset_empties_it(dut):
    """After one cycle of reset, no word leaves that was under way or came with the reset."""
    lanes, width = (int(dut[n].value) for n in ("LANES", "WIDTH"))
    ones = 2 ** (lanes * width) - 1
    start_clock(dut.clk_i)
    dut.rst_i.value = 0
    dut.data_i.value = ones
    await ClockCycles(dut.clk_i, lanes + 1)
    dut.rst_i.value = 1
    await RisingEdge(dut.clk_i)
    dut.rst_i.value = 0
    dut.data_i.value = 0
    for _ in range(lanes):
        await ReadOnly()
        assert int(dut.data_o.value) == 0
        await RisingEdge(dut.clk_i)


@each_run("tb.test_skew")
def test_skew(run, simulator):
    run.on(simulator)
