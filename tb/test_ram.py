"""A read gives the word written last, one cycle later; no write changes another word."""

import cocotb
from cocotb.triggers import ReadOnly, RisingEdge

from tb.components.clock import start_clock
from tb.components.random_tiles import random_generator
from tb.modules.pytest_runs import each_run


class Memory:
    """The memory with its clock, and a model of each word in it."""

    def __init__(self, dut):
        self.dut = dut
        self.rng = random_generator()
        self.width = int(dut.WIDTH.value)
        self.places = self.all_places()
        self.words = {}  # place → word that was written last
        self.due = None  # place and word that the last cycle read, if they are defined
        self.compared = 0

    def all_places(self) -> list:
        """Returns every place that exists."""
        return list(range(int(self.dut.DEPTH.value)))

    def drive(self, port: str, place) -> None:
        """Puts a place on the port "read" or "write"."""
        getattr(self.dut, f"{port}_address_i").value = place

    async def start(self) -> None:
        """Starts the clock, without a write."""
        start_clock(self.dut.clk_i)
        self.dut.write_i.value = 0
        await RisingEdge(self.dut.clk_i)

    def random_word(self) -> int:
        """Returns a word of WIDTH random bits."""
        return int.from_bytes(self.rng.bytes(self.width // 8 + 1), "little") % 2**self.width

    def random_place(self):
        """Returns a random place."""
        return self.places[self.rng.integers(len(self.places))]

    def shuffled(self) -> list:
        """Returns all places in a random order."""
        return [self.places[i] for i in self.rng.permutation(len(self.places))]

    async def step(self, read, write=None, word: int | None = None) -> None:
        """Runs a cycle: reads a place, writes another or none, and checks the last cycle's read.

        Without a write, the write port has a random place and word.
        """
        self.dut.write_i.value = write is not None
        self.drive("write", self.random_place() if write is None else write)
        self.dut.write_data_i.value = self.random_word() if write is None else word
        self.drive("read", read)
        await ReadOnly()
        if self.due is not None:
            place, expected = self.due
            got = int(self.dut.read_data_o.value)
            assert got == expected, f"place {place}: expected {expected:#x}, got {got:#x}"
            self.compared += 1
        await RisingEdge(self.dut.clk_i)
        defined = read in self.words and read != write
        self.due = (read, self.words[read]) if defined else None
        if write is not None:
            self.words[write] = word

    async def read_back(self) -> None:
        """Reads and checks every place that was written."""
        self.due, self.compared = None, 0
        for place in [*(p for p in self.shuffled() if p in self.words), self.places[0]]:
            await self.step(place)
        assert self.compared == len(self.words) > 0


async def check_random_traffic(memory: Memory, edges: list, cycles: int = 1500) -> None:
    """Reads and writes a few places, often the same one; then reads all of them."""
    await memory.start()
    places = edges + [memory.random_place() for _ in range(4)]
    for place in places:
        await memory.step(places[0], place, memory.random_word())
    memory.compared = 0
    for read, write, writes in zip(
        memory.rng.integers(len(places), size=cycles),
        memory.rng.integers(len(places), size=cycles),
        memory.rng.random(cycles) < 0.5,
        strict=True,
    ):
        if writes:
            await memory.step(places[read], places[write], memory.random_word())
        else:
            await memory.step(places[read])
    assert memory.compared > cycles // 3
    await memory.read_back()


@cocotb.test()
async def the_whole_memory(dut):
    """The memory is filled and read, and then six times half of it is inverted and all is read."""
    memory = Memory(dut)
    await memory.start()
    written = memory.places[0]
    for place in memory.shuffled():
        await memory.step(written, place, memory.random_word())
        written = place
    await memory.step(written)
    assert len(memory.words) == int(dut.DEPTH.value)
    await memory.read_back()
    orders = [memory.shuffled() for _ in range(3)]
    for half in (order[part::2] for order in orders for part in (0, 1)):
        for place in half:
            inverted = memory.words[place] ^ 2**memory.width - 1
            await memory.step(memory.random_place(), place, inverted)
        await memory.read_back()


@cocotb.test()
async def random_traffic(dut):
    """Both ports work at once, on addresses that differ in one bit, and on the last address."""
    memory = Memory(dut)
    depth = len(memory.places)
    edges = [0, *(2**bit for bit in range(depth.bit_length()) if 2**bit < depth), depth - 1]
    await check_random_traffic(memory, edges)


@each_run("tb.test_ram")
def test_ram(run, simulator):
    run.on(simulator)
