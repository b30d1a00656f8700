"""Each of two banks has all its words, and a write to one bank never changes the other."""

import cocotb

from tb.modules.pytest_runs import each_run
from tb.test_ram import Memory, check_random_traffic


class BankedMemory(Memory):
    """The memory of test_ram.py, in which a place is a bank and an address."""

    def all_places(self) -> list:
        """Returns every place that exists."""
        words = int(self.dut.WORDS.value)
        return [(bank, address) for bank in range(2) for address in range(words)]

    def drive(self, port: str, place) -> None:
        """Puts a place on the port "read" or "write"."""
        bank, address = place
        getattr(self.dut, f"{port}_bank_i").value = bank
        getattr(self.dut, f"{port}_address_i").value = address


@cocotb.test()
async def random_traffic(dut):
    """Both ports work at once, on the edges of both banks and on one address in both."""
    memory = BankedMemory(dut)
    words = len(memory.places) // 2
    addresses = {0, words // 2, words - 1, 2 ** ((words - 1).bit_length() - 1)}
    edges = [(bank, address) for bank in range(2) for address in sorted(addresses)]
    await check_random_traffic(memory, edges)


@cocotb.test()
async def one_fills_while_the_other_is_read(dut):
    """Each cycle writes one bank and reads the other one; then all words are read."""
    memory = BankedMemory(dut)
    await memory.start()
    words = int(dut.WORDS.value)
    for fill in (0, 1, 0):
        for write, read in memory.rng.permuted([range(words)] * 2, axis=1).T.tolist():
            await memory.step((1 - fill, read), (fill, write), memory.random_word())
    await memory.step((0, 0))
    assert memory.compared == 2 * words
    assert len(memory.words) == 2 * words
    await memory.read_back()


@each_run("tb.test_banked_ram")
def test_banked_ram(run, simulator):
    run.on(simulator)
