"""The FIFO agrees with a deque in order, reservations, held words, full, empty and reset."""

from collections import Counter, deque

import cocotb
from cocotb.triggers import ReadOnly, RisingEdge

from tb.components.clock import start_clock
from tb.components.packing import pack
from tb.components.random_tiles import random_generator
from tb.modules.pytest_runs import each_run


class Fifo:
    """The FIFO with its clock, and a model of what it holds."""

    def __init__(self, dut):
        self.dut = dut
        self.rng = random_generator()
        self.width, self.depth = int(dut.WIDTH.value), int(dut.DEPTH.value)
        self.entries = deque()
        self.coming = 0  # number of reserved places whose words have not come
        self.seen = Counter()
        self.words = []

    async def start(self) -> None:
        """Starts the clock and resets."""
        start_clock(self.dut.clk_i)
        await self.reset()

    def word(self) -> int:
        """Returns a random word."""
        if not self.words:
            self.words = pack(self.rng.integers(0, 2, (1000, self.width)), 1)
        return self.words.pop()

    @property
    def free(self) -> int:
        """Number of entries that are neither filled nor reserved."""
        return self.depth - self.coming - len(self.entries)

    async def reset(self) -> None:
        """Holds reset for one cycle, in which the inputs are random."""
        self.dut.rst_i.value = 1
        for handle in (self.dut.reserve_i, self.dut.valid_i, self.dut.drop_i, self.dut.ready_i):
            handle.value = int(self.rng.integers(2))
        self.dut.data_i.value = self.word()
        await RisingEdge(self.dut.clk_i)
        self.dut.rst_i.value = 0
        self.entries.clear()
        self.coming = 0

    async def step(self, reserve: bool, valid: bool, ready: bool, drop: bool = False) -> None:
        """Runs one cycle and checks all outputs.

        `reserve` counts only while a place is free, `valid` only while a place is reserved, and
        `drop`, which gives a reserved place back, then and without `valid`.
        """
        reserve, valid = reserve and self.free > 0, valid and self.coming > 0
        drop = drop and not valid and self.coming > 0
        word = self.word()  # without valid the word may be anything
        self.dut.reserve_i.value = reserve
        self.dut.valid_i.value = valid
        self.dut.drop_i.value = drop
        self.dut.data_i.value = word
        self.dut.ready_i.value = ready
        await ReadOnly()
        assert int(self.dut.reservable_o.value) == (self.free > 0), f"{self.free} free"
        assert int(self.dut.valid_o.value) == bool(self.entries), f"{len(self.entries)} entries"
        if self.entries:
            got = int(self.dut.data_o.value)
            assert got == self.entries[0], f"expected {self.entries[0]:#x}, got {got:#x}"
        await RisingEdge(self.dut.clk_i)
        pop = ready and bool(self.entries)
        self.seen.update(
            {
                "pop": pop,
                "held": bool(self.entries) and not ready,
                "no place": self.free == 0,
                "full": len(self.entries) == self.depth,
                "empty": not self.entries,
                "pop without a place": pop and self.free == 0,
                "pop and reserve": pop and reserve,
                "pop and fill": pop and valid,
                "pop the last one and fill": len(self.entries) == 1 and pop and valid,
                "all at once": pop and valid and reserve,
                "drop": drop,
                "drop without a place": drop and self.free == 0,
                "drop and pop": drop and pop and not reserve,
                "drop and reserve": drop and reserve and not pop,
                "drop, pop and reserve": drop and reserve and pop,
            }
        )
        if pop:
            self.entries.popleft()
        self.coming += reserve - valid - drop
        if valid:
            self.entries.append(word)

    async def drain(self) -> None:
        """Takes words until none is left, and runs one more cycle to check that none comes."""
        while self.free < self.depth:
            await self.step(False, True, True)
        await self.step(False, False, True)


@cocotb.test()
async def random_traffic(dut):
    """Phases fill the FIFO, empty it, or keep it in between; every situation occurs."""
    fifo = Fifo(dut)
    await fifo.start()
    rates = (0.0, 0.2, 0.5, 0.9, 1.0)
    for _ in range(40):
        chances = fifo.rng.choice(rates, 4)
        for reserve, valid, ready, drop in fifo.rng.random((2 * fifo.depth, 4)) < chances:
            await fifo.step(bool(reserve), bool(valid), bool(ready), bool(drop))
    for reserve, valid, ready, drop in fifo.rng.random((40 * fifo.depth, 4)) < 0.6:
        await fifo.step(bool(reserve), bool(valid), bool(ready), bool(drop))
    await fifo.drain()
    assert fifo.seen["pop"] > 5 * fifo.depth
    assert min(fifo.seen.values()) > 0, fifo.seen


@cocotb.test()
async def fill_and_empty(dut):
    """The FIFO takes DEPTH reservations and entries; a pop frees a place one cycle later."""
    fifo = Fifo(dut)
    await fifo.start()
    for _ in range(fifo.depth + 1):  # from every position of the pointers
        while fifo.free:
            await fifo.step(True, False, False)
        assert fifo.coming == fifo.depth
        while fifo.coming:
            await fifo.step(True, True, False)
        for _ in range(3):
            await fifo.step(True, True, False)
        for _ in range(fifo.depth):  # each place that becomes free is taken and filled at once
            await fifo.step(True, True, True)
        await fifo.drain()
        await fifo.step(True, False, True)
        await fifo.drain()
    assert fifo.seen["full"] > 3 * fifo.depth
    assert fifo.seen["pop"] > fifo.depth**2


@cocotb.test()
async def reset_in_the_middle_empties_it(dut):
    """After one cycle of reset the FIFO is empty, and all places are free, also reserved ones."""
    fifo = Fifo(dut)
    await fifo.start()
    held = 0
    for _ in range(8):
        for reserve, valid, ready in fifo.rng.random((2 * fifo.depth, 3)) < (0.9, 0.7, 0.3):
            await fifo.step(bool(reserve), bool(valid), bool(ready))
        held += len(fifo.entries)
        await fifo.reset()
        await fifo.step(False, False, True)
        while fifo.free:
            await fifo.step(True, True, False)
        await fifo.step(False, True, False)
        await fifo.reset()
        for _ in range(4):
            await fifo.step(False, False, True)
    assert held > 0


@each_run("tb.test_output_fifo")
def test_output_fifo(run, simulator):
    run.on(simulator)
