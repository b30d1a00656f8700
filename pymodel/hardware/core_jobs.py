"""Lowers any convolution to jobs that the core can run, and puts their sums together again.

The core walks square kernels of up to 7 × 7 with a stride of 1 or 2, on maps that fit its memories,
with a border of zeros. The host turns any other convolution into convolutions that the core can
run, with the same sums:

- A border that is too wide, of another code than 0, or not the same for rows and columns becomes a
  part of the map.
- A kernel that is not square, or is dilated, is filled up with zeros. Or the pixels under the
  kernel become channels of a 1 × 1 kernel (im2col), which any kernel and any stride allow.
- Groups of channels become convolutions of their own. As many of them as the array has rows and
  columns for share a tile, where the weights between them are zeros; a depthwise layer lies on the
  diagonal.
- A map that is too large is cut into windows, which overlap where the kernel demands it.
- Input channels that are too many are cut into parts, whose sums the host adds.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from pymodel.convolution import Convolution, pair
from pymodel.hardware.core import Core, Layer, check, split
from pymodel.hardware.cycles import cycles
from pymodel.hardware.registers import Error

LARGEST_KERNEL = 7  # rows and columns
LONGEST_SIDE = 255  # longest side of a map, pixels
BORDER = "border by the host"


class LoweredJob(NamedTuple):
    """A job for the core, and the place of its sums in those of the whole layer."""

    layer: Layer
    codes: np.ndarray  # int [images, C_in, H, W]
    weights: np.ndarray  # int [C_out, C_in, k, k]
    images: slice
    channels: slice  # output channels
    rows: slice  # rows of output pixels
    columns: slice


class Lowering(NamedTuple):
    """A layer as jobs for the core; the sums of jobs at the same place are to be added."""

    words: str  # what the host does, "" where the core runs the layer as it is
    jobs: list[LoweredJob]
    shape: tuple[int, int, int, int]  # shape of the sums, [N, C_out, H', W']

    def together(self, results: Iterable[np.ndarray]) -> np.ndarray:
        """Returns the sums of the layer, int64, from those of its jobs in their order."""
        sums = np.zeros(self.shape, np.int64)
        for job, result in zip(self.jobs, results, strict=True):
            sums[job.images, job.channels, job.rows, job.columns] += result
        return sums


def lower(
    codes: np.ndarray, weights: np.ndarray, convolution: Convolution, core: Core, zero: int = 0
) -> Lowering:
    """Returns the jobs by which `core` computes the integer sums of a convolution.

    codes: int [N, C_in, H, W]; weights: int [C_out, C_in / groups, kh, kw]; both lie in the ranges
    of the core. `zero` is the code of the border. If a kernel filled with zeros and im2col are both
    possible, the one whose jobs take fewer cycles is used.
    """
    geometry = _Geometry(codes, weights, convolution, zero)
    plans = [
        _planned(way, len(codes), len(weights), convolution.groups, core)
        for way in (_with_zeros(geometry), _im2col(geometry))
        if way
    ]
    # im2col is always possible, because one pixel of a 1 × 1 kernel fits any core.
    best = min(
        filter(None, plans), key=lambda plan: sum(cycles(part.layer, core) for part in plan.parts)
    )
    size = convolution.output_size(codes.shape[2:], weights.shape[2:])
    return Lowering(best.words, list(_made(best)), (len(codes), len(weights), *size))


class _Geometry(NamedTuple):
    """The codes, weights and arguments of a convolution, and the sizes that follow from them."""

    codes: np.ndarray
    weights: np.ndarray
    convolution: Convolution
    zero: int

    @property
    def kernel(self) -> tuple[int, int]:
        """Rows and columns of weights."""
        return self.weights.shape[2:]

    @property
    def reach(self) -> tuple[int, int]:
        """Rows and columns of pixels from the first to the last that the kernel sees."""
        apart = pair(self.convolution.dilation)
        return tuple((k - 1) * d + 1 for k, d in zip(self.kernel, apart, strict=True))

    def padded(self, more: tuple[int, int] = (0, 0)) -> np.ndarray:
        """Returns the maps with their border, and with `more` rows and columns at their ends."""
        sides = [(p, p + m) for p, m in zip(pair(self.convolution.padding), more, strict=True)]
        return np.pad(self.codes, [(0, 0), (0, 0), *sides], constant_values=self.zero)


class _Way(NamedTuple):
    """A convolution with a square kernel that the core can run.

    Its sums are those of the given convolution. Its arrays are made when they are needed.
    """

    words: tuple[str, ...]
    channels: int
    sides: tuple[int, int]  # height and width of the maps, pixels
    kernel: int
    stride: int
    padding: int
    codes: Callable[[], np.ndarray]  # [N, channels, *sides]
    weights: Callable[[], np.ndarray]  # [C_out, channels / groups, kernel, kernel]

    @property
    def output_size(self) -> tuple[int, int]:
        """Height and width of the output, pixels."""
        return Layer(*self.sides, 1, 1, self.kernel, self.stride, self.padding).output_size

    def bordered(self) -> "_Way":
        """Returns the convolution with its border of zeros as a part of its maps."""
        if not self.padding:
            return self
        border = [(0, 0), (0, 0), *[(self.padding, self.padding)] * 2]
        return self._replace(
            words=(*self.words, BORDER),
            sides=tuple(side + 2 * self.padding for side in self.sides),
            padding=0,
            codes=lambda: np.pad(self.codes(), border),
        )


def _with_zeros(given: _Geometry) -> _Way | None:
    """Returns the convolution with its kernel filled with zeros to a square.

    Returns None if that kernel is too large for the core.
    """
    stride, padding = pair(given.convolution.stride), pair(given.convolution.padding)
    apart = pair(given.convolution.dilation)
    side = max(given.reach)
    out, channels = given.weights.shape[0], given.codes.shape[1]
    if side == 1:  # the pixels between are not needed
        words = (BORDER,) if any(padding) else ()
        words += ("pixels picked",) if stride != (1, 1) else ()
        sides = tuple(-(-n // s) for n, s in zip(given.padded().shape[2:], stride, strict=True))
        return _Way(
            words,
            channels,
            sides,
            1,
            1,
            0,
            lambda: given.padded()[:, :, :: stride[0], :: stride[1]],
            lambda: given.weights,
        )
    if side > LARGEST_KERNEL or stride[0] != stride[1] or stride[0] > 2:
        return None

    def filled() -> np.ndarray:
        weights = np.zeros((out, given.weights.shape[1], side, side), given.weights.dtype)
        rows, columns = given.reach
        weights[:, :, : rows : apart[0], : columns : apart[1]] = given.weights
        return weights

    words = ("kernel with zeros",) if given.kernel != (side, side) else ()
    more = tuple(side - n for n in given.reach)
    # A border that is too wide for the core is made part of the map where the map is cut.
    if padding[0] == padding[1] and more == (0, 0) and not given.zero:
        return _Way(
            words,
            channels,
            given.codes.shape[2:],
            side,
            stride[0],
            padding[0],
            lambda: given.codes,
            filled,
        )
    sides = tuple(
        n + 2 * p + m for n, p, m in zip(given.codes.shape[2:], padding, more, strict=True)
    )
    words += (BORDER,) if any(padding) or any(more) else ()
    return _Way(words, channels, sides, side, stride[0], 0, lambda: given.padded(more), filled)


def _im2col(given: _Geometry) -> _Way | None:
    """Returns the convolution by a 1 × 1 kernel, whose channels are the pixels under the kernel."""
    positions = given.kernel[0] * given.kernel[1]
    if positions == 1:
        return None
    stride, apart = pair(given.convolution.stride), pair(given.convolution.dilation)
    size = given.convolution.output_size(given.codes.shape[2:], given.kernel)
    channels = given.codes.shape[1] * positions

    def codes() -> np.ndarray:
        windows = sliding_window_view(given.padded(), given.reach, (2, 3))
        windows = windows[:, :, :: stride[0], :: stride[1], :: apart[0], :: apart[1]]
        return windows.transpose(0, 1, 4, 5, 2, 3).reshape(len(windows), channels, *size)

    def weights() -> np.ndarray:
        return given.weights.reshape(len(given.weights), -1, 1, 1)

    return _Way(("im2col",), channels, size, 1, 1, 0, codes, weights)


class _Part(NamedTuple):
    """A job before its arrays are made."""

    layer: Layer
    images: slice
    inputs: slice  # input channels of the convolution
    channels: slice
    rows: slice  # rows of output pixels
    columns: slice


class _Plan(NamedTuple):
    """The jobs of a convolution before their arrays are made."""

    words: str
    way: _Way
    groups: int
    parts: list[_Part]


class _Piece(NamedTuple):
    """The input channels and the output pixels of one job of a convolution without groups."""

    inputs: slice
    rows: slice
    columns: slice


def _planned(way: _Way, images: int, outputs: int, groups: int, core: Core) -> _Plan | None:
    """Returns the jobs of a convolution, for a number of images and of output channels.

    Returns None if the memories of the core are too small for its kernel.
    """
    ins, outs = way.channels // groups, outputs // groups
    together = 1  # groups that share a tile
    if groups > 1:
        together = max(1, min(groups, core.rows // ins, max(1, core.cols // outs)))
    found = _pieces(way, together * ins, together * outs, core)
    if not found:
        return None
    way, pieces, words = found
    parts = []
    for first in range(0, groups, together):
        count = min(together, groups - first)  # number of groups in this job
        for piece in pieces:
            start, stop = piece.inputs.start, min(piece.inputs.stop, count * ins)
            inputs = slice(start + first * ins, stop + first * ins)
            layer = _layer_of(way, piece, inputs, count * outs, images)
            parts += [
                _Part(
                    job,
                    batch,
                    inputs,
                    slice(channels.start + first * outs, channels.stop + first * outs),
                    piece.rows,
                    piece.columns,
                )
                for batch, channels, job in split(layer, core)
            ]
    if groups > 1:
        words = (f"{together} groups a tile" if together > 1 else "group by group", *words)
    return _Plan(", ".join((*way.words, *words)), way, groups, parts)


def _pieces(
    way: _Way, inputs: int, outputs: int, core: Core
) -> tuple[_Way, list[_Piece], tuple[str, ...]] | None:
    """Returns the convolution, its pieces that fit the core's memories, and in words how it is cut.

    If the maps are cut, the border is made part of them. If there are several ways to cut, the one
    with the fewest cycles is returned; if there is none, None.
    """
    outputs = min(outputs, core.cols)
    found = []
    all_tiles = tiles = -(-inputs // core.rows)
    while tiles:
        depth = min(inputs, tiles * core.rows)
        whole = Layer(*way.sides, depth, outputs, way.kernel, way.stride, way.padding)
        chosen, window = way, way.output_size
        if check(whole, core) != Error.NONE:
            chosen = way.bordered()
            window = _window(chosen, depth, outputs, core)
        if window:
            rows, columns = map(_cut, way.output_size, window)
            channels = [
                slice(part.start * core.rows, min(part.stop * core.rows, inputs))
                for part in _cut(all_tiles, tiles)
            ]
            words = (f"{len(channels)} parts of the input channels",) if len(channels) > 1 else ()
            if (windows := len(rows) * len(columns)) > 1:
                words += (f"{windows} windows",)
            pieces = [_Piece(c, y, x) for y in rows for x in columns for c in channels]
            needed = sum(
                cycles(_layer_of(chosen, piece, piece.inputs, outputs), core) for piece in pieces
            )
            found.append((needed, chosen, pieces, words))
        tiles //= 2
    return min(found, key=lambda one: one[0])[1:] if found else None


def _layer_of(way: _Way, piece: _Piece, inputs: slice, outputs: int, images: int = 1) -> Layer:
    """Returns the job that computes a piece from the channels `inputs`.

    If the core adds the border, the piece is the whole map.
    """
    sides = way.sides
    if not way.padding:
        sides = tuple(
            (pixels.stop - pixels.start - 1) * way.stride + way.kernel
            for pixels in (piece.rows, piece.columns)
        )
    channels = inputs.stop - inputs.start
    return Layer(*sides, channels, outputs, way.kernel, way.stride, way.padding, images)


def _window(way: _Way, inputs: int, outputs: int, core: Core) -> tuple[int, int] | None:
    """Returns rows and columns of output pixels that a job of `inputs` channels can have, or None.

    The window is as wide as it can be, and then as high.
    """
    height, width = way.output_size
    words = core.act_words // -(-inputs // core.rows)  # pixels of the map

    def reached(pixels: int) -> int:
        return (pixels - way.kernel) // way.stride + 1 if pixels >= way.kernel else 0

    columns = min(width, core.pixels, reached(min(LONGEST_SIDE, words // way.kernel)))
    if not columns:
        return None
    wide = (columns - 1) * way.stride + way.kernel
    rows = min(height, core.pixels // columns, reached(min(LONGEST_SIDE, words // wide)))
    layer = Layer(
        (rows - 1) * way.stride + way.kernel, wide, inputs, outputs, way.kernel, way.stride, 0
    )
    return (rows, columns) if rows and check(layer, core) == Error.NONE else None


def _cut(whole: int, most: int) -> list[slice]:
    """Cuts the range from 0 to `whole` into slices of nearly equal length, at most `most` each.

    There are as few slices as possible.

    >>> _cut(10, 4)
    [slice(0, 4, None), slice(4, 8, None), slice(8, 10, None)]
    """
    count = -(-whole // most)
    size = -(-whole // count)
    return [slice(first, min(first + size, whole)) for first in range(0, whole, size)]


def _made(plan: _Plan) -> Iterator[LoweredJob]:
    """Yields the jobs of a plan with their arrays."""
    way = plan.way
    codes, weights = way.codes(), way.weights()
    ins, outs = way.channels // plan.groups, len(weights) // plan.groups
    for layer, images, inputs, channels, rows, columns in plan.parts:
        y, x = rows.start * way.stride, columns.start * way.stride
        used = codes[images, inputs, y : y + layer.height, x : x + layer.width]
        if plan.groups == 1:
            chosen = weights[channels, inputs]
        else:
            chosen = np.zeros((layer.out_channels, layer.in_channels, *weights.shape[2:]), np.int64)
            for row, channel in enumerate(range(channels.start, channels.stop)):
                group = channel // outs
                for column, source in enumerate(range(inputs.start, inputs.stop)):
                    if source // ins == group:
                        chosen[row, column] = weights[channel, source % ins]
        yield LoweredJob(layer, used, chosen, images, channels, rows, columns)
