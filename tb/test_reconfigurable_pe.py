"""The reconfigurable PE is right for every weight × activation, in all four modes."""

import itertools

import cocotb
from cocotb.triggers import FallingEdge, ReadOnly, RisingEdge

from tb.components import cover_points
from tb.components.clock import start_clock
from tb.components.random_tiles import random_generator
from tb.modules.pytest_runs import each_run

INPUTS = ("halves", "output_stationary", "weight_hops", "weight", "weight_north", "start", "last")
INPUTS += ("act_zero", "act", "psum", "drain", "result")


class PE:
    """The PE with its clock."""

    def __init__(self, dut):
        self.dut = dut
        self.act_width = int(dut.ACT_WIDTH.value)
        self.weight_width = int(dut.WEIGHT_WIDTH.value)
        self.psum_width = int(dut.PSUM_WIDTH.value)
        self.weights = range(-(2 ** (self.weight_width - 1)), 2 ** (self.weight_width - 1))
        self.top = 2 ** (self.psum_width - 1) - 1
        self.gating = bool(int(dut.ZERO_GATING.value))
        self.bus = 0  # the bits of the last activation

    async def start(self):
        """Starts the clock, and resets with all inputs at rest."""
        start_clock(self.dut.clk_i)
        self.drive(**dict.fromkeys(INPUTS, 0))
        self.dut.rst_i.value = 1
        await RisingEdge(self.dut.clk_i)
        self.dut.rst_i.value = 0
        cover_points.watch(cover_points.reconfigurable_pe, self.dut)

    def drive(self, **values):
        """Writes inputs by their names.

        Gated, a half of an activation that is zero is told, and leaves its part of the bus as it
        was. Not gated, what is told must not matter.
        """
        if "act" in values and "act_zero" not in values:
            width = self.act_width // 2
            mask = 2**width - 1
            halves = [values["act"] >> at & mask for at in (0, width)]
            zeros = [int(half == 0) for half in halves]
            if self.gating:
                kept = [self.bus >> at & mask for at in (0, width)]
                halves = [k if z else h for h, k, z in zip(halves, kept, zeros, strict=True)]
                self.bus = halves[0] | halves[1] << width
                values["act"] = self.bus
            else:
                zeros = [1 - zero for zero in zeros]
            values["act_zero"] = zeros[0] | zeros[1] << 1
        for name, value in values.items():
            getattr(self.dut, f"{name}_i").value = value

    def pair(self, low, high):
        """Returns two weights as the bits of a pair."""
        mask = 2**self.weight_width - 1
        return low & mask | (high & mask) << self.weight_width

    def activations(self, halves):
        """Returns all activations: numbers, or pairs of numbers of half the bits."""
        if not halves:
            return range(2**self.act_width)
        return list(itertools.product(range(2 ** (self.act_width // 2)), repeat=2))

    def operands(self, halves, act, low, high):
        """Returns an activation and weights as bits, and their product.

        Without `halves` both weights of the pair are `low`.
        """
        if halves:
            bits = act[0] | act[1] << self.act_width // 2
            return bits, self.pair(low, high), act[0] * low + act[1] * high
        return act, self.pair(low, low), act * low

    async def load(self, pair, hops=1):
        """Offers a pair of weights from the west for one cycle, with `hops` PEs still to reach."""
        self.drive(weight=pair, weight_hops=hops)
        await RisingEdge(self.dut.clk_i)
        self.drive(weight_hops=0)

    async def step(self, **values) -> tuple[int, int]:
        """Writes inputs for one cycle; returns the psum and the result that follow."""
        self.drive(**values)
        await RisingEdge(self.dut.clk_i)
        self.drive(start=0, last=0, drain=0)
        await ReadOnly()
        found = self.dut.psum_o.value.to_signed(), self.known(self.dut.result_o.value)
        await RisingEdge(self.dut.clk_i)
        return found

    def known(self, value):
        """Returns a signed value, or None if nothing has been written yet."""
        return value.to_signed() if value.is_resolvable else None


def pairs_and_activations(pe, halves, rng):
    """Yields pairs of weights, and for each the activations that multiply them.

    Each half meets every weight with every activation. For a small PE these are all pairs and all
    activations; for others what the other half multiplies is random.
    """
    if not halves:
        yield from ((weight, weight, pe.activations(0)) for weight in pe.weights)
    elif pe.weight_width + pe.act_width <= 8:
        for low, high in itertools.product(pe.weights, repeat=2):
            yield low, high, pe.activations(1)
    else:
        half = range(2 ** (pe.act_width // 2))
        for weight in pe.weights:
            other = int(rng.choice(pe.weights))
            acts = [(act, int(rng.choice(half))) for act in half]
            yield weight, other, acts
            yield other, weight, [act[::-1] for act in acts]


@cocotb.test()
async def every_product_weight_stationary(dut):
    """All weights × all activations are right on the largest or smallest psum without overflow."""
    pe = PE(dut)
    await pe.start()
    rng = random_generator()
    # Written and read at falling edges, a product takes one cycle.
    cycle = FallingEdge(dut.clk_i)
    await cycle
    for halves in (0, 1):
        for low, high, acts in pairs_and_activations(pe, halves, rng):
            pe.drive(halves=halves, weight=pe.pair(low, high), weight_hops=1)
            await cycle
            pe.drive(weight_hops=0, start=1)
            for act, largest in zip(acts, rng.integers(0, 2, len(acts)).tolist(), strict=True):
                bits, _, product = pe.operands(halves, act, low, high)
                psum = pe.top - max(product, 0) if largest else -pe.top - 1 - min(product, 0)
                pe.drive(act=bits, psum=psum)
                await cycle
                assert dut.psum_o.value.to_signed() == psum + product, (halves, low, high, act)
                pe.drive(start=0)


@cocotb.test()
async def every_product_output_stationary(dut):
    """A sum of one step is the product; weights come from the north, and psums do not matter."""
    pe = PE(dut)
    await pe.start()
    cycle = FallingEdge(dut.clk_i)
    await cycle
    pe.drive(output_stationary=1, weight=pe.pair(1, 1), weight_hops=1, psum=pe.top, start=1)
    await cycle
    pe.drive(weight_hops=0)
    for halves in (0, 1):
        for low, high, acts in pairs_and_activations(pe, halves, random_generator()):
            for act in acts:
                bits, pair, product = pe.operands(halves, act, low, high)
                pe.drive(halves=halves, act=bits, weight_north=pair)
                await cycle
                assert dut.psum_o.value.to_signed() == product, (halves, low, high, act)


@cocotb.test()
async def a_sum_from_start_to_last(dut):
    """A sum has all steps from start to last, nothing of the sum before, and becomes a result."""
    pe = PE(dut)
    await pe.start()
    rng = random_generator()
    pe.drive(output_stationary=1)
    finished = None
    for steps in (1, 2, 3, 1, 1, 7, 20):
        halves, total = int(rng.integers(2)), 0
        for step in range(steps):
            acts = pe.activations(halves)
            low, high = (int(rng.choice(pe.weights)) for _ in range(2))
            bits, pair, product = pe.operands(halves, acts[int(rng.integers(len(acts)))], low, high)
            if not -pe.top - 1 <= total + product <= pe.top:
                bits, product = 0, 0
            total += product
            pe.drive(halves=halves, act=bits, weight_north=pair, psum=int(rng.integers(pe.top)))
            pe.drive(start=int(step == 0), last=int(step == steps - 1))
            await RisingEdge(dut.clk_i)
            # An activation of 0 in between adds nothing.
            pe.drive(act=0, start=0, last=0)
            await ReadOnly()
            finished = total if step == steps - 1 else finished
            assert dut.psum_o.value.to_signed() == total
            assert pe.known(dut.result_o.value) == finished
            await RisingEdge(dut.clk_i)


@cocotb.test()
async def results_go_south(dut):
    """A result stays until the PE is told to drain, and a new one wins over one from the north."""
    pe = PE(dut)
    await pe.start()
    pe.drive(output_stationary=1, weight_north=pe.pair(1, 1), act=1)
    assert await pe.step(start=1, last=1) == (1, 1)
    assert (await pe.step(start=1, result=-3))[1] == 1
    assert (await pe.step(start=1, drain=1, result=-3))[1] == -3
    assert (await pe.step(start=1, drain=1, result=pe.top))[1] == pe.top
    assert (await pe.step(start=1, result=5))[1] == pe.top
    assert (await pe.step(start=1, last=1, drain=1, result=5))[1] == 1
    # Every bit stays, whatever the others are, for an odd and for an even number of cycles.
    for stays, comes in random_generator().integers(-pe.top - 1, pe.top + 1, (40, 2)).tolist():
        assert (await pe.step(start=1, drain=1, result=stays))[1] == stays
        assert (await pe.step(start=1, result=comes))[1] == stays
        await RisingEdge(dut.clk_i)
        assert (await pe.step(start=1, result=comes))[1] == stays
    # Results move in the other mode too: the next tile may have begun.
    pe.drive(output_stationary=0)
    assert (await pe.step(drain=1, result=-pe.top - 1))[1] == -pe.top - 1
    assert (await pe.step(start=1, drain=1, result=3))[1] == 3


@cocotb.test()
async def swap_takes_effect_on_its_own_activation(dut):
    """Loading alone changes no psum; the swap takes effect on its own activation, and lasts."""
    pe = PE(dut)
    await pe.start()
    await pe.load(pe.pair(-1, -1))
    pe.drive(act=1, psum=0)
    assert (await pe.step(start=1))[0] == -1
    for old, new in itertools.pairwise([-1, *pe.weights]):
        await pe.load(pe.pair(new, new))
        for _ in range(2):
            assert (await pe.step())[0] == old
        assert (await pe.step(start=1))[0] == new
        assert (await pe.step())[0] == new


@cocotb.test()
async def a_weight_latched_during_the_swap_is_the_next_one(dut):
    """The activation gets the older weights if the shadow loads in the cycle of its swap."""
    pe = PE(dut)
    await pe.start()
    await pe.load(pe.pair(-2, -2))
    pe.drive(act=1, psum=0, start=1, weight=pe.pair(1, 1), weight_hops=1)
    await RisingEdge(dut.clk_i)
    pe.drive(start=0, weight_hops=0)
    await ReadOnly()
    assert dut.psum_o.value.to_signed() == -2
    await RisingEdge(dut.clk_i)
    assert (await pe.step(start=1))[0] == 1


@cocotb.test()
async def weights_for_the_shadow_pass_in_both_dataflows(dut):
    """The shadow is loaded while sums are made, and the north's weights do not disturb it."""
    pe = PE(dut)
    await pe.start()
    pe.drive(output_stationary=1, act=1, weight_north=pe.pair(1, 1))
    await pe.load(pe.pair(-2, -2))
    assert (await pe.step(start=1))[0] == 1
    assert (await pe.step())[0] in (2, 3)
    pe.drive(output_stationary=0, psum=0)
    assert (await pe.step(start=1))[0] == -2


@cocotb.test()
async def everything_is_passed_on_a_cycle_later(dut):
    """Activation and tokens move east, weights east and south; hops count down."""
    pe = PE(dut)
    await pe.start()
    rng = random_generator()
    top = 2 ** int(dut.HOPS_WIDTH.value) - 1
    pair = 4**pe.weight_width
    pe.drive(output_stationary=1)
    shadow = before = None
    for hops in (1, 0, 0, top, 0, *range(top + 1), 0, 1, 1, 0):
        act, weight, north = (int(rng.integers(n)) for n in (2**pe.act_width, pair, pair))
        tokens, zero = rng.integers(0, 2, 3).tolist(), int(rng.integers(4))
        pe.drive(weight_hops=hops, weight=weight, weight_north=north, act=act, act_zero=zero)
        pe.drive(**dict(zip(("start", "last", "drain"), tokens, strict=True)))
        await ReadOnly()
        if before is not None:  # the inputs are new, and the outputs are of the inputs before
            names = ("weight_hops", "act_zero", "act", "start", "last", "drain", "weight_south")
            names += ("weight",)
            assert [int(getattr(dut, f"{name}_o").value) for name in names] == before
        await RisingEdge(dut.clk_i)
        shadow = weight if hops else shadow
        before = [max(hops - 1, 0), zero * pe.gating, act, *tokens, north, shadow]


@cocotb.test()
async def reset_clears_the_tokens(dut):
    """In reset no token and no weight moves on, and those under way are lost."""
    pe = PE(dut)
    await pe.start()
    outputs = (dut.start_o, dut.last_o, dut.drain_o, dut.weight_hops_o)
    pe.drive(start=1, last=1, drain=1, weight_hops=3)
    await RisingEdge(dut.clk_i)
    await ReadOnly()
    assert [int(handle.value) for handle in outputs] == [1, 1, 1, 2]
    await RisingEdge(dut.clk_i)
    dut.rst_i.value = 1
    for _ in range(2):
        await RisingEdge(dut.clk_i)
        await ReadOnly()
        assert [int(handle.value) for handle in outputs] == [0, 0, 0, 0]


@each_run("tb.test_reconfigurable_pe")
def test_reconfigurable_pe(run, simulator):
    run.on(simulator)
