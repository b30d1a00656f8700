"""A word that enters the delay leaves it exactly CYCLES cycles later, every bit of it."""

import cocotb
from cocotb.triggers import ReadOnly, RisingEdge

from tb.components.clock import start_clock
from tb.components.packing import pack
from tb.components.random_tiles import random_generator
from tb.modules.pytest_runs import each_run


async def check(dut, sent: list[int]) -> None:
    """Sends a word in each cycle, and compares each word that leaves."""
    cycles = int(dut.CYCLES.value)
    start_clock(dut.clk_i)
    compared = 0
    for cycle, word in enumerate(sent):
        dut.data_i.value = word
        await ReadOnly()
        if cycle >= cycles:  # before, the words are those that the delay held at first
            got, expected = int(dut.data_o.value), sent[cycle - cycles]
            assert got == expected, f"cycle {cycle}: expected {expected:#x}, got {got:#x}"
            compared += 1
        await RisingEdge(dut.clk_i)
    assert compared == len(sent) - cycles > 0


@cocotb.test()
async def random_words(dut):
    """Random words come in every cycle."""
    width, cycles = int(dut.WIDTH.value), int(dut.CYCLES.value)
    await check(dut, pack(random_generator().integers(0, 2, (10 * cycles + 100, width)), 1))


@cocotb.test()
async def one_bit_at_a_time(dut):
    """Each bit is high for a single cycle among zeros, and low as the only one among ones."""
    width, cycles = int(dut.WIDTH.value), int(dut.CYCLES.value)
    rest = [0] * (cycles + 1)
    ones = [word for bit in range(width) for word in (1 << bit, *rest)]
    await check(dut, ones + [2**width - 1 - word for word in ones] + rest)


@each_run("tb.test_delay")
def test_delay(run, simulator):
    run.on(simulator)
