"""What the core (rtl/core.v) takes, gives and refuses: layers, streams and error codes."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from pymodel.hardware.registers import Error, Mode

MAX_ACTIVATION, MIN_WEIGHT = 15, -8  # what the hardware accepts, in magnitude the largest


@dataclass(frozen=True)
class Core:
    """The parameters of rtl/core.v, which explains them."""

    rows: int = 8
    cols: int = 8
    sum_width: int = 24
    act_words: int = 8192
    weight_words: int = 8192
    threshold_tiles: int = 64
    pixels: int = 1024

    def parameters(self) -> dict[str, int]:
        """By their Verilog names."""
        return {name.upper(): value for name, value in vars(self).items()}

    @property
    def latency(self) -> int:
        """Cycles from the address of an activation to its result at the output.

        Memory and registers 3, array ROWS + COLS − 1, accumulator 1, output stage 6, FIFO 1.
        """
        return 3 + self.rows + self.cols - 1 + 1 + 6 + 1


@dataclass(frozen=True)
class Layer:
    """A job for the core: sizes in pixels and channels."""

    height: int
    width: int
    in_channels: int
    out_channels: int
    kernel: int = 3
    stride: int = 1
    padding: int = 1
    images: int = 1
    mode: Mode = Mode.SUMS

    @property
    def output_size(self) -> tuple[int, int]:
        """Height and width of the output map."""
        height, width = (
            (side + 2 * self.padding - self.kernel) // self.stride + 1
            for side in (self.height, self.width)
        )
        return height, width

    def tiles(self, core: Core) -> tuple[int, int]:
        """Input tiles and output tiles."""
        return -(-self.in_channels // core.rows), -(-self.out_channels // core.cols)

    def macs(self) -> int:
        """Multiplications of the real channels, padding counted as if it were multiplied."""
        height, width = self.output_size
        per_pixel = self.kernel**2 * self.in_channels * self.out_channels
        return self.images * height * width * per_pixel

    def reach(self) -> tuple[list[int], list[int]]:
        """How many output rows each kernel row reaches inside the map; columns likewise."""
        return tuple(
            [
                len(outputs_reached(tap, side, out, self.stride, self.padding))
                for tap in range(self.kernel)
            ]
            for side, out in zip((self.height, self.width), self.output_size, strict=True)
        )


def outputs_reached(tap: int, side: int, out_side: int, stride: int, padding: int) -> range:
    """The output rows for which kernel row `tap` lies inside a map of `side` rows; columns too.

    >>> outputs_reached(0, 4, 4, stride=1, padding=1)
    range(1, 4)
    """
    inside = [o for o in range(out_side) if 0 <= o * stride - padding + tap < side]
    return range(inside[0], inside[-1] + 1) if inside else range(0)


class PacketLengths(NamedTuple):
    """Beats of the three packets that a layer can need."""

    acts: int
    weights: int
    thresholds: int


def packet_lengths(layer: Layer, core: Core) -> PacketLengths:
    """Returns the lengths of the packets of `layer`, in beats: each is a word of its memory."""
    input_tiles, output_tiles = layer.tiles(core)
    return PacketLengths(
        input_tiles * layer.images * layer.height * layer.width,
        output_tiles * input_tiles * layer.kernel**2 * core.cols,
        16 * output_tiles,
    )


def check(layer: Layer, core: Core) -> Error:
    """What the core says to this layer; the first error that applies, in the order of the codes."""
    input_tiles, output_tiles = layer.tiles(core)
    sides = (layer.height, layer.width, input_tiles, output_tiles)
    if not all(1 <= n <= 255 for n in sides) or not 1 <= layer.images <= 65535 or not layer.kernel:
        return Error.SIZE
    if layer.kernel > 7:
        return Error.KERNEL
    if layer.stride not in (1, 2):
        return Error.STRIDE
    if not 0 <= layer.padding <= min(3, layer.kernel - 1):
        return Error.PADDING
    if layer.kernel > min(layer.height, layer.width) + 2 * layer.padding:
        return Error.KERNEL
    if layer.mode not in tuple(Mode):
        return Error.MODE
    largest = input_tiles * layer.kernel**2 * core.rows * MAX_ACTIVATION * -MIN_WEIGHT
    if largest > 2 ** (core.sum_width - 1) - 2:
        return Error.OVERFLOW
    needed = packet_lengths(layer, core)
    height, width = layer.output_size
    for error, found, limit in (
        (Error.WEIGHT_MEMORY, needed.weights, core.weight_words),
        (Error.ACT_MEMORY, needed.acts, core.act_words),
        (Error.ACCUMULATOR, layer.images * height * width, core.pixels),
        (Error.THRESHOLD_MEMORY, (layer.mode == Mode.CODES) * output_tiles, core.threshold_tiles),
    ):
        if found > limit:
            return error
    return Error.NONE


def act_vectors(codes: np.ndarray, core: Core) -> np.ndarray:
    """The activation packet: [N, C_in, H, W] → [beats, ROWS].

    Input tile by input tile, in it image by image, row by row. Missing channels are zeros.
    """
    tiles = _grouped(codes, 1, core.rows)  # [N, tiles, ROWS, H, W]
    return tiles.transpose(1, 0, 3, 4, 2).reshape(-1, core.rows)


def weight_vectors(weights: np.ndarray, core: Core) -> np.ndarray:
    """The weight packet: [C_out, C_in, k, k] → [beats, ROWS], a column of the array a beat.

    Output tile by output tile, in it input tile, kernel row, kernel column, array column.
    """
    tiles = _grouped(_grouped(weights, 1, core.rows), 0, core.cols)  # [out, COLS, in, ROWS, k, k]
    return tiles.transpose(0, 2, 4, 5, 1, 3).reshape(-1, core.rows)


def threshold_vectors(thresholds: np.ndarray, core: Core) -> np.ndarray:
    """The threshold packet: [C_out, 16] (see pymodel/hardware/thresholds.py) → [beats, COLS]."""
    tiles = _grouped(thresholds, 0, core.cols)  # [tiles, COLS, 16]
    return tiles.transpose(0, 2, 1).reshape(-1, core.cols)


def result_vectors(results: np.ndarray, core: Core) -> np.ndarray:
    """What the core sends: [N, C_out, H', W'] → [beats, COLS], output tile by output tile."""
    return act_vectors(results, Core(rows=core.cols))


def results(vectors: np.ndarray, layer: Layer) -> np.ndarray:
    """The inverse: [beats, COLS] → [N, C_out, H', W']."""
    height, width = layer.output_size
    tiles = vectors.reshape(-1, layer.images, height, width, vectors.shape[1])
    maps = tiles.transpose(1, 0, 4, 2, 3).reshape(layer.images, -1, height, width)
    return maps[:, : layer.out_channels]


def split(layer: Layer, core: Core) -> Iterator[tuple[slice, slice, Layer]]:
    """Jobs that fit: images, output channels, and the layer that these make.

    As many images as the memories hold, then as many output tiles. Jobs of the same output
    channels follow one another. Raises ValueError if a single image or output tile does not fit.
    """
    height, width = layer.output_size
    one = packet_lengths(replace(layer, images=1, out_channels=1), core)
    images = min(layer.images, core.act_words // one.acts, core.pixels // (height * width))
    tiles = min(core.weight_words // one.weights, 255)
    if layer.mode == Mode.CODES:
        tiles = min(tiles, core.threshold_tiles)
    if not images or not tiles:
        raise ValueError(f"{layer} does not fit, not even one image and one output tile")
    step = tiles * core.cols
    for first_channel in range(0, layer.out_channels, step):
        channels = slice(first_channel, min(first_channel + step, layer.out_channels))
        for first_image in range(0, layer.images, images):
            part = slice(first_image, min(first_image + images, layer.images))
            sizes = {
                "images": part.stop - part.start,
                "out_channels": channels.stop - channels.start,
            }
            yield part, channels, replace(layer, **sizes)


def _grouped(array: np.ndarray, axis: int, size: int) -> np.ndarray:
    """Split `axis` into groups of `size`, zeros where the last one lacks."""
    groups = -(-array.shape[axis] // size)
    pad = [(0, 0)] * array.ndim
    pad[axis] = (0, groups * size - array.shape[axis])
    shape = (*array.shape[:axis], groups, size, *array.shape[axis + 1 :])
    return np.pad(array, pad).reshape(shape)
