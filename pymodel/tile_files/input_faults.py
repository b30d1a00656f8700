"""Finds what is wrong in activations or weights where psums and outputs agree with other inputs.

A fault of the inputs makes many psums and sums wrong. It is found as a change of the inputs after
which all results agree: one number, two lines or two files exchanged, or the few weights that the
psums determine.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from pymodel.tile_files.identify_files import PSUM, TileFile
from pymodel.tile_files.inputs import WEIGHT_BITS, Block, InputReading
from pymodel.tile_files.layer import FileLayer

WEIGHTS, ACTIVATIONS = "weights", "activations"
# If more than this share of the weights differ, the files are taken to be of another run
FEW_WEIGHTS = 0.1


@dataclass(frozen=True)
class WrongNumber:
    """An input value that alone explains all differences of the results."""

    file: TileFile
    word: int  # index of the word in the file
    number: int  # number of the value in the word, counted from the right, from 0
    count: int  # number of values in the word
    found: int  # value in the file
    expected: int  # value with which all results agree

    def text(self) -> str:
        """Returns the fault in words."""
        return (
            f"{self.file.words.place(self.word)}: number {self.count - self.number} of "
            f"{self.count} is {self.found}, and all psums and outputs agree with {self.expected}: "
            "this file is wrong there"
        )


@dataclass(frozen=True)
class Exchanged:
    """Two lines of a file, or two files, that explain all differences once they are exchanged."""

    words: str  # the exchanged lines or files, in words

    def text(self) -> str:
        """Returns the fault in words."""
        return (
            f"{self.words} are exchanged: all psums and outputs agree once they are exchanged back"
        )


@dataclass(frozen=True)
class WrongWeights:
    """Several weights that the psums determine, and that explain all differences."""

    first: WrongNumber
    count: int
    minus_one: bool  # all of them are 0 in place of −1, and no weight of the files is −1

    def text(self) -> str:
        """Returns the fault in words."""
        more = f"{self.first.text()}; {self.count} weights are"
        if self.minus_one:
            return f"{more} 0 in place of -1, and no weight is -1: the exporter wrote 0 for -1"
        return f"{more} wrong"


InputFault = WrongNumber | Exchanged | WrongWeights


@dataclass(frozen=True)
class Difference:
    """The differences between results and the layer, and the places where they are known."""

    tile: int | None  # the input tile whose psums or sums these are; None: all tiles are added
    values: np.ndarray  # int64, psums [K, Q, O] or sums [P, O]
    known: np.ndarray  # bool, of the same shape


@dataclass(frozen=True)
class Differences:
    """The differences of all psums and outputs from those of the inputs."""

    layer: FileLayer
    tiles: list[slice]  # input channels of each input tile
    psums: list[Difference]
    sums: list[Difference]

    @property
    def outputs(self) -> np.ndarray:
        """Output channels with a difference."""
        wrong = np.zeros(self.layer.channels[0], bool)
        for one in (*self.psums, *self.sums):
            wrong |= one.values.any(tuple(range(one.values.ndim - 1)))
        return np.flatnonzero(wrong)

    def positions(self) -> np.ndarray:
        """Returns the kernel positions with a difference of psums."""
        wrong = np.zeros(len(self.layer.weights), bool)
        for one in self.psums:
            wrong |= one.values.any((1, 2))
        return np.flatnonzero(wrong)

    def pixels(self) -> np.ndarray:
        """Returns the streamed pixels with a difference of psums."""
        wrong = np.zeros(self.layer.streams.shape[2], bool)
        for one in self.psums:
            wrong |= one.values.any((0, 2))
        return np.flatnonzero(wrong)

    def sum_pixels(self) -> np.ndarray:
        """Returns the output pixels with a difference of sums."""
        wrong = np.zeros(self.layer.pixels.shape[1], bool)
        for one in self.sums:
            wrong |= one.values.any(1)
        return np.flatnonzero(wrong)

    def step(self, channel: int, psum_basis: tuple, sum_basis: tuple) -> int:
        """Returns by how much an input value changes to explain all differences, else 0.

        Each basis is what a change by 1 adds, and where: an array and the index of its part of
        psums [K, Q, O] or sums [P, O]. `channel` is the input channel of the value.
        """
        pairs = [(one, psum_basis) for one in self.psums] + [(one, sum_basis) for one in self.sums]
        step = 0
        for one, (basis, at) in pairs:
            seen = one.values[at]
            inside = one.tile is None or channel in range(*self.tiles[one.tile].indices(1 << 20))
            if not inside:
                if seen.any():
                    return 0
                continue
            both = np.flatnonzero(basis.reshape(-1) * seen.reshape(-1))
            if both.size and not step:
                step, left = divmod(int(seen.reshape(-1)[both[0]]), int(basis.reshape(-1)[both[0]]))
                if left:
                    return 0
        if not step:
            return 0
        for one, (basis, at) in pairs:
            inside = one.tile is None or channel in range(*self.tiles[one.tile].indices(1 << 20))
            if inside and (one.values[at] != step * basis)[one.known[at]].any():
                return 0
        return step


def observed_differences(layer: FileLayer, tiles: list[slice], results: list) -> Differences:
    """Returns by how much the results differ from the layer.

    `results` are the `Agreement`s. An output of 0 or less may be of a ReLU, and says nothing.
    """
    positions, _, streamed = layer.streams.shape
    outputs, counted = layer.channels[0], layer.pixels.shape[1]
    psum_ids = np.arange(positions * streamed * outputs).reshape(positions, streamed, outputs)
    sum_ids = np.arange(counted * outputs).reshape(counted, outputs)
    found: dict[tuple, Difference] = {}
    for result in results:
        way, good = result.reading, result.reading.file.words.well_formed[:, None]
        ids = psum_ids if way.role == PSUM else sum_ids
        one = found.setdefault(
            (way.role, way.inputs),
            Difference(way.inputs, np.zeros(ids.size, np.int64), np.zeros(ids.size, bool)),
        )
        places = way.indices(layer, psum_ids, sum_ids)
        sure = np.broadcast_to(good, places.shape)
        expected = result.expected
        if way.role != PSUM:
            sure = sure & (way.values > 0)
            sums = layer.sums if way.inputs is None else _sums(layer, tiles[way.inputs])
            expected = sums.reshape(-1)[places]
        one.values[places[sure]] = (way.values - expected)[sure]
        one.known[places[sure]] = True
    psums, sums = [], []
    for (role, tile), one in found.items():
        shape = psum_ids.shape if role == PSUM else sum_ids.shape
        shaped = Difference(tile, one.values.reshape(shape), one.known.reshape(shape))
        (psums if role == PSUM else sums).append(shaped)
    return Differences(layer, tiles, psums, sums)


def _sums(layer: FileLayer, tile: slice) -> np.ndarray:
    """Returns the sums [P, O] of one input tile."""
    return layer.add_up(layer.psums(tile))


def wrong_numbers(seen: Differences) -> Iterator[tuple[str, tuple[int, ...], int]]:
    """Yields each change of one input value that explains all differences.

    A change is WEIGHTS with the index [K, O, I], or ACTIVATIONS with the index [K, I, Q] of the
    streams, and by how much the value is to change.
    """
    layer = seen.layer
    positions, channels, streamed = layer.streams.shape
    streams, weights = layer.streams.astype(np.int64), layer.weights.astype(np.int64)
    used = np.take_along_axis(streams, layer.pixels[:, None], 2)  # [K, I, P]
    every = slice(None)
    if not len(seen.outputs):
        return
    if len(seen.outputs) == 1 and len(wrong := seen.positions()) <= 1:
        (output,) = seen.outputs.tolist()
        for position in wrong if len(wrong) else range(positions):
            for channel in range(channels):
                psum_basis = streams[position, channel], (position, every, output)
                sum_basis = used[position, channel], (every, output)
                if step := seen.step(channel, psum_basis, sum_basis):
                    yield WEIGHTS, (int(position), output, channel), step
    if len(wrong := seen.pixels()) > 1:
        return
    for pixel in wrong if len(wrong) else range(streamed):
        uses = (layer.pixels == pixel).astype(np.int64)  # [K, P]
        # A pixel of a map is streamed at every position; a window is of one position alone.
        parts = [every] if layer.padded is not None else [slice(k, k + 1) for k in range(positions)]
        for part in parts:
            for channel in range(channels):
                basis = np.zeros((positions, layer.channels[0]), np.int64)
                basis[part] = weights[part, :, channel]
                psum_basis = basis, (every, pixel, every)
                sum_basis = uses.T @ basis, (every, every)
                if step := seen.step(channel, psum_basis, sum_basis):
                    yield ACTIVATIONS, (part.start or 0, channel, int(pixel)), step


def exchanges(
    what: str, source: InputReading, seen: Differences, lines: bool
) -> Iterator[tuple[np.ndarray, str]]:
    """Yields the values with two lines of a file, or two files of a series, exchanged.

    Without `lines` only files are exchanged.
    With each come the words that say what is exchanged. Exchanges that cannot explain all
    differences are left out.
    """
    for block in source.blocks:
        ends = np.cumsum([len(file.words) for file in block.files]).tolist()
        starts = [0, *ends[:-1]]
        for start, end, file in zip(starts, ends, block.files, strict=True):
            for one, other in combinations(range(start, end), 2) if lines else ():
                values = _exchanged(source.values, block, [one], [other])
                if _may_explain(what, source.values, values, seen):
                    places = [str(file.words.lines[at - start]) for at in (one, other)]
                    yield values, f"{file.words.path}: lines {' and '.join(places)}"
        for (s, e, file), (t, f, other) in combinations(
            zip(starts, ends, block.files, strict=True), 2
        ):
            if e - s == f - t:
                values = _exchanged(source.values, block, range(s, e), range(t, f))
                if _may_explain(what, source.values, values, seen):
                    yield values, f"{file.words.path} and {other.words.path.name}"


def _exchanged(values: np.ndarray, block: Block, one, other) -> np.ndarray:
    """Returns the values with the lines `one` and `other` of a block exchanged."""
    changed = values.copy()
    place = tuple(slice(s, s + n) for s, n in zip(block.start, block.shape, strict=True))
    part = changed[place].reshape(-1).copy()
    at, to = block.layout[list(one)], block.layout[list(other)]
    part[at], part[to] = part[to], part[at]
    changed[place] = part.reshape(block.shape)
    return changed


def _may_explain(what: str, old: np.ndarray, new: np.ndarray, seen: Differences) -> bool:
    """Returns whether the changed values can explain the differences.

    They can if every differing result depends on one of the changed values.
    """
    changed = old != new
    if not changed.any():
        return False
    layer = seen.layer
    if what == WEIGHTS:
        outputs = changed.any((0, 2))[seen.outputs].all()
        return bool(outputs and changed.any((1, 2))[seen.positions()].all())
    if layer.padded is None:
        pixels = changed.any((0, 1))
        return bool(pixels[seen.pixels()].all() and pixels[seen.sum_pixels()].all())
    pixels = changed.any(0).reshape(-1)
    return bool(
        pixels[seen.pixels()].all() and pixels[layer.pixels].any(0)[seen.sum_pixels()].all()
    )


def solved_weights(seen: Differences) -> np.ndarray | None:
    """Returns the weights, int8 [K, O, I], with which all psums agree.

    Psums of one kernel position and output channel are linear in its weights. Returns None if
    psums do not determine the weights, or if the weights would be no integers of 4 bits.
    """
    layer = seen.layer
    weights = layer.weights.astype(np.int64)
    if not any(one.values.any() for one in seen.psums):
        return None
    for one in seen.psums:
        channels = slice(None) if one.tile is None else seen.tiles[one.tile]
        for position, output in np.argwhere(one.values.any(1)).tolist():
            known = one.known[position, :, output]
            streams = layer.streams[position, channels][:, known].astype(float)
            at = np.flatnonzero(streams.any(1))  # weights of inputs that are always 0 do not matter
            wanted = one.values[position, known, output].astype(float)
            solved, _, rank, _ = np.linalg.lstsq(streams[at].T, wanted, rcond=None)
            steps = np.rint(solved)
            if rank < len(at) or not np.array_equal(streams[at].T @ steps, wanted):
                return None
            inputs = np.arange(layer.channels[1])[channels][at]
            weights[position, output, inputs] = (
                layer.weights[position, output, inputs] + steps
            ).astype(np.int64)
    if weights.min() < -8 or weights.max() > 7:
        return None
    return weights.astype(np.int8)


def wrong_weights(source: InputReading, solved: np.ndarray) -> WrongWeights | None:
    """Returns the weights of the files that differ from the `solved` ones, if they are few.

    They may be more if each is 0 in place of −1 and no weight of the files is −1.
    """
    wrong = np.argwhere(source.values != solved)
    lost = not (source.values == -1).any()
    lost &= bool(((source.values == 0) & (solved == -1))[tuple(wrong.T)].all())
    if not len(wrong) or (not lost and len(wrong) > FEW_WEIGHTS * solved.size):
        return None
    index = tuple(wrong[0].tolist())
    place = source.place(index)
    if place is None:
        return None
    file, word, number = place
    count = file.words.width // WEIGHT_BITS
    values = int(source.values[index]), int(solved[index])
    first = WrongNumber(file, word, number, count, *values)
    return WrongWeights(first, len(wrong), lost and len(wrong) > 1)
