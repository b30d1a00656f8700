"""Reads activations and weights under each convention that fits their files."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from math import isqrt

import numpy as np

from pymodel.support.errors import InputError
from pymodel.tile_files.conventions import CHOICES, Conventions
from pymodel.tile_files.identify_files import Series, TileFile
from pymodel.tile_files.layouts import HALF, activation_layout, weight_layout, window_layout

WEIGHT_BITS = 4
WINDOWS = ("windows", "outputs")  # readings of activations that are no map
CHANNELS = (HALF, 2 * HALF)  # numbers of input channels that one file can have
# Conventions of activations that decide, too, how weights are read.
LEAVE_OUT = "--ignore FILE leaves a file out"
SHARED = ("activation_bits", "windows", "cores")


@dataclass(frozen=True)
class Geometry:
    """The numbers of a layer that its files do not state."""

    kernel: int = 3  # rows and columns
    stride: int = 1  # pixels
    padding: int = 1  # pixels
    # Height of the map without its padding, pixels; None: the map is square
    height: int | None = None

    @property
    def positions(self) -> int:
        """Number of kernel positions."""
        return self.kernel**2


@dataclass(frozen=True)
class Block:
    """Files in a row that hold one part of an array, and where each number of theirs belongs."""

    files: tuple[TileFile, ...]
    layout: np.ndarray  # int64 [lines of all files, numbers in a line], flat index into the part
    start: tuple[int, ...]  # index of the part's first value in the whole array
    shape: tuple[int, ...]  # shape of the part

    def place(self, index: tuple[int, ...]) -> tuple[TileFile, int, int] | None:
        """Returns the file, word and number that hold the value at `index` of the whole array."""
        inside = np.subtract(index, self.start)
        if (inside < 0).any() or (inside >= self.shape).any():
            return None
        flat = np.ravel_multi_index(tuple(inside), self.shape)
        found = np.argwhere(self.layout == flat)
        if not len(found):
            return None
        line, number = map(int, found[0])
        for file in self.files:
            if line < len(file.words):
                return file, line, number
            line -= len(file.words)
        return None


@dataclass(frozen=True)
class InputReading:
    """Activations or weights under one reading of their files."""

    conventions: Conventions
    series: Series
    blocks: tuple[Block, ...]
    # Activations: int8 [I, H, W] with the padding, or windows [K, I, P]. Weights: int8 [K, O, I].
    values: np.ndarray
    tiles: tuple[int, ...]  # number of input channels in each input tile of the files
    copies: tuple[TileFile, ...] = ()  # further files that hold the same, such as of other cores

    @property
    def files(self) -> list[TileFile]:
        """Files that hold the values."""
        return [file for block in self.blocks for file in block.files]

    def place(self, index: tuple[int, ...]) -> tuple[TileFile, int, int] | None:
        """Returns the file, word and number that hold the value at `index` of `values`."""
        return next((found for block in self.blocks if (found := block.place(index))), None)


def _choices(fixed: dict[str, str], *names: str) -> Iterator[Conventions]:
    """Yields all conventions that differ in the fields `names`, except for what is fixed."""
    for values in product(*([fixed[n]] if n in fixed else CHOICES[n] for n in names)):
        yield Conventions(**dict(zip(names, values, strict=True)))


def _parts(series: Series, cores: str, bare: bool) -> dict[tuple, list[TileFile]]:
    """Returns the files of each (output tile, input tile), each of which may be of several cores.

    With `bare` a number in a name that says nothing else is that of the input tile.
    """
    found: dict[tuple, list[TileFile]] = {}
    for file in series.files:
        core, inputs, outputs = (file.numbers.get(key, 0) for key in ("core", "itile", "otile"))
        if bare:
            inputs = file.numbers.get("position", inputs)
        tile = ((0, outputs), (core, inputs))
        if cores == "outputs":
            tile = ((core, outputs), (0, inputs))
        found.setdefault(tile, []).append(file)
    return found


def first_number(series: Series, positions: int) -> int:
    """Returns the number that the names of a series give kernel position 0: 0 or 1."""
    numbers = {file.numbers["position"] for file in series.files if "position" in file.numbers}
    return int(bool(numbers) and 0 not in numbers and max(numbers) == positions)


def _in_order(files: list[TileFile], positions: int) -> list[TileFile] | None:
    """Returns the one file, or those of all kernel positions in order; None if some are missing."""
    if len(files) == 1:
        return files
    base = first_number(Series(files), positions)
    by_number = {file.numbers.get("position", -1) - base: file for file in files}
    found = [by_number.get(position) for position in range(positions)]
    return None if None in found or len(files) != positions else found


def _numbers(files: Iterable[TileFile], bits: int, signed: bool) -> np.ndarray | None:
    """Returns the numbers of files in a row, [lines, numbers in a line]; None if widths differ."""
    words = [file.words for file in files]
    if len({w.width for w in words}) > 1 or words[0].width % bits:
        return None
    return np.concatenate([w.numbers(bits, signed) for w in words])


def activation_readings(
    series: Series, geometry: Geometry, fixed: dict[str, str]
) -> Iterator[InputReading]:
    """Yields the ways to read the activations of a series, in the order of likelihood."""
    readings = []
    for c in _choices(fixed, "activation_bits", "activations", "map", "windows", "pixels", "cores"):
        idle = ["windows", "pixels"] if c.activations == "pixels" else ["windows"]
        if c.activations in WINDOWS:
            idle = ["map"]
        # What a reading does not depend on is tried once, unless the user fixed it.
        if any(n not in fixed and getattr(c, n) != CHOICES[n][0] for n in idle):
            continue
        reading = _activations(series, c, geometry)
        if reading:
            readings.append(reading)
    yield from sorted(readings, key=lambda reading: reading.conventions.deviations)


def _activations(series: Series, c: Conventions, geometry: Geometry) -> InputReading | None:
    """Returns the activations under the conventions `c`; None if the files do not fit them."""
    whole = {file.numbers.get("position") for file in series.files}
    windows = c.activations in WINDOWS
    per_position = windows and len(whole) >= geometry.positions
    same: list[TileFile] = []
    parts = _parts(series, c.cores, bare=not per_position)
    if c.cores == "outputs" or len({tile[0] for tile in parts}) > 1:
        # Each core or output tile has the same activations.
        first = {}
        for (_, inputs), files in sorted(parts.items(), key=lambda item: item[0]):
            first.setdefault(inputs, []).append(files)
        tables = {}
        for inputs, copies in first.items():
            found = [_numbers(files, 1, False) for files in copies]
            if any(f is None or f.shape != found[0].shape or (f != found[0]).any() for f in found):
                return None
            tables[inputs] = copies[0]
            same += [file for files in copies[1:] for file in files]
    else:
        tables = {inputs: files for (_, inputs), files in parts.items()}
    bits, axis = int(c.activation_bits), 1 if windows else 0
    blocks, values, start = [], [], 0
    for inputs in sorted(tables):
        files = _in_order(tables[inputs], geometry.positions)
        numbers = None if files is None else _numbers(files, bits, False)
        if numbers is None or (len(files) > 1 and not per_position):
            return None
        found = (_windows if windows else _map)(numbers, c, geometry)
        if found is None:
            return None
        value, layout, shape = found
        edge = 0 if c.map == "padded" else geometry.padding
        at = (0, start, 0) if windows else (start, edge, edge)
        blocks.append(Block(tuple(files), layout, at, shape))
        values.append(value)
        start += value.shape[axis]
    if len({np.delete(value.shape, axis).tobytes() for value in values}) != 1:
        return None
    tiles = tuple(value.shape[axis] for value in values)
    joined = np.concatenate(values, axis)
    return InputReading(c, series, tuple(blocks), joined, tiles, tuple(same))


def _map(
    numbers: np.ndarray, c: Conventions, geometry: Geometry
) -> tuple[np.ndarray, np.ndarray, tuple[int, ...]] | None:
    """Returns the padded map of one file, its layout, and the shape that the layout is of."""
    channels, pixels = numbers.shape[::-1] if c.activations == "pixels" else numbers.shape
    if channels not in CHANNELS:
        return None
    margin = 2 * geometry.padding if c.map == "padded" else 0
    if c.map == "unpadded" and not geometry.padding:
        return None  # the same as padded
    size = map_size(pixels, margin, geometry)
    if size is None:
        return None
    layout = activation_layout(c, channels, pixels)
    table = np.empty(channels * pixels, np.int8)
    table[layout] = numbers
    table = table.reshape(channels, *size)
    if c.map == "unpadded":
        edge = (geometry.padding, geometry.padding)
        return np.pad(table, ((0, 0), edge, edge)), layout, table.shape
    return table, layout, table.shape


def map_size(pixels: int, margin: int, geometry: Geometry) -> tuple[int, int] | None:
    """Returns height and width of a map of so many pixels, `margin` rows of them padding."""
    if geometry.height is None:
        side = isqrt(pixels)
        size = (side, side)
    else:
        rows = geometry.height + margin
        size = (rows, pixels // rows)
    fits = size[0] * size[1] == pixels
    fits &= min(size) + 2 * geometry.padding - margin >= geometry.kernel
    return size if fits and min(size) > margin else None


def _windows(
    numbers: np.ndarray, c: Conventions, geometry: Geometry
) -> tuple[np.ndarray, np.ndarray, tuple[int, ...]] | None:
    """Returns the windows of one part, their layout, and the shape that the layout is of."""
    lines, width = numbers.shape if c.activations == "windows" else numbers.shape[::-1]
    if lines % geometry.positions or lines // geometry.positions not in CHANNELS:
        return None
    if width != HALF:
        return None
    shape = (geometry.positions, lines // geometry.positions, width)
    layout = window_layout(c, *shape)
    table = np.empty(numbers.size, np.int8)
    table[layout] = numbers
    return table.reshape(shape), layout, shape


def weight_readings(
    series: Series,
    tiles: tuple[int, ...],
    shared: dict[str, str],
    geometry: Geometry,
    fixed: dict[str, str],
) -> list[InputReading]:
    """Returns the ways to read the weights of a series for the input tiles of the activations.

    `shared` has the conventions of the activations that decide, too, how weights are read.
    """
    if len(set(tiles)) > 1:
        return []
    inputs, first = tiles[0], series.files[0].words
    numbers = first.width // WEIGHT_BITS
    names = ["weights", "weight_lines", "weight_numbers"]
    if shared["activation_bits"] == "2" and inputs == 2 * HALF:
        names.append("pairs")
    positions = geometry.positions if len(first) >= HALF * geometry.positions else 1
    if inputs > numbers or len(first) * numbers > positions * inputs * numbers:
        names.append("pair_lines")
    elif numbers == 2 * inputs:  # a line can hold two outputs
        names += ["pair_lines", "output_pairs"]
    readings: dict[tuple, InputReading] = {}
    for c in _choices({**shared, **fixed}, *names, *SHARED):
        reading = _weights(series, c, tiles, geometry)
        if reading:
            readings.setdefault((reading.values.shape, reading.values.tobytes()), reading)
    return list(readings.values())


def _weights(
    series: Series, c: Conventions, tiles: tuple[int, ...], geometry: Geometry
) -> InputReading | None:
    """Returns the weights under the conventions `c`; None if the files do not fit them."""
    parts, inputs = _parts(series, c.cores, bare=False), tiles[0]
    outputs = sorted({tile[0] for tile in parts})
    columns = sorted({tile[1] for tile in parts})
    if len(columns) != len(tiles) or len(parts) != len(outputs) * len(columns):
        return None
    blocks, rows = [], []
    for at, output in enumerate(outputs):
        row = []
        for number, column in enumerate(columns):
            files = _in_order(parts[output, column], geometry.positions)
            numbers = None if files is None else _numbers(files, WEIGHT_BITS, True)
            if numbers is None or numbers.size % (geometry.positions * inputs):
                return None
            if len({len(file.words) for file in files}) > 1:
                return None
            count = numbers.size // (geometry.positions * inputs)
            if c.pair_lines == "separate":
                count *= 2
            if count not in CHANNELS or (rows and count != rows[0].shape[1]):
                return None
            shape = (geometry.positions, count, inputs)
            layout = weight_layout(c, *shape, numbers.shape[1])
            if layout is None or layout.shape != numbers.shape:
                return None
            table = np.zeros(np.prod(shape), np.int8)
            table[layout] = numbers
            row.append(table.reshape(shape))
            blocks.append(Block(tuple(files), layout, (0, at * count, number * inputs), shape))
        if len({part.shape for part in row}) > 1:
            return None
        rows.append(np.concatenate(row, 2))
    return InputReading(c, series, tuple(blocks), np.concatenate(rows, 1), tiles)


def why_no_activations(series: list[Series], geometry: Geometry) -> InputError:
    """Returns the error for activations that no convention fits."""
    file = series[0].files[0]
    words, sides = file.words, geometry.kernel - 2 * geometry.padding
    if geometry.height is None and isqrt(len(words)) ** 2 == len(words) >= geometry.kernel**2:
        return InputError(
            f"{words.path}: no convention fits this file, expected a line of {HALF} or "
            f"{2 * HALF} channels for each pixel; {LEAVE_OUT}"
        )
    side = max(isqrt(len(words)), sides, 1)
    squares = [n * n for n in (side, side + 1) if n >= geometry.kernel] or [geometry.kernel**2]
    wanted = (
        f"a multiple of {geometry.height + 2 * geometry.padding} with padding, or of "
        f"{geometry.height} without, for a height of {geometry.height}"
        if geometry.height
        else f"a line for each pixel of a square map, such as {' or '.join(map(str, squares))}; "
        "for another map give --height"
    )
    return InputError(
        f"{words.place(-1)}: the data ends after {len(words)} lines of {words.width} bits, "
        f"expected {wanted}"
    )


def why_no_weights(
    series: list[Series], activations: list[InputReading], geometry: Geometry
) -> InputError:
    """Returns the error for weights that no convention fits."""
    group, inputs = series[0], activations[0].tiles[0]
    files = group.files
    numbers = sorted(file.numbers["position"] for file in files if "position" in file.numbers)
    if 1 < len(files) < geometry.positions and numbers:
        missing = sorted(set(range(geometry.positions)) - set(numbers))
        path = files[0].words.path
        return InputError(
            f"{path.parent}: weights of kernel positions {', '.join(map(str, missing))} not "
            f"found beside {path.name}, expected a file for each of {geometry.positions}"
        )
    usual = Counter(len(file.words) for file in files).most_common(1)[0][0]
    words = next((file.words for file in files if len(file.words) != usual), files[0].words)
    joint = len(files) == 1
    count = HALF * (geometry.positions if joint else 1) * inputs * WEIGHT_BITS // words.width
    if len(words) == count:
        return InputError(
            f"{words.path}: no convention fits this file together with the others, expected "
            f"weights of {inputs} input channels; {LEAVE_OUT}"
        )
    return InputError(
        f"{words.place(-1)}: the data ends after {len(words)} lines of {words.width} bits, "
        f"expected {count} for {inputs} input channels and 8 output channels"
        + (f" at {geometry.positions} kernel positions" if joint else "")
    )
