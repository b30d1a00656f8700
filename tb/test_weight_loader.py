"""The columns of each tile come one per cycle, the last one first, and the next tile follows."""

import cocotb
from cocotb.triggers import ReadOnly, RisingEdge

from tb.components.clock import start_clock
from tb.components.random_tiles import random_generator
from tb.modules.pytest_runs import each_run


class LoaderBench:
    """The module `weight_loader` with a clock and a model of what is left to load."""

    def __init__(self, dut):
        self.dut = dut
        self.cols = int(dut.COLS.value)
        self.rng = random_generator()
        self.left = 0  # columns

    async def start(self) -> None:
        """Starts the clock and resets."""
        start_clock(self.dut.clk_i)
        self.dut.rst_i.value = 1
        self.dut.load_i.value = 0
        self.dut.hold_i.value = 0
        await RisingEdge(self.dut.clk_i)
        self.dut.rst_i.value = 0

    @property
    def ready(self) -> bool:
        """Returns whether a load may come now, because no column is left after this cycle."""
        return self.left <= 1

    def address(self) -> int:
        """Returns a random address of a tile whose last word also has a 16-bit address."""
        return self.cols * int(self.rng.integers(2**16 // self.cols))

    async def cycle(
        self, address: int, load: bool = False, reset: bool = False, hold: bool = False
    ) -> None:
        """Runs one cycle with these inputs and checks the outputs."""
        self.dut.address_i.value = address
        self.dut.load_i.value = load
        self.dut.rst_i.value = reset
        self.dut.hold_i.value = hold
        expected = {
            "valid_o": self.left > 0 and not hold,
            "ready_o": self.left == 0 or (self.left == 1 and not hold),
        }
        if self.left:
            expected |= {"col_o": self.left - 1, "address_o": address + self.left - 1}
        await ReadOnly()
        for name, value in expected.items():
            found = int(getattr(self.dut, name).value)
            assert found == value, f"{name}: expected {value}, got {found}, {self.left} left"
        await RisingEdge(self.dut.clk_i)
        after = self.left if hold else max(self.left - 1, 0)
        self.left = 0 if reset else self.cols if load else after

    async def tile(self, address: int, load_next: bool) -> None:
        """Runs the cycles of a tile's columns, the last one with the next load if `load_next`."""
        for _ in range(self.cols - 1):
            await self.cycle(address)
        await self.cycle(address, load=load_next)


@cocotb.test()
async def tiles_with_and_without_a_gap(dut):
    """A tile takes COLS cycles; its address counts from the cycle after its load."""
    bench = LoaderBench(dut)
    await bench.start()
    following = False
    for _ in range(100):
        if not following:
            for _ in range(bench.rng.integers(4)):
                await bench.cycle(bench.address())
            await bench.cycle(bench.address(), load=True)
        following = bool(bench.rng.integers(2))
        await bench.tile(bench.address(), following)


@cocotb.test()
async def lowest_and_highest_address(dut):
    """At the lowest and highest address, no carry is lost, and none is added."""
    bench = LoaderBench(dut)
    await bench.start()
    await bench.cycle(0, load=True)
    for number in (0, 2**16 - bench.cols, 2**15 - 1, 2**8 - 1):
        address = number // bench.cols * bench.cols
        await bench.tile(address, load_next=True)


@cocotb.test()
async def reset_ends_a_load(dut):
    """After a reset at any column no column is left, also when a load comes with the reset."""
    bench = LoaderBench(dut)
    await bench.start()
    for columns in range(bench.cols + 1):
        address = bench.address()
        await bench.cycle(address, load=True)
        for _ in range(columns):
            await bench.cycle(address)
        await bench.cycle(address, load=bench.ready, reset=True)
        for _ in range(bench.cols + 2):
            await bench.cycle(address)


@cocotb.test()
async def held_columns_wait(dut):
    """No column is lost or repeated when cycles are held, also before the first or last column."""
    bench = LoaderBench(dut)
    await bench.start()
    for _ in range(60):
        address, chance = bench.address(), bench.rng.choice((0.2, 0.8))
        await bench.cycle(address, load=True)
        while bench.left:
            await bench.cycle(address, hold=bool(bench.rng.random() < chance))
        for _ in range(int(bench.rng.integers(0, 3))):
            await bench.cycle(address, hold=bool(bench.rng.random() < chance))


@each_run("tb.test_weight_loader")
def test_weight_loader(run, simulator):
    run.on(simulator)
