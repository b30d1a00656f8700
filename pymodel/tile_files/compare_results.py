"""Compares files of psums and outputs with a layer, under each reading of them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np

from pymodel.tile_files.conventions import CHOICES, Conventions
from pymodel.tile_files.identify_files import OUTPUT, PSUM, TileFile
from pymodel.tile_files.layer import FileLayer
from pymodel.tile_files.layouts import HALF, output_layout, sum_layout

SUM_BITS = 16
WINDOW_OUTPUTS = 8  # number of output pixels that an output-stationary array computes at a time
# Slopes of leaky ReLUs that are met: shifts, and the slopes that PyTorch's users choose.
SLOPES = (*(2.0**-shift for shift in range(1, 8)), 0.1, 0.01, 0.2, 0.05, 0.3, 0.15, 0.02, 0.001)
ROUNDINGS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "down": np.floor,
    "to zero": np.trunc,
    "to the nearest": np.rint,
}


@dataclass(frozen=True)
class ResultReading:
    """One reading of a file of psums or outputs: what each of its numbers should be."""

    file: TileFile
    role: str  # PSUM or OUTPUT
    conventions: Conventions
    position: int | None  # kernel position of a file of psums; None if it holds all of them
    inputs: int | None  # the input tile whose psums or sums these are; None: all tiles are added
    first_output: int  # number of the output channel of column 0
    useful: bool  # whether psums are there for output pixels only, and not for all streamed ones
    kind: str = "ReLU"  # the operation applied to the sums; see `output_kinds`

    @cached_property
    def values(self) -> np.ndarray:
        """The numbers in the file, int64 [lines, numbers in a line]."""
        return self.file.words.numbers(SUM_BITS, True)

    def expected(
        self,
        layer: FileLayer,
        psums: Callable[[int | None], np.ndarray],
        outputs: Callable[[str, int | None], np.ndarray],
    ) -> np.ndarray:
        """Returns the numbers that should be in the file, int64 of the shape of `values`.

        `psums` gives the psums [K, Q, O] of an input tile, or those of all tiles added; `outputs`
        gives the outputs [P, O] of a kind, also of an input tile.
        """
        role = self.role
        table = outputs(self.kind, self.inputs) if role == OUTPUT else psums(self.inputs)
        return self._arranged(layer, table)

    def indices(self, layer: FileLayer, psums: np.ndarray, sums: np.ndarray) -> np.ndarray:
        """Returns the value of `psums` [K, Q, O] or `sums` [P, O] for each number of the file."""
        return self._arranged(layer, sums if self.role == OUTPUT else psums)

    def _arranged(self, layer: FileLayer, table: np.ndarray) -> np.ndarray:
        """Returns the values of `table`, sums [P, O] or psums [K, Q, O], as the file has them."""
        lines, numbers = self.values.shape
        table = table[..., self.first_output : self.first_output + self.outputs]
        if self.role == OUTPUT:
            table = table[: lines if self.conventions.outputs_in == "pixels" else numbers]
            return table.reshape(-1)[output_layout(self.conventions, *table.shape)]
        if self.useful:
            table = table[np.arange(len(table))[:, None], layer.pixels]
        if self.position is not None:
            table = table[self.position][None]
        layout = sum_layout(self.conventions, table.shape[1], numbers)
        return table.reshape(len(table), -1)[:, layout].reshape(lines, numbers)

    @property
    def outputs(self) -> int:
        """The number of output channels in the file."""
        lines, numbers = self.values.shape
        return lines if self.conventions.outputs_in == "channels" else numbers

    def place(self, layer: FileLayer, line: int, number: int) -> str:
        """Returns in words the kernel position, pixel and channel of a number in line `line`."""
        numbers = self.values.shape[1]
        if self.role == OUTPUT:
            flat = int(output_layout(self.conventions, *self._table_shape())[line, number])
            pixel, channel = divmod(flat, self._table_shape()[1])
            where = f"pixel {divmod(pixel, layer.output_size[1])}"
        else:
            pixels = layer.pixels.shape[1] if self.useful else layer.streams.shape[2]
            position, pixel = divmod(line, pixels)
            position += self.position or 0
            channel = int(sum_layout(self.conventions, 1, numbers)[0, number])
            where = f"kernel position {divmod(position, layer.kernel)}, "
            if self.useful or layer.padded is None:
                where += f"output pixel {divmod(pixel, layer.output_size[1])}"
            else:
                where += f"padded pixel {divmod(pixel, layer.padded.shape[2])}"
        return f"{where}, channel {channel + self.first_output}"

    def _table_shape(self) -> tuple[int, int]:
        shape = self.values.shape
        return shape if self.conventions.outputs_in == "pixels" else shape[::-1]


def output_kinds(
    layer: FileLayer, sums: np.ndarray
) -> dict[str, tuple[str, Callable[[], np.ndarray]]]:
    """Returns the operations that may be applied to the sums [P, O] before they are written.

    By name, each operation has its choice of the convention `outputs`, and a function that returns
    the values.
    """
    kinds: dict[str, tuple[str, Callable[[], np.ndarray]]] = {
        "ReLU": ("relu", lambda: sums.clip(0)),
        "sums": ("raw", lambda: sums),
    }
    outputs, inputs = layer.channels
    if layer.padded is not None and layer.stride == 1 and layer.kernel % 2 and outputs == inputs:
        centre = len(layer.weights) // 2
        own = layer.streams[centre][:, layer.pixels[centre]].T.astype(np.int64)
        kinds["input added, then ReLU"] = "residual", lambda: (sums + own).clip(0)
        kinds["input added"] = "residual", lambda: sums + own
        kinds["ReLU, then input added"] = "residual", lambda: sums.clip(0) + own
    for slope, (rounding, rounded) in product(SLOPES, ROUNDINGS.items()):

        def leaky(slope: float = slope, rounded: Callable = rounded) -> np.ndarray:
            return np.where(sums < 0, rounded(sums * slope), sums).astype(np.int64)

        kinds[f"leaky ReLU of slope {slope:g}, rounded {rounding}"] = "leaky", leaky
    return kinds


def result_readings(
    file: TileFile, layer: FileLayer, tiles: int, base: int, fixed: dict[str, str], first: bool
) -> Iterator[ResultReading]:
    """Yields the ways to read a file of psums or outputs of `layer`, which has `tiles` input tiles.

    With `first` a file may hold the first outputs only, as those of output-stationary arrays do.

    `base` is the number that names of psums give kernel position 0. `fixed` has the conventions
    that the user fixed.
    """
    lines, numbers = len(file.words), file.words.width // SUM_BITS
    positions, streamed = layer.streams.shape[0], layer.streams.shape[2]
    outputs, counted = layer.channels[0], layer.pixels.shape[1]
    number = file.numbers.get("position")
    position = None if number is None else number - base
    # A tile in the name says which; otherwise all are tried, those of the whole layer first.
    group = file.numbers.get("otile", file.numbers.get("core"))
    firsts = range(0, outputs, numbers)
    if group is not None and group * numbers < outputs and len(firsts) > 1:
        firsts = [group * numbers, *(f for f in firsts if f != group * numbers)]
    itile = file.numbers.get("itile")
    inputs = [None, *(range(tiles) if tiles > 1 else ())]
    if tiles > 1 and itile is not None:
        inputs.sort(key=lambda tile: tile != itile)

    def conventions(*names: str) -> Iterator[Conventions]:
        choices = [[fixed[n]] if n in fixed else CHOICES[n] for n in names]
        for values in product(*choices):
            yield Conventions(**dict(zip(names, values, strict=True)))

    prefix = first and lines == WINDOW_OUTPUTS < counted
    shapes = []
    if position is not None and 0 <= position < positions:
        shapes += [(position, n, n != streamed) for n in (streamed, counted) if n == lines]
    shapes += [(None, n, n != streamed) for n in (streamed, counted) if positions * n == lines]
    split = numbers == 2 * HALF
    if numbers <= outputs:
        fields = ["columns", *(["channels"] if split else [])]
        if file.role == PSUM or (lines != counted and not prefix):
            for (at, _, useful), tile, start in product(shapes, inputs, firsts):
                for c in conventions(*fields):
                    yield ResultReading(file, PSUM, c, at, tile, start, useful)
        if lines == counted or prefix:
            # A core that has some of the input channels may leave its own sums.
            parts = inputs if "core" in file.numbers or itile is not None else [None]
            for tile, start, c in product(parts, firsts, conventions(*fields)):
                yield ResultReading(file, OUTPUT, c, None, tile, start, False)
    widths = (counted, WINDOW_OUTPUTS) if first else (counted,)
    if lines == outputs and numbers in widths and numbers <= counted:
        for c in conventions("columns", "outputs_in"):
            if c.outputs_in == "channels":
                yield ResultReading(file, OUTPUT, c, None, None, 0, False)
