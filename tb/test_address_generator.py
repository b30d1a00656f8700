"""The address generator walks the pixels of each tile in order, and waits for the output."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import cocotb
from cocotb.triggers import ReadOnly, RisingEdge, Timer

from tb.components.clock import start_clock
from tb.components.random_tiles import random_generator
from tb.modules.pytest_runs import each_run
from tb.sim.waves import CLOCK_PERIOD_NS


class Map(NamedTuple):
    """The inputs that all tiles of a layer share."""

    width: int
    out_width: int
    stride: int
    images: int
    map_pixels: int
    out_map_pixels: int


class Tile(NamedTuple):
    """The inputs that the sequencer gives for a tile."""

    act_address: int
    pixel: int
    rows: int
    cols: int
    rows_outside: int
    cols_outside: int
    final: int


def walk(layer: Map, tile: Tile) -> Iterator[dict[str, int]]:
    """Yields the outputs for each pixel, of 16 bits; only pixels inside the map have an address."""
    for image in range(layer.images):
        for row in range(tile.rows):
            for col in range(tile.cols):
                inside = row < tile.rows - tile.rows_outside and col < tile.cols - tile.cols_outside
                act = tile.act_address + image * layer.map_pixels
                act += (row * layer.width + col) * layer.stride
                pixel = tile.pixel + image * layer.out_map_pixels
                yield {
                    "swap_o": image == row == col == 0,
                    "final_o": tile.final,
                    "inside_o": inside,
                    "pixel_o": (pixel + row * layer.out_width + col) % 2**16,
                } | ({"act_address_o": act % 2**16} if inside else {})


def random_tile(rng, layer: Map) -> Tile:
    """Returns a random tile of a layer; large ones are rare."""
    rows = int(rng.integers(1, rng.choice([1, 2, 5, 9]) + 1))
    cols = int(rng.integers(1, min(layer.out_width, rng.choice([1, 3, 9, 20])) + 1))
    return Tile(
        int(rng.integers(2**16)),
        int(rng.integers(2**10)),
        rows,
        cols,
        int(rng.integers(min(rows, 4))),
        int(rng.integers(min(cols, 4))),
        int(rng.integers(2)),
    )


def random_map(rng) -> Map:
    """Returns the map of a random layer."""
    width, out_width = rng.integers(1, rng.choice([2, 10, 255]) + 1, 2).tolist()
    images = int(rng.integers(1, rng.choice([1, 2, 6]) + 1))
    return Map(
        width, out_width, int(rng.integers(1, 3)), images, *rng.integers(1, 2**16, 2).tolist()
    )


class WalkerBench:
    """The module `address_generator` with a clock and a model of what is left to walk."""

    def __init__(self, dut):
        self.dut = dut
        self.rng = random_generator()
        self.left: list[dict[str, int]] = []  # outputs of the pixels that are left
        self.where = "before the first tile"

    async def start(self) -> None:
        """Starts the clock and resets."""
        start_clock(self.dut.clk_i)
        self.dut.take_i.value = 0
        self.dut.rst_i.value = 1
        await RisingEdge(self.dut.clk_i)
        self.dut.rst_i.value = 0

    def change(self, layer: Map) -> None:
        """Changes to another layer; nothing may be left of the layer before."""
        self.layer = layer
        for name, value in layer._asdict().items():
            if name != "stride":
                getattr(self.dut, f"{name}_i").value = value
        self.dut.stride2_i.value = layer.stride == 2

    def ready(self, reservable: bool) -> bool:
        """Returns whether nothing is left after this cycle."""
        return not self.left or (len(self.left) == 1 and self.goes_on(reservable))

    def goes_on(self, reservable: bool) -> bool:
        """Returns whether there is a pixel that need not wait."""
        return bool(self.left) and (reservable or not self.left[0]["final_o"])

    async def cycle(self, reservable: bool, tile: Tile | None = None, reset: bool = False) -> None:
        """Runs one cycle, perhaps with a tile to take, and compares all outputs with the model."""
        dut = self.dut
        dut.reservable_i.value = reservable
        dut.take_i.value = tile is not None
        dut.rst_i.value = reset
        # Without take_i these may be anything.
        values = tile or self.rng.integers(2, size=7).tolist()
        for name, value in zip(Tile._fields, values, strict=True):
            getattr(dut, f"{name}_i").value = value
        goes_on = self.goes_on(reservable)
        pixel = self.left[0] if self.left else {}
        expected = {
            "ready_o": self.ready(reservable),
            "waiting_o": bool(self.left) and not goes_on,
            "valid_o": goes_on,
            "reserve_o": goes_on and pixel["final_o"],
        } | (pixel if goes_on else {})
        await ReadOnly()
        for name, value in expected.items():
            found = int(getattr(dut, name).value)
            assert found == value, f"{name}: expected {value}, got {found}, {self.where}"
        await RisingEdge(dut.clk_i)
        if goes_on:
            self.left.pop(0)
        if tile:
            self.left = list(walk(self.layer, tile))
            self.where = f"{self.layer}, {tile}"
        if reset:
            self.left = []

    async def run(self, tiles: Sequence[Tile], hurry: float, free: float) -> None:
        """Walks tiles. In each cycle a tile is taken with probability `hurry`.

        A finished pixel has a place in a cycle with probability `free`.
        """
        for tile in tiles:
            taken = False
            while not taken:
                reservable = self.rng.random() < free
                taken = self.ready(reservable) and self.rng.random() < hurry
                await self.cycle(reservable, tile if taken else None)

    async def finish(self, free: float = 1.0) -> None:
        """Walks the rest without a new tile.

        A finished pixel has a place in a cycle with probability `free`.
        """
        while self.left:
            await self.cycle(bool(self.rng.random() < free))
        for _ in range(5):
            await self.cycle(bool(self.rng.integers(2)))


@cocotb.test()
async def random_tiles(dut):
    """Tiles of random layers follow at once or after gaps, with a slow output."""
    bench = WalkerBench(dut)
    await bench.start()
    for hurry, free in ((1, 1), (0.5, 1), (1, 0.5), (0.5, 0.1)):
        for _ in range(12):
            bench.change(random_map(bench.rng))
            tiles = [random_tile(bench.rng, bench.layer) for _ in range(5)]
            await bench.run(tiles, hurry, free)
            await bench.finish()


@cocotb.test()
async def largest_counts(dut):
    """The tile has all columns and rows of 9 bits, over 256 images, and the highest addresses."""
    bench = WalkerBench(dut)
    await bench.start()
    for layer, tile in (
        (Map(255, 258, 1, 1, 255, 258), Tile(0, 0, 1, 258, 0, 3, 1)),
        (Map(255, 129, 2, 1, 32640, 16641), Tile(1, 1, 128, 2, 1, 1, 1)),
        (Map(1, 1, 1, 1, 255, 258), Tile(0, 0, 258, 1, 3, 0, 1)),
        (Map(255, 511, 1, 1, 255, 511), Tile(0, 0, 1, 511, 0, 3, 1)),
        (Map(1, 1, 1, 1, 255, 511), Tile(0, 0, 511, 1, 3, 0, 1)),
        (Map(255, 300, 1, 1, 510, 600), Tile(0, 0, 2, 300, 0, 3, 1)),
        (Map(1, 1, 1, 300, 1, 1), Tile(32000, 1000, 1, 1, 0, 0, 0)),
        (Map(128, 128, 1, 3, 16384, 16384), Tile(32760, 1016, 1, 8, 0, 0, 0)),
    ):
        bench.change(layer)
        await bench.run([tile], 1, 1)
        await bench.finish()


@cocotb.test()
async def counts_of_two_bits(dut):
    """A count that is one or two more than a power of two is not taken for one or two."""
    bench = WalkerBench(dut)
    await bench.start()
    for bit in range(1, 16):
        for more in (1, 2):
            bench.change(Map(1, 1, 1, 2**bit + more, 1, 1))
            await bench.cycle(True, Tile(0, 0, 1, 1, 0, 0, 0))
            for _ in range(3):
                await bench.cycle(True)
            await bench.cycle(True, reset=True)
    for bit in range(1, 9):
        for more in (1, 2):
            count = 2**bit + more
            for images, rows, cols in ((2, 1, count), (2, count, 1), (1, count, 2)):
                bench.change(Map(cols % 256, cols, 1, images, 600, 600))
                await bench.run([Tile(0, 0, rows, cols, 0, 0, 1)], 1, 1)
                await bench.finish(free=0.7)


@cocotb.test()
async def as_many_images_as_bits(dut):
    """Many images of one to three pixels give a pixel in each cycle, and then nothing."""
    bench = WalkerBench(dut)
    await bench.start()
    for rows, images in ((1, 2**16 - 2), (2, 2**10 - 2), (3, 2**10 - 2)):
        bench.change(Map(1, 1, 1, images, rows, rows))
        await bench.cycle(True, Tile(0, 0, rows, 1, 0, 0, 0))
        await bench.cycle(True)
        bench.left = bench.left[-4:]
        await Timer((rows * images - 1.5 - len(bench.left)) * CLOCK_PERIOD_NS, unit="ns")
        await RisingEdge(dut.clk_i)
        await bench.finish()


@cocotb.test()
async def a_single_pixel_waits(dut):
    """A finished pixel waits unchanged until there is a place; no other pixel ever waits."""
    bench = WalkerBench(dut)
    await bench.start()
    bench.change(Map(1, 1, 1, 1, 1, 1))
    for final in (1, 0, 1):
        await bench.run([Tile(5, 7, 1, 1, 0, 0, final)], 1, 1)
        for _ in range(4):
            await bench.cycle(False)
        await bench.finish()


@cocotb.test()
async def reset_ends_a_walk(dut):
    """After reset nothing is left of a tile, nor of a tile that came together with the reset."""
    bench = WalkerBench(dut)
    await bench.start()
    for number in range(20):
        layer = random_map(bench.rng)
        if number < 2:  # a walk too long to wait for
            layer = layer._replace(images=65535)
        bench.change(layer)
        tiles = [random_tile(bench.rng, bench.layer) for _ in range(3)]
        if number < 2:
            tiles[0] = Tile(0, 0, 1, 1, 0, 0, 0)
        await bench.run(tiles[: 1 + (number >= 2)], 1, 1)
        for _ in range(bench.rng.integers(4)):
            await bench.cycle(bool(bench.rng.integers(2)))
        take = number % 2 and bench.ready(True)
        await bench.cycle(True, tiles[2] if take else None, reset=True)
        await bench.finish()


@each_run("tb.test_address_generator")
def test_address_generator(run, simulator):
    run.on(simulator)
