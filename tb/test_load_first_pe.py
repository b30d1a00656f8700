"""The second array's PE is right for every weight × activation, with psums at their extremes."""

import cocotb
from cocotb.triggers import ClockCycles, RisingEdge

from tb.components.clock import start_clock
from tb.modules.pytest_runs import each_run


async def step(dut, load=0, weight=0, act=0, psum=0) -> None:
    """Offers these inputs for one cycle."""
    dut.load_i.value = load
    dut.weight_i.value = weight
    dut.act_i.value = act
    dut.psum_i.value = psum
    await RisingEdge(dut.clk_i)


async def result(dut) -> tuple[int, int, int]:
    """Returns weight, activation and psum at the outputs after the last step."""
    dut.load_i.value = 0
    await RisingEdge(dut.clk_i)
    return dut.weight_o.value.to_signed(), int(dut.act_o.value), dut.psum_o.value.to_signed()


@cocotb.test()
async def every_product_with_psums_at_the_extremes(dut):
    """All weights × all activations are right on the largest and smallest psum without overflow."""
    start_clock(dut.clk_i)
    act_bits, weight_bits, psum_bits = (
        int(dut.ACT_WIDTH.value),
        int(dut.WEIGHT_WIDTH.value),
        int(dut.PSUM_WIDTH.value),
    )
    top = 2 ** (psum_bits - 1) - 1
    for weight in range(-(2 ** (weight_bits - 1)), 2 ** (weight_bits - 1)):
        await step(dut, load=1, weight=weight)
        for act in range(2**act_bits):
            product = weight * act
            for psum in (0, -1, top - max(product, 0), -top - 1 - min(product, 0)):
                await step(dut, act=act, psum=psum)
                assert await result(dut) == (weight, act, psum + product), (weight, act, psum)


@cocotb.test()
async def the_weight_changes_only_while_load_is_high(dut):
    """A weight at the input counts only with load, and from the next cycle on."""
    start_clock(dut.clk_i)
    await step(dut, load=1, weight=-1)
    await step(dut, weight=1, act=1)
    assert await result(dut) == (-1, 1, -1)
    await step(dut, load=1, weight=1, act=1, psum=5)
    assert await result(dut) == (1, 1, 4)
    await ClockCycles(dut.clk_i, 3)
    await step(dut, act=1, psum=5)
    assert await result(dut) == (1, 1, 6)


@each_run("tb.test_load_first_pe")
def test_load_first_pe(run, simulator):
    run.on(simulator)
