"""The PE is right for every weight × activation, with psums at their extremes."""

import itertools

import cocotb
from cocotb.triggers import ReadOnly, RisingEdge

from tb.components import cover_points
from tb.components.clock import start_clock
from tb.modules.pytest_runs import each_run


class PE:
    """The PE with its clock."""

    def __init__(self, dut):
        self.dut = dut
        self.act_width = int(dut.ACT_WIDTH.value)
        self.weight_width = int(dut.WEIGHT_WIDTH.value)
        self.psum_width = int(dut.PSUM_WIDTH.value)
        self.weights = range(-(2 ** (self.weight_width - 1)), 2 ** (self.weight_width - 1))
        lowest = -(2 ** (self.act_width - 1)) if int(dut.ACT_SIGNED.value) else 0
        self.activations = range(lowest, lowest + 2**self.act_width)
        self.unit = 1 if 1 in self.activations else -1  # of one bit and signed: 0 and −1
        self.gating = bool(int(dut.ZERO_GATING.value))

    async def start(self):
        """Starts the clock, and resets with all inputs at rest."""
        start_clock(self.dut.clk_i)
        for handle in (
            self.dut.weight_hops_i,
            self.dut.weight_i,
            self.dut.swap_i,
            self.dut.act_zero_i,
            self.dut.act_i,
            self.dut.psum_i,
        ):
            handle.value = 0
        self.dut.rst_i.value = 1
        await RisingEdge(self.dut.clk_i)
        self.dut.rst_i.value = 0
        cover_points.watch(cover_points.pe, self.dut)

    def bits(self, act) -> int:
        """Returns an activation as the bits of its bus."""
        return act % 2**self.act_width

    def offer(self, act):
        """Offers an activation. Gated, one of zero is told, and leaves the bus as it was.

        Not gated, what is told must not matter.
        """
        self.dut.act_zero_i.value = int(act == 0 or not self.gating)
        if act != 0 or not self.gating:
            self.dut.act_i.value = self.bits(act)

    async def load(self, weight, hops=1):
        """Offers a weight for one cycle, with `hops` PEs still to reach."""
        self.dut.weight_i.value = weight
        self.dut.weight_hops_i.value = hops
        await RisingEdge(self.dut.clk_i)
        self.dut.weight_hops_i.value = 0

    async def multiply(self, act, psum, swap=0) -> int:
        """Offers an activation and a psum for one cycle; returns the psum that comes out."""
        self.offer(act)
        self.dut.psum_i.value = psum
        self.dut.swap_i.value = swap
        await RisingEdge(self.dut.clk_i)
        self.dut.swap_i.value = 0
        await RisingEdge(self.dut.clk_i)
        return self.dut.psum_o.value.to_signed()


@cocotb.test()
async def every_product_with_psums_at_the_extremes(dut):
    """All weights × all activations are right on the largest and smallest psum without overflow."""
    pe = PE(dut)
    await pe.start()
    top = 2 ** (pe.psum_width - 1) - 1
    checked = 0
    acts = list(pe.activations)
    if pe.gating:  # after each other activation, one of zero must rest
        acts = [act for pair in itertools.zip_longest(acts, [], fillvalue=0) for act in pair]
    for weight in pe.weights:
        await pe.load(weight)
        swap = 1
        for act in acts:
            product = weight * act
            for psum in (0, -1, top - max(product, 0), -top - 1 - min(product, 0)):
                assert await pe.multiply(act, psum, swap) == psum + product, (weight, act, psum)
                swap = 0
                checked += 1
    assert checked == 4 * len(pe.weights) * len(acts)


@cocotb.test()
async def swap_takes_effect_on_its_own_activation(dut):
    """Loading alone changes no psum; the swap takes effect on its own activation, and lasts."""
    pe = PE(dut)
    await pe.start()
    await pe.load(-1)
    assert await pe.multiply(pe.unit, 0, swap=1) == -pe.unit
    for old, new in itertools.pairwise([-1, *pe.weights]):
        await pe.load(new)
        for _ in range(3):
            assert await pe.multiply(pe.unit, 0) == old * pe.unit
        assert await pe.multiply(pe.unit, 0, swap=1) == new * pe.unit
        for _ in range(3):
            assert await pe.multiply(pe.unit, 0) == new * pe.unit


@cocotb.test()
async def a_weight_latched_during_the_swap_is_the_next_one(dut):
    """The activation gets the older weight if the shadow loads in the cycle of its swap."""
    pe = PE(dut)
    await pe.start()
    await pe.load(-2)
    dut.weight_hops_i.value = 1
    dut.weight_i.value = 1
    pe.offer(pe.unit)
    dut.swap_i.value = 1
    await RisingEdge(dut.clk_i)
    dut.weight_hops_i.value = 0
    dut.swap_i.value = 0
    await RisingEdge(dut.clk_i)
    assert dut.psum_o.value.to_signed() == -2 * pe.unit
    assert await pe.multiply(pe.unit, 0, swap=1) == pe.unit


@cocotb.test()
async def everything_is_passed_on_a_cycle_later(dut):
    """Activation, swap and weight move east; hops count down; without hops the shadow stays.

    Gated, it is passed on too which activation is zero; whatever the bus brings, psums stay then.
    """
    pe = PE(dut)
    await pe.start()
    top = 2 ** int(dut.HOPS_WIDTH.value) - 1
    steps = [
        (hops, pe.activations[5 * index % len(pe.activations)], hops % 2, index % 3 % 2)
        for index, hops in enumerate((1, 0, 0, top, 0, *range(top + 1), 0))
    ]
    held = None
    before = None
    dut.psum_i.value = -1
    for index, (hops, act, swap, zero) in enumerate(steps):
        weight = pe.weights[index % len(pe.weights)]
        dut.weight_hops_i.value = hops
        dut.weight_i.value = weight
        dut.act_zero_i.value = zero
        dut.act_i.value = pe.bits(act)
        dut.swap_i.value = swap
        await ReadOnly()
        if before is not None:  # the inputs are new, and the outputs are of the inputs before
            handles = (dut.weight_hops_o, dut.act_zero_o, dut.act_o, dut.swap_o)
            assert [int(h.value) for h in handles] == before
            if before[1]:
                assert dut.psum_o.value.to_signed() == -1
            assert dut.weight_o.value.to_signed() == held
        await RisingEdge(dut.clk_i)
        before = [max(hops - 1, 0), int(zero and pe.gating), pe.bits(act), swap]
        held = weight if hops else held


@cocotb.test()
async def reset_clears_the_tokens(dut):
    """In reset no swap and no weight moves on, and those under way are lost."""
    pe = PE(dut)
    await pe.start()
    dut.swap_i.value = 1
    dut.weight_hops_i.value = 3
    await RisingEdge(dut.clk_i)
    await ReadOnly()
    assert (int(dut.swap_o.value), int(dut.weight_hops_o.value)) == (1, 2)
    await RisingEdge(dut.clk_i)
    dut.rst_i.value = 1
    for _ in range(2):
        await RisingEdge(dut.clk_i)
        await ReadOnly()
        assert (int(dut.swap_o.value), int(dut.weight_hops_o.value)) == (0, 0)


@each_run("tb.test_pe")
def test_pe(run, simulator):
    run.on(simulator)
