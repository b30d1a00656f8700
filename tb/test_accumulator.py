"""The accumulator agrees with NumPy's sums for any pixels, extremes, gaps, clears and resets."""

import itertools
from typing import NamedTuple

import cocotb
import numpy as np
from cocotb.triggers import ReadOnly, RisingEdge

from tb.components.clock import start_clock
from tb.components.packing import pack
from tb.components.random_tiles import random_generator
from tb.modules.pytest_runs import each_run


class Stimulus(NamedTuple):
    """The pixels announced in each cycle, and the psums that follow two cycles later, if any."""

    valid: np.ndarray  # bool [n]; where False, the other arrays hold garbage
    pixel: np.ndarray  # [n]
    final: np.ndarray  # bool [n]
    added: np.ndarray  # bool [n]; where False, the psums are garbage; True only with a pixel
    psums: np.ndarray  # [n, COLS]


def joined(*parts: Stimulus) -> Stimulus:
    """Returns the stimuli one after another, as one."""
    return Stimulus(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


class Accumulator:
    """The accumulator with its clock, and a model of each pixel's sums."""

    def __init__(self, dut):
        self.dut = dut
        self.rng = random_generator()
        self.cols, self.psum_width, self.sum_width, self.pixels = (
            int(dut[name].value) for name in ("COLS", "PSUM_WIDTH", "SUM_WIDTH", "PIXELS")
        )
        self.smallest, self.largest = -(2 ** (self.psum_width - 1)), 2 ** (self.psum_width - 1) - 1
        self.sums = np.zeros((self.pixels, self.cols), np.int64)
        self.compared = 0  # number of finished pixels that were compared

    async def start(self) -> None:
        """Starts the clock, resets, and waits until the memory is clear."""
        start_clock(self.dut.clk_i)
        await self.reset()
        await self.clear()

    def garbage(self, n: int) -> Stimulus:
        """Returns cycles without psums, with random bits on all buses."""
        return Stimulus(
            np.zeros(n, bool),
            self.rng.integers(0, 2 ** (self.pixels - 1).bit_length(), n),
            self.rng.random(n) < 0.5,
            np.zeros(n, bool),
            self.random_psums(n),
        )

    def random_psums(self, n: int) -> np.ndarray:
        """Returns random psums, int [n, COLS], many of them extreme."""
        psums = self.rng.integers(self.smallest, self.largest + 1, (n, self.cols))
        edges = self.rng.choice((self.smallest, -1, 0, self.largest), psums.shape)
        return np.where(self.rng.random(psums.shape) < 0.3, edges, psums)

    async def reset(self, cycles: int = 1) -> None:
        """Holds reset for some cycles, in which the inputs are random."""
        garbage = self.garbage(cycles)
        words = pack(garbage.psums, self.psum_width)
        self.dut.rst_i.value = 1
        for pixel, final, word in zip(
            garbage.pixel.tolist(), garbage.final.tolist(), words, strict=True
        ):
            self.dut.pixel_valid_i.value = int(self.rng.integers(2))
            self.dut.psum_valid_i.value = int(self.rng.integers(2))
            self.dut.pixel_i.value, self.dut.final_i.value = pixel, final
            self.dut.psum_i.value = word
            await RisingEdge(self.dut.clk_i)
        self.dut.rst_i.value = 0
        self.sums[:] = 0

    async def clear(self, cycles: int | None = None) -> None:
        """Waits while the memory is cleared after a reset, or only for `cycles` of these cycles."""
        await self.play(self.garbage(self.pixels if cycles is None else cycles), ready=0, drain=0)

    def expected(self, stimulus: Stimulus) -> dict[int, int]:
        """Sums the stimulus; returns the words that must leave, each by its cycle."""
        cycles, sums = [], [np.zeros(self.cols, np.int64)]
        for cycle in np.flatnonzero(stimulus.valid).tolist():
            held = self.sums[stimulus.pixel[cycle]]  # a view
            held += stimulus.psums[cycle] * stimulus.added[cycle]
            assert (held >> self.sum_width - 1 == held >> 63).all(), "a sum that does not fit"
            if stimulus.final[cycle]:
                cycles.append(cycle + 3)
                sums.append(held.copy())
                held[:] = 0
        return dict(zip(cycles, pack(np.array(sums), self.sum_width)[1:], strict=True))

    async def play(self, stimulus: Stimulus, ready: int = 1, drain: int = 3) -> None:
        """Plays a stimulus, then `drain` cycles of garbage; all outputs are checked in each cycle.

        With fewer than 3 cycles of garbage, psums that were announced never come.
        """
        expected = self.expected(stimulus)
        announced = joined(stimulus, self.garbage(drain))
        added = joined(self.garbage(2), announced)
        cycles = zip(
            announced.valid.tolist(),
            announced.pixel.tolist(),
            announced.final.tolist(),
            added.added.tolist()[:-2],
            pack(added.psums, self.psum_width)[:-2],
            strict=True,
        )
        dut = self.dut
        names = ("pixel_valid_i", "pixel_i", "final_i", "psum_valid_i", "psum_i")
        for cycle, inputs in enumerate(cycles):
            for name, value in zip(names, inputs, strict=True):
                getattr(dut, name).value = value
            await ReadOnly()
            assert int(dut.ready_o.value) == ready, f"cycle {cycle}: ready_o"
            assert int(dut.sum_valid_o.value) == (cycle in expected), f"cycle {cycle}: sum_valid_o"
            if cycle in expected:
                word = int(dut.sum_o.value)
                assert word == expected[cycle], (
                    f"cycle {cycle}: expected {expected[cycle]:#x}, got {word:#x}"
                )
                self.compared += 1
            await RisingEdge(dut.clk_i)

    async def finish_all(self) -> None:
        """Finishes every pixel, which shows the sum that each pixel holds."""
        before = self.compared
        order = self.rng.permutation(self.pixels)
        ones = np.ones(self.pixels, bool)
        await self.play(Stimulus(ones, order, ones, ones, self.random_psums(self.pixels)))
        assert self.compared == before + self.pixels

    def random(self, n: int, density: float, finals: float, reuse: float) -> Stimulus:
        """Returns n cycles of random pixels, of which some repeat a pixel of 1 to 6 cycles before.

        density: share of valid pixels; finals: share of final ones; reuse: share of repeated ones.
        Three in ten valid pixels have no psums.
        """
        valid = self.rng.random(n) < density
        final = self.rng.random(n) < finals
        added = valid & (self.rng.random(n) < 0.7)
        _, pixel, _, _, psums = self.garbage(n)
        back = np.where(self.rng.random(n) < reuse, self.rng.integers(1, 7, n), 0)
        for cycle in range(n):
            pixel[cycle] = pixel[max(cycle - back[cycle], 0)]
            if valid[cycle]:
                pixel[cycle] %= self.pixels
        return Stimulus(valid, pixel, final, added, psums)


@cocotb.test()
async def random_pixels(dut):
    """Pixels are random, often the same again, finished or not, with psums or without."""
    bench = Accumulator(dut)
    await bench.start()
    for density, finals in itertools.product((0.3, 0.7, 1.0), (0.1, 0.5)):
        await bench.play(bench.random(350, density, finals, reuse=0.6))
    assert bench.compared > 100
    await bench.finish_all()


@cocotb.test()
async def the_same_pixel_again(dut):
    """A pixel comes again after 1 to 6 cycles with others; both visits are final or not."""
    bench = Accumulator(dut)
    await bench.start()
    flags = itertools.product((False, True), repeat=4)
    for distance, (first, second, *added) in itertools.product(range(1, 7), flags):
        stimulus = bench.random(distance + 1, 0.7, 0.3, 0)
        pixel = int(bench.rng.integers(bench.pixels))
        stimulus.pixel[1:-1] = (pixel + 1) % bench.pixels
        for cycle, final, psums in ((0, first, added[0]), (-1, second, added[1])):
            stimulus.pixel[cycle], stimulus.valid[cycle] = pixel, True
            stimulus.final[cycle], stimulus.added[cycle] = final, psums
        await bench.play(stimulus, drain=int(bench.rng.integers(3, 6)))
    await bench.finish_all()


@cocotb.test()
async def whole_tiles(dut):
    """Tiles come as in the core: every pixel in order, three times, the last time final."""
    bench = Accumulator(dut)
    await bench.start()
    n = 9 * bench.pixels
    final = np.arange(n) // bench.pixels % 3 == 2
    pixel = np.arange(n) % bench.pixels
    ones = np.ones(n, bool)
    await bench.play(Stimulus(ones, pixel, final, ones, bench.random_psums(n)))
    assert bench.compared == 3 * bench.pixels


@cocotb.test()
async def the_largest_and_the_smallest_sum(dut):
    """Even lanes go to one end of the range and odd lanes to the other end; then reversed."""
    bench = Accumulator(dut)
    await bench.start()
    ends = np.where(np.arange(bench.cols) % 2, 1, -1) * 2 ** (bench.sum_width - 1)
    ends -= ends > 0
    for target in (ends, ~ends):
        step = np.where(target > 0, bench.largest, bench.smallest)
        n = int(np.ceil(target / step).max())
        path = np.arange(n + 1)[:, None] * step
        path = np.clip(path, np.minimum(target, 0), np.maximum(target, 0))
        same, ones = np.full(n, bench.pixels - 1), np.ones(n, bool)
        last = np.arange(n) == n - 1
        await bench.play(Stimulus(ones, same, last, ones, np.diff(path, axis=0)))
    assert bench.compared == 2


@cocotb.test()
async def reset_clears_everything(dut):
    """The accumulator is ready PIXELS cycles after any reset; no sum from before is left."""
    bench = Accumulator(dut)
    await bench.start()
    for cut in range(1, 9):  # so that different pixels are under way at the reset
        await bench.play(bench.random(3 * bench.pixels // 2 + cut, 1.0, 0.3, 0.3), drain=0)
        await bench.reset(1 + cut % 2)
        if cut % 4 == 0:  # a second reset, while it clears
            await bench.clear(bench.pixels // 2)
            await bench.reset()
        await bench.clear()
        await bench.finish_all()


@cocotb.test()
async def places_are_cleared_in_order(dut):
    """Each place of the memory gets a zero, from the first on, one in each cycle."""
    bench = Accumulator(dut)
    await bench.start()
    await bench.reset()
    dut.pixel_valid_i.value = 0
    memory = dut.sums
    for place in range(bench.pixels):
        await ReadOnly()
        written = [
            int(memory[name].value) for name in ("write_i", "write_address_i", "write_data_i")
        ]
        assert written == [1, place, 0]
        await RisingEdge(dut.clk_i)
    await bench.finish_all()


@each_run("tb.test_accumulator")
def test_accumulator(run, simulator):
    run.on(simulator)
