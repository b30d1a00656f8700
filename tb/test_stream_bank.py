"""Packets are written to two banks of a memory with right words, cycles, lengths and resets."""

import itertools
from collections import Counter, deque

import cocotb
from cocotb.triggers import ReadOnly, RisingEdge

from tb.components.clock import start_clock
from tb.components.random_tiles import random_generator
from tb.modules.pytest_runs import each_run


class Stream:
    """The module with its clock, and a memory that takes its writes."""

    def __init__(self, dut):
        self.dut = dut
        self.rng = random_generator()
        self.words, self.width = int(dut.WORDS.value), int(dut.WIDTH.value)
        self.memory: dict[tuple[int, int], int] = {}  # (bank, address) → word
        self.seen = Counter()
        self.forget()

    def forget(self) -> None:
        """Sets the model to the state in which nothing has come, and bank 0 fills first."""
        self.packets = deque()  # (bank, words), the oldest first
        self.bank = 0
        self.coming: list[int] = []  # words of the packet that is not complete
        self.written = None  # (bank, address, word) of the beat before

    async def start(self) -> None:
        """Starts the clock and resets."""
        start_clock(self.dut.clk_i)
        await self.reset()

    async def reset(self) -> None:
        """Holds reset for one cycle with a beat, whose write does not count."""
        self.dut.rst_i.value = 1
        self.drive(True, 0, False, False)
        await RisingEdge(self.dut.clk_i)
        self.dut.rst_i.value = 0
        self.forget()
        self.drive(False, 0, False, False)
        await RisingEdge(self.dut.clk_i)

    def drive(self, valid: bool, word: int, last: bool, release: bool) -> None:
        """Sets the inputs of a cycle."""
        self.dut.tvalid_i.value = valid
        self.dut.tdata_i.value = word
        self.dut.tlast_i.value = last
        self.dut.release_i.value = release

    async def step(self, valid: bool, last: bool = False, release: bool = False) -> bool:
        """Runs one cycle with a random word and checks all outputs; returns whether it was taken.

        `release` counts only if a packet is there.
        """
        dut, word = self.dut, int.from_bytes(self.rng.bytes(self.width // 8 + 1), "little")
        word %= 2**self.width
        release = release and bool(self.packets)
        self.drive(valid, word, last, release)
        await ReadOnly()
        taken = valid and len(self.packets) < 2
        assert int(dut.tready_o.value) == (len(self.packets) < 2)
        assert int(dut.full_o.value) == bool(self.packets)
        assert int(dut.write_o.value) == (self.written is not None)
        if self.written:
            place = int(dut.write_bank_o.value), int(dut.write_address_o.value)
            self.memory[place] = int(dut.write_data_o.value)
            assert (*place, self.memory[place]) == self.written
        await RisingEdge(dut.clk_i)
        if release:
            self.packets.popleft()
            self.seen["released", len(self.packets)] += 1
        self.written = None
        if taken:
            if len(self.coming) < self.words:
                self.written = self.bank, len(self.coming), word
            self.coming.append(word)
        if taken and last:
            self.packets.append((self.bank, self.coming))
            self.bank, self.coming = 1 - self.bank, []
        self.seen["waits"] += valid and not taken
        return taken

    async def send(self, length: int, gaps: float = 0.0, release: float = 0.0) -> None:
        """Sends a packet of `length` beats, with idle cycles and releases in between.

        `gaps` and `release` are the probabilities of an idle cycle and of a release.
        """
        for beat in range(length):
            while self.rng.random() < gaps:
                await self.step(False, True, self.rng.random() < release)
            while not await self.step(True, beat == length - 1, self.rng.random() < release):
                pass

    async def check_oldest(self) -> None:
        """Checks the oldest packet in the memory, a cycle after its last write, and releases it."""
        await self.step(False)
        bank, words = self.packets[0]
        held = words[: self.words]
        assert int(self.dut.bank_o.value) == bank
        assert int(self.dut.length_o.value) == min(len(words), self.words + 1)
        assert [self.memory[bank, place] for place in range(len(held))] == held
        self.seen["length", min(len(words), self.words + 1)] += 1
        await self.step(False, release=True)


@cocotb.test()
async def packets_are_in_the_memory(dut):
    """Packets of one beat to more than a bank holds are in the memory, one or two at a time."""
    stream = Stream(dut)
    await stream.start()
    lengths = (1, 2, stream.words - 1, stream.words, stream.words + 1, stream.words + 9, 1)
    for gaps in (0.0, 0.4):
        for length in lengths:
            await stream.send(length, gaps)
            await stream.check_oldest()
        for first, second in itertools.pairwise(lengths):
            await stream.send(first, gaps)
            await stream.send(second, gaps)
            assert not await stream.step(True)
            await stream.check_oldest()
            await stream.check_oldest()
    assert stream.seen["length", stream.words + 1] > 4


@cocotb.test()
async def released_while_they_come(dut):
    """Packets and releases come at random, so that each bank is written as soon as it is free."""
    stream = Stream(dut)
    await stream.start()
    longest = min(stream.words, 20) + 1
    for release in (0.05, 0.3, 1.0):
        for length in stream.rng.integers(1, longest + 1, 30).tolist():
            await stream.send(length, 0.2, release)
    while stream.packets:
        await stream.check_oldest()
    assert min(stream.seen[key] for key in ("waits", ("released", 0), ("released", 1))) > 0


@cocotb.test()
async def reset_in_the_middle_forgets_everything(dut):
    """After a reset with any banks full or filling, the next packet begins at bank 0, word 0."""
    stream = Stream(dut)
    await stream.start()
    for packets in (0, 1, 2):
        for beats in (0, 1, 2):
            for _ in range(packets):
                await stream.send(2)
            for _ in range(beats):
                await stream.step(True)
            await stream.reset()
            await stream.send(1)
            await stream.send(2)
            await stream.check_oldest()
            await stream.check_oldest()
    assert stream.seen["length", 2] == 9


@each_run("tb.test_stream_bank")
def test_stream_bank(run, simulator):
    run.on(simulator)
