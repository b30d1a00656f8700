"""The second array is right in all sizes and widths, and takes its own number of cycles."""

import cocotb
import numpy as np
from cocotb.triggers import ClockCycles, RisingEdge

from tb.components.packing import pack
from tb.components.random_tiles import check_tiles, extremes, random_generator, random_tiles
from tb.examples.load_first_array import LoadFirstArray
from tb.modules.pytest_runs import each_run


class Gapped(LoadFirstArray):
    """Connects the array with idle cycles anywhere, and random bits on the idle buses."""

    async def idle(self, rng: np.random.Generator):
        """Waits for 0 to 2 cycles."""
        for _ in range(rng.integers(0, 3)):
            for bus in (self.dut.weight_i, self.dut.act_i):
                bus.value = int.from_bytes(rng.bytes(32), "little") % 2 ** len(bus)
            await RisingEdge(self.clock)

    async def play(self, weights, activations):
        rng = random_generator()
        for tile, vectors in zip(weights, activations, strict=True):
            for row in tile[::-1]:
                await self.idle(rng)
                await super().load(row[None])
            for vector in vectors[:-1]:
                await self.idle(rng)
                self.dut.act_valid_i.value = 1
                self.dut.act_i.value = pack(vector[None], self.act_width)[0]
                await RisingEdge(self.clock)
                self.dut.act_valid_i.value = 0
            await super().stream(vectors[-1:])


@cocotb.test()
async def cycles_of_a_tile(dut):
    """A tile takes ROWS cycles to load, a cycle for each pixel, the latency, and one more cycle."""
    array = LoadFirstArray(dut)
    await array.start()
    weights, activations = random_tiles(array, random_generator(), [5, 1, 9])
    cycles = await check_tiles(array, array.play(weights, activations), weights, activations)
    assert cycles == 3 * array.rows + 15 + 3 * array.latency + 2


@cocotb.test()
async def gaps_anywhere_lose_nothing(dut):
    """With idle cycles anywhere, every psum is right: weights stay until they are replaced."""
    array = Gapped(dut)
    await array.start()
    rng = random_generator()
    lengths = rng.integers(1, 2 * array.cols + 1, 8).tolist()
    weights, activations = random_tiles(array, rng, lengths)
    await check_tiles(array, array.play(weights, activations), weights, activations)


@cocotb.test()
async def reset_stops_what_is_under_way(dut):
    """After a cycle of reset no psum of an earlier activation comes, and idle is high at once."""
    array = LoadFirstArray(dut)
    await array.start()
    await array.load(np.full((array.rows, array.cols), extremes(array).weight_low))
    dut.act_i.value = 2 ** len(dut.act_i) - 1
    dut.act_valid_i.value = 1
    await ClockCycles(dut.clk_i, array.latency + 1)
    dut.rst_i.value = 1
    await RisingEdge(dut.clk_i)
    assert not int(dut.idle_o.value)
    dut.act_valid_i.value = 0
    dut.rst_i.value = 0
    for _ in range(2 * array.latency):
        await RisingEdge(dut.clk_i)
        assert int(dut.idle_o.value)
        assert not int(dut.psum_valid_o.value)


@each_run("tb.test_load_first_array")
def test_load_first_array(run, simulator):
    run.on(simulator)


@each_run("tb.run.array_bench")
def test_as_any_array(run, simulator):
    run.on(simulator)
