"""Tiles on an array: what goes in, what must come out, and the record of what did."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from pymodel.errors import InputError
from pymodel.files import replacing
from pymodel.layer_data import LayerData
from pymodel.reference import tile_psums
from pymodel.tiling import Tile, Tiles, cut
from tb.adapter import ArrayAdapter
from tb.scoreboard import Scoreboard


@dataclass(frozen=True)
class TileRun:
    """All tiles of the first image, then all of the second, …; psum vectors are numbered so."""

    tiles: Tiles
    expected: np.ndarray  # int64 [images, tiles, output pixels, COLS]

    @property
    def images(self) -> int:
        """How many."""
        return len(self.expected)

    def at(self, index: int) -> tuple[int, Tile, int, int]:
        """Image, tile, and output pixel (y, x) of the psum vector at `index`."""
        image, number, pixel = np.unravel_index(index, self.expected.shape[:3])
        y, x = divmod(int(pixel), self.tiles.output_size[1])
        return int(image), self.tiles.tiles[number], y, x

    def place(self, index: int) -> str:
        """The same in words."""
        image, tile, y, x = self.at(index)
        groups = f", input group {tile.input_group}, output group {tile.output_group}"
        several = any(t.input_group or t.output_group for t in self.tiles.tiles)
        return (
            f"image {image}, kernel position ({tile.ky}, {tile.kx})"
            f"{groups if several else ''}, pixel ({y}, {x})"
        )

    async def on(self, array: ArrayAdapter) -> tuple[Scoreboard, int]:
        """Run it; the scoreboard, which the caller has still to finish, and the cycles it took.

        Raises InputError if the array is too narrow for it, BenchError as `ArrayAdapter.run`.
        """
        pixels = self.expected.shape[2]
        weights = np.tile(self.tiles.weights, (self.images, 1, 1))
        activations = list(self.tiles.activations.reshape(-1, pixels, array.rows))
        expected = self.expected.reshape(-1, array.cols)
        array.check_fit(weights, activations, expected)
        return await array.run(
            array.play(weights, activations), expected, self.place,
            lambda index: self.at(index)[1].output_group * array.cols, longest=pixels,
        )  # fmt: skip


def tile_run(layer: LayerData, rows: int, cols: int) -> TileRun:
    """The tiles of `layer`, and their psums by PyTorch's convolution."""
    codes, weights = layer.activation_codes, layer.weight_codes
    tiles = cut(codes.numpy(), weights.numpy(), layer.stride, layer.padding, rows, cols)
    expected = [
        tile_psums(codes, weights, tile, layer.stride, layer.padding, rows, cols)
        for tile in tiles.tiles
    ]
    return TileRun(tiles, torch.stack(expected, dim=1).numpy())


@dataclass(frozen=True)
class Record:
    """A run and what came out of it, which may be too little."""

    run: TileRun
    received: np.ndarray  # int64 [n, COLS]
    cycles: np.ndarray  # int64 [n], in which they came; 0 is the first cycle of the stimulus

    def save(self, path: Path) -> None:
        """Write it, whole or not at all."""
        tiles = self.run.tiles
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(
                file, tiles=np.array(tiles.tiles), weights=tiles.weights,
                activations=tiles.activations, output_size=np.array(tiles.output_size),
                expected=self.run.expected, received=self.received, cycles=self.cycles,
            )  # fmt: skip

    @classmethod
    def load(cls, path: Path) -> "Record":
        """Read what `save` wrote; InputError if there is nothing."""
        if not path.exists():
            raise InputError(f"{path}: not found, expected the record of a run")
        with np.load(path, allow_pickle=False) as file:
            tiles = Tiles(
                [Tile(*map(int, row)) for row in file["tiles"]], file["weights"],
                file["activations"], tuple(map(int, file["output_size"])),
            )  # fmt: skip
            return cls(TileRun(tiles, file["expected"]), file["received"], file["cycles"])
