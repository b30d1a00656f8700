"""The pool agrees with NumPy: largest codes of 2 × 2 pixels, all else as it came, last, reset."""

import itertools
from dataclasses import dataclass

import cocotb
import numpy as np
from cocotb.triggers import ReadOnly, RisingEdge

from tb.components.clock import start_clock
from tb.components.packing import pack
from tb.components.random_tiles import random_generator
from tb.modules.pytest_runs import each_run


@dataclass
class Maps:
    """The results of a layer: maps of one size, whose pixels come row by row."""

    height: int
    width: int
    count: int = 1
    pool: bool = True


class Pool:
    """The pool with its clock, and the words that must leave."""

    def __init__(self, dut):
        self.dut = dut
        self.rng = random_generator()
        self.cols, self.width = int(dut.COLS.value), int(dut.WIDTH.value)
        self.widest = int(dut.POOL_WIDTH.value)
        self.left = self.dropped = 0  # numbers of results

    def words(self, count: int) -> list[int]:
        """Returns random words of a beat."""
        return pack(self.rng.integers(0, 2, (count, self.width)), 1)

    async def start(self) -> None:
        """Starts the clock and resets."""
        start_clock(self.dut.clk_i)
        self.tell(Maps(2, 2))
        await self.reset()

    def tell(self, maps: Maps) -> None:
        """Sets the inputs to those of a layer."""
        self.dut.pool_i.value = maps.pool
        self.dut.out_width_i.value = maps.width

    async def reset(self) -> None:
        """Holds reset for one cycle, in which a result comes that must not count."""
        self.dut.rst_i.value, self.dut.valid_i.value, self.dut.last_i.value = 1, 1, 0
        (self.dut.data_i.value,) = self.words(1)
        await RisingEdge(self.dut.clk_i)
        self.dut.rst_i.value = 0

    async def step(self, word: int | None, last: bool, expected: int | None) -> None:
        """Runs one cycle with or without a result, and checks all outputs in it."""
        dut = self.dut
        dut.valid_i.value = word is not None
        dut.last_i.value = last
        (garbage,) = self.words(1)
        dut.data_i.value = garbage if word is None else word
        await ReadOnly()
        assert int(dut.valid_o.value) == (expected is not None)
        assert int(dut.drop_o.value) == (word is not None and expected is None)
        if expected is not None:
            got = int(dut.data_o.value)
            assert got == expected, f"expected {expected:#x}, got {got:#x}"
            assert int(dut.last_o.value) == last
            self.left += 1
        self.dropped += word is not None and expected is None
        await RisingEdge(dut.clk_i)

    async def run(
        self,
        maps: Maps,
        codes: np.ndarray | None = None,
        gaps: float = 0.0,
        stop: int | None = None,
    ) -> None:
        """Runs a layer, or its first `stop` results; a beat has codes in its lowest bits alone.

        `codes` are int [count, height, width, COLS], by default random ones.
        """
        shape = (maps.count, maps.height, maps.width, self.cols)
        if codes is None:
            codes = self.rng.integers(0, 16, shape)
        if maps.pool:
            given, places = (
                pack(codes.reshape(-1, self.cols), 4),
                itertools.product(range(maps.count), range(maps.height), range(maps.width)),
            )
            largest = codes.reshape(shape[0], shape[1] // 2, 2, shape[2] // 2, 2, -1).max((2, 4))
            leaving = [
                pack(largest[n, y // 2, x // 2][None], 4)[0] if y % 2 and x % 2 else None
                for n, y, x in places
            ]
        else:
            given = leaving = self.words(len(codes.reshape(-1, self.cols)))
        self.tell(maps)
        for number, (word, expected) in enumerate(zip(given, leaving, strict=True)):
            if number == stop:
                return
            while self.rng.random() < gaps:
                await self.step(None, bool(self.rng.integers(2)), None)
            await self.step(word, number == len(given) - 1, expected)


@cocotb.test()
async def maps_of_every_even_size(dut):
    """Heights and widths from 2 to what the row holds, one and several maps, with gaps."""
    pool = Pool(dut)
    await pool.start()
    sides = sorted({2, 4, min(6, pool.widest), pool.widest} & set(range(2, pool.widest + 1, 2)))
    for height, width, count in itertools.product(sides, sides, (1, 3)):
        await pool.run(Maps(height, width, count), gaps=0.2 * (count == 3))
    assert pool.left * 3 == pool.dropped > 0


@cocotb.test()
async def every_code_in_every_place(dut):
    """Each of the four pixels holds the largest code once, by one and by all, in each lane."""
    pool = Pool(dut)
    await pool.start()
    for place, code in itertools.product(range(4), range(1, 16)):
        for below in sorted({0, code - 1}):
            codes = np.full((1, 2, pool.widest, pool.cols), below)
            lanes = pool.rng.random((pool.widest // 2, pool.cols)) < 0.7
            codes[0, place // 2, place % 2 :: 2][lanes] = code
            await pool.run(Maps(2, pool.widest), codes)


@cocotb.test()
async def what_is_not_pooled_passes(dut):
    """All bits of results of any size pass, also odd ones and wider ones than the row holds."""
    pool = Pool(dut)
    await pool.start()
    for height, width in ((1, 1), (3, 5), (2, pool.widest + 3), (3, 300), (1, 511)):
        await pool.run(Maps(height, width, 2, pool=False), gaps=0.1)
        await pool.run(Maps(2, 2), gaps=0.1)
    assert pool.dropped == 5 * 3


@cocotb.test()
async def reset_in_the_middle(dut):
    """After a reset the next result is the first of a map."""
    pool = Pool(dut)
    await pool.start()
    maps = Maps(4, min(4, pool.widest))
    for stop in range(1, maps.height * maps.width):
        await pool.run(maps, stop=stop)
        await pool.reset()
        await pool.run(maps)


@cocotb.test()
async def layers_one_after_another(dut):
    """Pooled layers and others follow each other without a gap."""
    pool = Pool(dut)
    await pool.start()
    for _ in range(40):
        height, width = 2 * pool.rng.integers(1, pool.widest // 2 + 1, 2)
        which = bool(pool.rng.integers(2))
        if not which:
            height, width = pool.rng.integers(1, 7, 2)
        await pool.run(Maps(int(height), int(width), int(pool.rng.integers(1, 3)), which))


@each_run("tb.test_output_pool")
def test_output_pool(run, simulator):
    run.on(simulator)
