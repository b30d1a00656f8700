"""Packets fill two banks with right places, waits, order, lengths, releases and resets."""

import itertools
from collections import Counter, deque

import cocotb
from cocotb.triggers import ReadOnly, RisingEdge

from tb.components.clock import start_clock
from tb.components.random_tiles import random_generator
from tb.modules.pytest_runs import each_run


class Banks:
    """The module with its clock, and a model of the banks."""

    def __init__(self, dut):
        self.dut = dut
        self.rng = random_generator()
        self.words = int(dut.WORDS.value)
        self.seen = Counter()
        self.forget()

    def forget(self) -> None:
        """Sets the model to the state in which nothing has come, and bank 0 fills first."""
        self.packets = deque()  # (bank, length), the oldest first
        self.bank = 0
        self.beats = 0

    async def start(self) -> None:
        """Starts the clock and resets."""
        start_clock(self.dut.clk_i)
        await self.reset()

    def drive(self, valid: bool, last: bool, release: bool) -> None:
        """Sets the inputs of a cycle."""
        self.dut.tvalid_i.value = valid
        self.dut.tlast_i.value = last
        self.dut.release_i.value = release

    async def reset(self, *inputs: bool) -> None:
        """Holds reset for one cycle with these inputs, by default random ones."""
        self.dut.rst_i.value = 1
        self.drive(*(inputs or (self.rng.random(3) < 0.5).tolist()))
        await RisingEdge(self.dut.clk_i)
        self.dut.rst_i.value = 0
        self.forget()

    def outputs(self, valid: bool) -> dict[str, int]:
        """Returns the outputs that are defined in this cycle."""
        ready = len(self.packets) < 2
        write = valid and ready and self.beats < self.words
        outputs = {"tready_o": ready, "write_o": write, "full_o": bool(self.packets)}
        if write:
            outputs |= {"write_bank_o": self.bank, "write_address_o": self.beats}
        if self.packets:
            outputs |= dict(zip(("bank_o", "length_o"), self.packets[0], strict=True))
        return outputs

    async def step(self, valid: bool, last: bool, release: bool) -> bool:
        """Runs one cycle and checks all outputs; returns whether a beat was taken.

        `release` counts only if a packet is there.
        """
        release = release and bool(self.packets)
        self.drive(valid, last, release)
        await ReadOnly()
        for name, expected in self.outputs(valid).items():
            got = int(getattr(self.dut, name).value)
            assert got == expected, f"{name} is {got}, expected {int(expected)}, {self.packets}"
            self.seen[name] += 1
        await RisingEdge(self.dut.clk_i)
        taken = valid and len(self.packets) < 2
        end = taken and last
        self.seen["waits"] += valid and not taken
        self.seen["taken while the other is released"] += end and release
        self.seen["released from two"] += release and len(self.packets) == 2
        if release:
            self.packets.popleft()
        if taken:
            self.beats += 1
        if end:
            self.packets.append((self.bank, min(self.beats, self.words + 1)))
            self.seen["length", self.packets[-1][1]] += 1
            self.bank, self.beats = 1 - self.bank, 0
        return taken

    async def send(self, length: int, gaps: float = 0.0, release: float = 0.0) -> None:
        """Sends a packet of `length` beats, with idle cycles and releases in between.

        `gaps` and `release` are the probabilities of an idle cycle and of a release.
        """
        rng = self.rng
        for beat in range(length):
            while rng.random() < gaps:
                await self.step(False, bool(rng.integers(2)), rng.random() < release)
            while not await self.step(True, beat == length - 1, rng.random() < release):
                pass

    async def release_all(self) -> None:
        """Releases every packet, and runs one more cycle to see that none is left."""
        while self.packets:
            await self.step(False, True, True)
        await self.step(False, True, False)


@cocotb.test()
async def random_packets(dut):
    """Packets have lengths around the limits, gaps and rare releases; every situation occurs."""
    banks = Banks(dut)
    await banks.start()
    words = min(banks.words, 40)  # a larger bank is filled by the next test
    edges = {1, 2, words - 1, words, words + 1, words + 2, 3 * words} - {0}
    for gaps, release in itertools.product((0.0, 0.3, 0.7), (0.03, 0.3, 1.0)):
        lengths = [*edges, *banks.rng.integers(1, words + 1, 3).tolist()]
        for length in banks.rng.permutation(lengths).tolist():
            await banks.send(length, gaps, release)
    await banks.release_all()
    assert min(banks.seen.values()) > 0, banks.seen
    assert {("length", min(n, banks.words + 1)) for n in edges} <= set(banks.seen)


@cocotb.test()
async def lengths_around_a_bank(dut):
    """In packets longer than a bank, writes stop, and the length stays at WORDS + 1."""
    banks = Banks(dut)
    await banks.start()
    for length in (banks.words - 1, banks.words, banks.words + 1, banks.words + 40, 1):
        if length:
            await banks.send(length)
            await banks.step(False, True, False)
            await banks.step(False, False, True)
    await banks.release_all()
    for length in (1, banks.words, banks.words + 1):
        assert banks.seen["length", length] > 0
    assert banks.seen["length", banks.words + 1] >= 2
    assert banks.seen["write_address_o"] >= 3 * banks.words


@cocotb.test()
async def both_full(dut):
    """The stream waits until a bank is released, and may go on in the very next cycle."""
    banks = Banks(dut)
    await banks.start()
    for _ in range(3):  # so that either bank holds the older packet at some time
        while len(banks.packets) < 2:
            await banks.send(2)
        for _ in range(3):
            assert not await banks.step(True, True, False)
        assert not await banks.step(True, True, True)
        assert await banks.step(True, True, False)
        assert not await banks.step(True, True, True)
        assert await banks.step(True, True, True)
        assert await banks.step(True, True, True)
    await banks.release_all()


@cocotb.test()
async def release_with_the_last_beat(dut):
    """A bank is released in the cycle in which the packet in the other one ends."""
    banks = Banks(dut)
    await banks.start()
    await banks.send(3)
    for length in (1, 2, 1, 1, 3, 4, 1):
        for _ in range(length - 1):
            assert await banks.step(True, False, False)
        assert await banks.step(True, True, True)
        assert len(banks.packets) == 1
        await banks.step(False, True, False)
    assert banks.seen["taken while the other is released"] == 7
    await banks.release_all()


@cocotb.test()
async def reset_in_the_middle_forgets_everything(dut):
    """After any reset, whatever was there before, bank 0 begins at word 0."""
    banks = Banks(dut)
    await banks.start()
    cases = list(itertools.product((0, 1), (0, 1, 2), (0, 1, 2), *[(False, True)] * 3))
    for released, packets, beats, valid, last, release in cases:
        for _ in range(released):
            await banks.send(1)
            await banks.release_all()
        for _ in range(packets):
            await banks.send(2)
        for _ in range(beats):
            await banks.step(True, False, False)
        await banks.reset(valid, last, release and packets > 0)
        await banks.step(False, True, False)
        for length in (1, 2):
            await banks.send(length)
            await banks.step(False, True, False)
        await banks.release_all()
        await banks.reset()
    assert banks.seen["length", 2] > len(cases)


@each_run("tb.test_bank_control")
def test_bank_control(run, simulator):
    run.on(simulator)
