"""Runs tiles on an array, and holds the expected psums and a record of the received ones."""

from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pymodel.hardware.tiling import Tile, Tiles
from pymodel.support.errors import InputError
from pymodel.support.files import replacing
from tb.components.array_adapter import ArrayAdapter
from tb.components.scoreboard import EMPTY, ZEROS, Scoreboard
from tb.sim.errors import BenchError


@dataclass(frozen=True)
class TileRun:
    """Tiles of a layer and the psums that must come out: all of image 0, then all of image 1, ….

    The psum vectors are numbered in this order.
    """

    tiles: Tiles
    expected: np.ndarray  # int64 [images, tiles, output pixels, COLS]
    # What `expected` holds: "psum" of a tile, or "sum", "ReLU output" or "code" of a layer. Those
    # of a layer have one tile for each output group, with the layer's taps as its rows.
    shows: str = "psum"

    @property
    def images(self) -> int:
        """Number of images."""
        return len(self.expected)

    def at(self, index: int) -> tuple[int, Tile, int, int]:
        """Returns image, tile, and output pixel (y, x) of the psum vector at `index`."""
        image, number, pixel = np.unravel_index(index, self.expected.shape[:3])
        y, x = divmod(int(pixel), self.tiles.output_size[1])
        return int(image), self.tiles.tiles[number], y, x

    def tile_words(self, tile: Tile) -> str:
        """Returns in words which tile `tile` is; groups are named only where there are several."""
        several = any(t.input_group or t.output_group for t in self.tiles.tiles)
        if self.shows != "psum":
            return f"output group {tile.output_group}" if several else "all taps"
        words = f"kernel position ({tile.ky}, {tile.kx})"
        if several:
            words += f", input group {tile.input_group}, output group {tile.output_group}"
        return words

    def place(self, index: int) -> str:
        """Returns in words the place of the psum vector at `index`."""
        image, tile, y, x = self.at(index)
        return f"image {image}, {self.tile_words(tile)}, pixel ({y}, {x})"

    def save(self, path: Path) -> None:
        """Writes the tiles and their psums to `path`."""
        np.savez(path, **self.arrays())

    @classmethod
    def load(cls, path: Path) -> "TileRun":
        """Returns what `save` wrote."""
        with np.load(path, allow_pickle=False) as file:
            return cls.from_arrays(file)

    def arrays(self) -> dict[str, np.ndarray]:
        """Returns the tiles and their psums as arrays for a file."""
        return {
            "tiles": np.array(self.tiles.tiles),
            "weights": self.tiles.weights,
            "activations": self.tiles.activations,
            "output_size": np.array(self.tiles.output_size),
            "expected": self.expected,
            "shows": np.array(self.shows),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> "TileRun":
        """Returns the run whose `arrays` are given."""
        tiles = Tiles(
            [Tile(*map(int, row)) for row in arrays["tiles"]],
            arrays["weights"],
            arrays["activations"],
            tuple(map(int, arrays["output_size"])),
        )
        return cls(tiles, arrays["expected"], str(arrays["shows"]))

    async def on(
        self, array: ArrayAdapter, playing: Awaitable | None = None
    ) -> tuple[Scoreboard, int]:
        """Runs the tiles on `array`; returns the scoreboard and the number of cycles.

        `playing` is awaited instead of the array's `play`. The caller has still to call the
        scoreboard's `finish`. Raises InputError if the array is too narrow for the run, BenchError
        if there is nothing to run, and the errors of `ArrayAdapter.run`.
        """
        if not self.expected.size:
            raise BenchError(EMPTY)
        if not self.expected.any():
            raise BenchError(ZEROS)
        pixels = self.expected.shape[2]
        weights = np.tile(self.tiles.weights, (self.images, 1, 1))
        depth = self.tiles.weights.shape[1]
        activations = list(self.tiles.activations.reshape(-1, pixels, depth))
        expected = self.expected.reshape(-1, array.cols)
        array.check_fit(weights, activations, expected)
        return await array.run(
            playing or array.play(weights, activations),
            expected,
            self.place,
            lambda index: self.at(index)[1].output_group * array.cols,
            longest=len(expected) if playing else pixels,  # a core gives all outputs in the end
            deepest=depth,
        )


@dataclass(frozen=True)
class Record:
    """The record of a run: its tiles, and the psums that left the array, which may be too few."""

    run: TileRun
    received: np.ndarray  # int64 [n, COLS]
    unknown: np.ndarray  # bool [n, COLS]: whether the psum holds X or Z
    cycles: np.ndarray  # int64 [n]: the cycle of each vector; 0 is the first one of the stimulus
    widths: tuple[int, int, int]  # bits of an activation, a weight, a psum
    clock: tuple[int, int]  # time of the edge that ends cycle 0, and period, in simulator steps

    def wrong(self) -> np.ndarray:
        """Returns which of the received psums are wrong, bool [n, COLS]."""
        expected = self.run.expected.reshape(-1, self.received.shape[1])[: len(self.received)]
        return (self.received != expected) | self.unknown

    def time(self, cycle: int) -> int:
        """Returns when the psums of `cycle` were read, in simulator steps."""
        start, period = self.clock
        return start + cycle * period

    def before_edge(self, cycle: int) -> int:
        """Returns a time at which the psums of `cycle` are on the outputs, in simulator steps.

        This time is half a period before they are read.
        """
        return self.time(cycle) - self.clock[1] // 2

    @classmethod
    def of(cls, run: TileRun, array: ArrayAdapter, board: Scoreboard) -> "Record":
        """Returns the record of the words that `board` received from `array`."""
        widths = array.act_width, array.weight_width, array.psum_width
        unknown = np.zeros((len(board.received), array.cols), bool)
        for index, columns in board.unknown.items():
            unknown[index, columns] = True
        return cls(
            run,
            array.vectors(board),
            unknown,
            np.array(board.cycles, np.int64),
            widths,
            array.clock_steps,
        )

    def save(self, path: Path) -> None:
        """Writes the record to `path`, whole or not at all."""
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(
                file,
                **self.run.arrays(),
                received=self.received,
                unknown=self.unknown,
                cycles=self.cycles,
                widths=np.array(self.widths),
                clock=np.array(self.clock),
            )

    @classmethod
    def load(cls, path: Path) -> "Record":
        """Returns the record that `save` wrote; raises InputError if there is no such file."""
        if not path.exists():
            raise InputError(f"{path}: not found, expected the record of a run")
        with np.load(path, allow_pickle=False) as file:
            return cls(
                TileRun.from_arrays(file),
                file["received"],
                file["unknown"],
                file["cycles"],
                tuple(map(int, file["widths"])),
                tuple(map(int, file["clock"])),
            )
