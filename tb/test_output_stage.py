"""The output stage agrees with NumPy: modes, thresholds in two banks, latency, last, reset."""

import itertools
from dataclasses import dataclass

import cocotb
import numpy as np
from cocotb.triggers import ReadOnly, RisingEdge, Timer

from pymodel.hardware.output_scaling import scale, write_words
from pymodel.hardware.registers import Mode
from tb.components.clock import start_clock
from tb.components.packing import pack
from tb.components.random_layers import random_scaling
from tb.components.random_tiles import random_generator
from tb.modules.pytest_runs import each_run
from tb.sim.waves import CLOCK_PERIOD_NS

SUMS, RELU, CODES, SCALED = (Mode.SUMS, Mode.RELU, Mode.CODES, Mode.SCALED)
LATENCY = 6


@dataclass
class Layer:
    """The inputs that describe a layer to the stage."""

    mode: int
    tiles: int
    pixels: int
    bank: int = 0  # the bank of its thresholds


class Stage:
    """The output stage with its clock, and a model of its banks and outputs."""

    def __init__(self, dut):
        self.dut = dut
        self.rng = random_generator()
        self.cols, self.width, self.tiles = (
            int(dut[name].value) for name in ("COLS", "SUM_WIDTH", "TILES")
        )
        self.lowest, self.highest = -(2 ** (self.width - 1)), 2 ** (self.width - 1) - 1
        self.tables = np.zeros((2, self.tiles, 16, self.cols), np.int64)
        self.cycle = 0
        self.expected = {}  # cycle → last and word
        self.compared = 0
        self.scaling = bool(int(dut.OUTPUT_SCALING.value))
        self.modes = (SUMS, RELU, CODES, CODES, *((SCALED, SCALED) if self.scaling else ()))
        self.codes = set()  # pairs that came out: whether the code falls with the sum, and the code
        self.garbage = itertools.cycle(self.pack(self.any(61)))

    def pack(self, vectors: np.ndarray) -> list[int]:
        """Returns sums or thresholds [n, COLS] as words."""
        return pack(vectors, self.width)

    def any(self, *shape: int) -> np.ndarray:
        """Returns random numbers [*shape, COLS]; some are at an end of the range or near 0."""
        values = self.rng.integers(self.lowest, self.highest + 1, (*shape, self.cols))
        edges = self.rng.choice((self.lowest, -1, 0, 1, self.highest), values.shape)
        return np.where(self.rng.random(values.shape) < 0.2, edges, values)

    async def start(self) -> None:
        """Starts the clock and resets."""
        start_clock(self.dut.clk_i)
        self.dut.write_i.value = 0
        self.tell(Layer(SUMS, 1, 1))
        await self.reset()

    def tell(self, layer: Layer) -> None:
        """Sets the inputs to those of this layer."""
        self.dut.mode_i.value = layer.mode
        self.dut.output_tiles_i.value = layer.tiles
        self.dut.out_tile_pixels_i.value = layer.pixels
        self.dut.read_bank_i.value = layer.bank

    async def reset(self) -> None:
        """Holds reset for one cycle with a sum that must not count; earlier results are dropped."""
        self.dut.rst_i.value = 1
        self.dut.sum_valid_i.value = 1
        self.dut.sum_i.value = next(self.garbage)
        await RisingEdge(self.dut.clk_i)
        self.dut.rst_i.value = 0
        self.expected.clear()

    async def step(self, word: int | None = None, write: tuple | None = None) -> None:
        """Runs one cycle, with or without a sum and a write, and checks all outputs.

        word: the sum, or None; write: (bank, address, word), or None.
        """
        dut = self.dut
        dut.sum_valid_i.value = word is not None
        dut.sum_i.value = next(self.garbage) if word is None else word
        dut.write_i.value = write is not None
        bank, address, data = write or (self.cycle % 2, self.cycle % 16, next(self.garbage))
        dut.write_bank_i.value, dut.write_address_i.value = bank, address
        dut.write_data_i.value = data
        await ReadOnly()
        result = self.expected.pop(self.cycle, None)
        assert int(dut.valid_o.value) == (result is not None), f"cycle {self.cycle}: valid_o"
        if result:
            last, word = result
            got = int(dut.data_o.value)
            assert got == word, f"cycle {self.cycle}: expected {word:#x}, got {got:#x}"
            assert int(dut.last_o.value) == last, f"cycle {self.cycle}: last_o"
            self.compared += 1
        await RisingEdge(dut.clk_i)
        self.cycle += 1

    def random_table(self, tiles: int) -> np.ndarray:
        """Returns thresholds [tiles, 16, COLS]: far apart, close, equal, or at either end."""
        rng, shape = self.rng, (tiles, 15, self.cols)
        wide = rng.integers(self.lowest, self.highest + 1, shape)
        centre = rng.integers(self.lowest // 2, self.highest // 2, (tiles, 1, self.cols))
        ends = rng.choice((self.lowest, self.highest), shape)
        steps = np.broadcast_to(np.arange(15)[:, None], shape)
        kinds = (
            wide,
            wide,
            centre + rng.integers(-9, 10, shape),
            centre + steps,
            centre + 0 * steps,
            np.where(rng.random(shape) < 0.5, ends, wide),
            ends,
            *(0 * steps + e for e in (self.lowest, self.highest)),
        )
        kind = rng.integers(len(kinds), size=(tiles, 1, self.cols))
        table = self.any(tiles, 16)
        table[:, 1:] = np.sort(np.choose(kind, kinds), axis=1)
        return table

    def random_scaling(self, tiles: int) -> np.ndarray:
        """Returns tables [tiles, 16, COLS] of mode SCALED; sums of all sizes spread over codes."""
        lanes = tiles * self.cols
        largest = 2.0 ** self.rng.integers(0, self.width, lanes)
        signed = bool(self.rng.integers(2))
        table = random_scaling(self.rng, largest, self.width, signed)
        return table.reshape(tiles, self.cols, 16).transpose(0, 2, 1)

    def writes(self, bank: int, table: np.ndarray) -> list[tuple[int, int, int]]:
        """Returns writes of a bank's first thresholds, in random order, and updates the model."""
        self.tables[bank, : len(table)] = table
        words = self.pack(table.reshape(-1, self.cols))
        order = self.rng.permutation(len(words)).tolist()
        return [(bank, address, words[address]) for address in order]

    async def load(self, bank: int, table: np.ndarray) -> None:
        """Writes the first thresholds of a bank."""
        for write in self.writes(bank, table):
            await self.step(write=write)

    def near(self, layer: Layer) -> np.ndarray:
        """Returns sums [tiles · pixels, COLS]; most differ from one of its thresholds by 0 or 1."""
        sums = self.any(layer.tiles * layer.pixels)
        if layer.mode != CODES:
            return sums
        tables = np.repeat(self.tables[layer.bank, : layer.tiles], layer.pixels, axis=0)
        choice = self.rng.integers(1, 16, (len(sums), 1, self.cols))
        near = np.take_along_axis(tables, choice, 1)[:, 0] + self.rng.integers(-1, 2, sums.shape)
        near = np.clip(near, self.lowest, self.highest)
        near = np.where(tables[:, 0] & 1, ~near, near)
        return np.where(self.rng.random(sums.shape) < 0.8, near, sums)

    def results(self, layer: Layer, sums: np.ndarray) -> list[int]:
        """Returns the words that must come out for `sums` [tiles · pixels, COLS]."""
        if layer.mode == SUMS:
            return self.pack(sums)
        if layer.mode == RELU:
            return self.pack(np.maximum(sums, 0))
        if layer.mode == SCALED:
            return pack(self.scaled(layer, sums), 8)
        tables = np.repeat(self.tables[layer.bank, : layer.tiles], layer.pixels, axis=0)
        falls = tables[:, 0] & 1
        compared = np.where(falls, ~sums, sums)
        codes = (compared[:, None] >= tables[:, 1:]).sum(axis=1)
        self.codes |= set(zip(falls.ravel().tolist(), codes.ravel().tolist(), strict=True))
        return pack(codes, 4)

    def scaled(self, layer: Layer, sums: np.ndarray) -> np.ndarray:
        """Returns the codes [tiles · pixels, COLS] of `sums` in mode SCALED."""
        tables = self.tables[layer.bank, : layer.tiles].transpose(0, 2, 1).reshape(-1, 16)
        maps = sums.reshape(layer.tiles, layer.pixels, self.cols).transpose(1, 0, 2)
        codes = scale(maps.reshape(1, layer.pixels, -1).transpose(0, 2, 1), tables, self.width)
        codes = codes.reshape(layer.tiles, self.cols, layer.pixels)
        return codes.transpose(0, 2, 1).reshape(-1, self.cols)

    async def run(
        self,
        layer: Layer,
        sums: np.ndarray | None = None,
        gaps: float = 0.0,
        writes: list = (),
        stop: int | None = None,
    ) -> None:
        """Runs a whole layer until its last pixel has left, while `writes` are made.

        With `stop`, only the first `stop` sums enter, and the results under way are not awaited.
        """
        self.tell(layer)
        sums = self.near(layer) if sums is None else sums
        results = self.results(layer, sums)
        writes = iter(writes)
        await self.step(write=next(writes, None))  # the first tile's thresholds are read
        for index, word in enumerate(self.pack(sums)[:stop]):
            while self.rng.random() < gaps:
                await self.step(write=next(writes, None))
            self.expected[self.cycle + LATENCY] = (index == len(sums) - 1, results[index])
            await self.step(word, next(writes, None))
            if layer.pixels == 1:  # the next tile is known a cycle later
                await self.step(write=next(writes, None))
        if stop is None:
            while self.expected:
                await self.step(write=next(writes, None))
        for write in writes:
            await self.step(write=write)


@cocotb.test()
async def sums_and_relu_need_no_thresholds(dut):
    """Without thresholds, extremes, one pixel, one tile and more tiles than TILES are right."""
    stage = Stage(dut)
    await stage.start()
    most = min(stage.tiles + 1, 255)
    shapes = [(1, 1), (1, 1), (7, 1), (1, 9), (255, 1), (3, 5), (2, 300), (most, 3)]
    for (tiles, pixels), mode, gaps in itertools.product(shapes, (SUMS, RELU), (0.0, 0.5)):
        await stage.run(Layer(mode, tiles, pixels), gaps=gaps)
    assert stage.compared == 4 * sum(tiles * pixels for tiles, pixels in shapes)


@cocotb.test()
async def as_many_pixels_as_bits(dut):
    """In a tile of 65,534 pixels with gaps, only the last pixel is marked as last."""
    stage = Stage(dut)
    await stage.start()
    pixels = 2**16 - 2
    stage.tell(Layer(SUMS, 1, pixels))
    for _ in range(LATENCY + 2):
        await stage.step()
    sums = stage.pack(stage.any(LATENCY))
    dut.sum_i.value = sums[0]
    early = cocotb.start_soon(_rises(dut.last_o))
    ends = np.sort(stage.rng.choice(np.arange(1, pixels - len(sums)), 40, replace=False))
    for run in np.diff(ends, prepend=0, append=pixels - len(sums)).tolist():
        await _hold(dut, 1, run)
        await _hold(dut, 0, int(stage.rng.integers(1, 4)))
    await _hold(dut, 0, LATENCY)
    assert not early.done(), "last before the last pixel"
    early.cancel()
    for index, word in enumerate(sums):
        stage.expected[stage.cycle + LATENCY] = (index == len(sums) - 1, word)
        await stage.step(word)
    while stage.expected:
        await stage.step()


@cocotb.test()
async def first_of_many_pixels(dut):
    """The first two of 2^n + 1 pixels are not marked as last, so all bits of the count matter."""
    stage = Stage(dut)
    await stage.start()
    for bit in range(1, 16):
        stage.tell(Layer(SUMS, 1, 2**bit + 1))
        await stage.step()
        for word in stage.pack(stage.any(2)):
            stage.expected[stage.cycle + LATENCY] = (False, word)
            await stage.step(word)
        while stage.expected:
            await stage.step()
        await stage.reset()
    assert stage.compared == 2 * 15


async def _hold(dut, valid: int, cycles: int) -> None:
    """Holds the same sum, or none, for `cycles` cycles."""
    dut.sum_valid_i.value = valid
    await Timer(cycles * CLOCK_PERIOD_NS - CLOCK_PERIOD_NS / 2, unit="ns")
    await RisingEdge(dut.clk_i)


async def _rises(handle) -> None:
    """Waits until the signal rises."""
    await RisingEdge(handle)


@cocotb.test()
async def any_number_of_tiles(dut):
    """With tiles of one pixel, only the last tile is marked as last."""
    stage = Stage(dut)
    await stage.start()
    counts = [*range(1, 25), *stage.rng.integers(25, 256, 16).tolist()]
    for tiles in counts:
        await stage.run(Layer(SUMS, tiles, 1))
    assert stage.compared == sum(counts)


@cocotb.test()
async def random_layers(dut):
    """All modes come in random order; the other bank is written while a layer runs."""
    stage = Stage(dut)
    await stage.start()
    most = min(stage.tiles, 9)
    for bank in range(2):
        await stage.load(bank, stage.random_table(most))
    rng, bank, pixels_in_all = stage.rng, 0, 0
    for number in range(30):
        mode = int(rng.choice(stage.modes))
        tiles = int(rng.integers(1, most + 1))
        pixels = int(rng.choice((1, 1, 2, 3, int(rng.integers(4, 40)))))
        writes = []
        if mode == SCALED:  # with tables of its own
            await stage.load(bank, stage.random_scaling(tiles))
        elif mode == CODES:
            await stage.load(bank, stage.random_table(tiles))
        if number % 3:
            other = stage.random_table(int(rng.integers(1, min(stage.tiles, 4) + 1)))
            writes = stage.writes(1 - bank, other)
        gaps = float(rng.choice((0.0, 0.2, 0.7)))
        await stage.run(Layer(mode, tiles, pixels, bank), gaps=gaps, writes=writes)
        bank = 1 - bank if writes else bank
        pixels_in_all += tiles * pixels
    assert stage.compared == pixels_in_all


@cocotb.test()
async def every_threshold_of_both_banks(dut):
    """Sums are one below, at and one above each threshold, in lanes that fall or rise."""
    stage = Stage(dut)
    await stage.start()
    tiles, most = min(stage.tiles, 8), min(stage.tiles, 255)  # a layer has at most 255
    for first in range(2):
        for bank in range(2):
            table = np.sort(stage.any(stage.tiles, 16), axis=1)
            falls = (np.arange(stage.cols) + first + bank) % 2
            table[:, 0] = stage.any(stage.tiles) & ~1 | falls  # the other bits mean nothing
            await stage.load(bank, table)
        for bank in range(2):
            # All tiles run first: the whole memory is used, and the tile changes in every cycle.
            await stage.run(Layer(CODES, most, 1, bank))
            table = stage.tables[bank, :tiles, :, None]
            sums = np.clip(table[:, 1:] + [[-1], [0], [1]], stage.lowest, stage.highest)
            sums = np.where(table[:, :1] & 1, ~sums, sums).reshape(-1, stage.cols)
            await stage.run(Layer(CODES, tiles, 45, bank), sums)
    assert stage.compared == 4 * (most + 45 * tiles)
    assert stage.codes == set(itertools.product((0, 1), range(16)))


@cocotb.test()
async def never_and_always(dut):
    """Thresholds lie at either end of the range, 0 to 15 of them at the lower; so do the sums."""
    stage = Stage(dut)
    await stage.start()
    ends = [stage.lowest, stage.lowest + 1, -1, 0, stage.highest - 1, stage.highest]
    sums = np.repeat(np.array(ends)[:, None], stage.cols, axis=1)
    for falls, shift in itertools.product(range(2), range(16)):
        always = (np.arange(stage.cols) + shift) % 16
        table = np.full((1, 16, stage.cols), falls)
        table[0, 1:] = np.where(np.arange(15)[:, None] < always, stage.lowest, stage.highest)
        await stage.load(falls, table)
        await stage.run(Layer(CODES, 1, len(sums), falls), sums)
    assert stage.compared == 2 * 16 * len(sums)
    assert stage.codes == set(itertools.product((0, 1), range(16)))


@cocotb.test()
async def every_bit_of_a_scaling(dut):
    """Each bit of sum, multiplier, offset and shift, and both ends of the clamp, count."""
    stage = Stage(dut)
    await stage.start()
    if not stage.scaling:
        return
    width, tables, sums = stage.width, [], []

    def case(sum_: int, multiplier: int, offset: int, shift: int, lowest=-128, highest=127) -> None:
        table = stage.any(16)[:, 0]
        write_words(table, (shift, lowest, highest, multiplier), offset, width)
        tables.append(table)
        sums.append(sum_)

    for bit in range(width - 1):
        case(1 << bit, 3, 0, bit)
        case(~(1 << bit), 3, 0, bit)
        case(3, 1 << bit, 0, bit)
        case(-3, 1 << bit, 0, bit)
        case(5, -1 << bit, 0, bit)
    for bit in range(2 * width - 1):
        case(0, 1, 3 << bit >> 1, bit)
        case(0, 1, -1 << bit, bit)
        case(-1, 1, 1 << bit, bit)  # a carry through all bits
    for sign in (-1, 1):
        for size in (2 ** (width - 1) - 1, 2 ** (width - 2)):
            case(sign * size, size, 0, 2 * width - 10)
            case(sign * size, -size, sign * 2 ** (2 * width - 3), 2 * width - 9)
    for code in range(-300, 300):  # both ends of a clamp, and one below and above
        case(code, 4, 2, 2, -128, 127)
        case(code, 4, 2, 2, 0, 255)
    for lowest, highest in ((0, 0), (-5, -4), (7, 31), (-16, 15), (0, 63)):
        for code in range(lowest - 2, highest + 3):
            case(code, 1, 0, 0, lowest, highest)
    while len(tables) % stage.cols:
        case(0, 0, 0, 0)
    before = stage.compared
    for start in range(0, len(tables), stage.cols):
        bank = start // stage.cols % 2
        table = np.array(tables[start : start + stage.cols]).T[None]
        await stage.load(bank, table)
        await stage.run(Layer(SCALED, 1, 1, bank), np.array(sums[start : start + stage.cols])[None])
    assert stage.compared == before + len(tables) // stage.cols


@cocotb.test()
async def tiles_have_their_own_scaling(dut):
    """All tiles of both banks run, each with its own numbers; codes differ between lanes."""
    stage = Stage(dut)
    await stage.start()
    if not stage.scaling:
        return
    most = min(stage.tiles, 255)
    for bank in range(2):
        await stage.load(bank, stage.random_scaling(stage.tiles))
    for bank in range(2):
        await stage.run(Layer(SCALED, most, 1, bank))
        await stage.run(Layer(SCALED, min(most, 8), 40, bank), gaps=0.2)
    assert stage.compared == 2 * (most + 40 * min(most, 8))


@cocotb.test()
async def reset_in_the_middle(dut):
    """After a reset no result under way comes out, and the next layer begins with tile 0."""
    stage = Stage(dut)
    await stage.start()
    tiles = min(stage.tiles, 3)
    for stop in range(1, 5 * tiles):
        await stage.load(1, stage.random_table(tiles))
        await stage.run(Layer(CODES, tiles, 5, 1), stop=stop)
        await stage.reset()
        for _ in range(LATENCY + 1):
            await stage.step()
        before = stage.compared
        await stage.load(0, stage.random_table(tiles))
        await stage.run(Layer(CODES, tiles, 2, 0))
        assert stage.compared == before + 2 * tiles


@each_run("tb.test_output_stage")
def test_output_stage(run, simulator):
    run.on(simulator)
