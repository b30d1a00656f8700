"""Describes what the core (rtl/core.v) takes, gives and refuses: layers, streams, error codes."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from pymodel.hardware.output_scaling import CODE_BITS
from pymodel.hardware.registers import Error, Mode

TABLE_MODES = (Mode.CODES, Mode.SCALED)  # those that need a packet of tables


@dataclass(frozen=True)
class Core:
    """The parameters of the core; rtl/core.v explains each of them."""

    rows: int = 8
    cols: int = 8
    sum_width: int = 24
    act_words: int = 8192
    weight_words: int = 8192
    threshold_tiles: int = 64
    pixels: int = 1024
    act_width: int = 4
    weight_width: int = 4
    act_signed: int = 0
    output_scaling: int = 0
    pool_width: int = 0

    def parameters(self) -> dict[str, int]:
        """Returns the values of the parameters by their Verilog names."""
        return {name.upper(): value for name, value in vars(self).items()}

    @property
    def act_range(self) -> tuple[int, int]:
        """Smallest and largest activation code that the core takes."""
        lowest = -(2 ** (self.act_width - 1)) if self.act_signed else 0
        return lowest, lowest + 2**self.act_width - 1

    @property
    def weight_range(self) -> tuple[int, int]:
        """Smallest and largest weight code that the core takes."""
        return -(2 ** (self.weight_width - 1)), 2 ** (self.weight_width - 1) - 1

    @property
    def max_psum(self) -> int:
        """Largest size of a psum, as a positive number: ROWS products of the largest size."""
        return self.rows * max(map(abs, self.act_range)) * -self.weight_range[0]

    @property
    def modes(self) -> tuple[Mode, ...]:
        """The output modes that the core takes."""
        return tuple(mode for mode in Mode if mode != Mode.SCALED or self.output_scaling)

    def lane_width(self, mode: Mode) -> int:
        """Returns the number of bits of an output channel's lane in a mode."""
        return {Mode.CODES: 4, Mode.SCALED: CODE_BITS}.get(mode, self.sum_width)

    @property
    def latency(self) -> int:
        """Number of cycles from the address of an activation to the result at the output.

        Memory and registers take 3, the array takes ROWS + COLS − 1, the accumulator takes 1, the
        output stage 6, the FIFO 1.
        """
        return 3 + self.rows + self.cols - 1 + 1 + 6 + 1


@dataclass(frozen=True)
class Layer:
    """A layer as a job for the core. Its sizes are in pixels and channels."""

    height: int
    width: int
    in_channels: int
    out_channels: int
    kernel: int = 3
    stride: int = 1
    padding: int = 1
    images: int = 1
    mode: Mode = Mode.SUMS
    pool: int = 0

    @property
    def result_size(self) -> tuple[int, int]:
        """Height and width of the map that leaves the core, in pixels: half if it is pooled."""
        height, width = self.output_size
        return (height // 2, width // 2) if self.pool else (height, width)

    @property
    def output_size(self) -> tuple[int, int]:
        """Height and width of the output map before pooling, in pixels."""
        height, width = (
            (side + 2 * self.padding - self.kernel) // self.stride + 1
            for side in (self.height, self.width)
        )
        return height, width

    def tiles(self, core: Core) -> tuple[int, int]:
        """Returns the numbers of input tiles and of output tiles."""
        return -(-self.in_channels // core.rows), -(-self.out_channels // core.cols)

    def macs(self) -> int:
        """Returns the number of multiplications; those by the zeros of the padding count too.

        Channels that only fill the last tile do not count.
        """
        height, width = self.output_size
        per_pixel = self.kernel**2 * self.in_channels * self.out_channels
        return self.images * height * width * per_pixel

    def reach(self) -> tuple[list[int], list[int]]:
        """Returns two lists of numbers: one for kernel rows, one for kernel columns.

        Number k of the first list is the number of output rows for which kernel row k lies inside
        the map. The second list says the same of columns.
        """

        def reached(side: int, out_side: int) -> list[int]:
            return [
                len(outputs_reached(kernel_row, side, out_side, self.stride, self.padding))
                for kernel_row in range(self.kernel)
            ]

        out_height, out_width = self.output_size
        return reached(self.height, out_height), reached(self.width, out_width)


def outputs_reached(
    kernel_row: int, side: int, out_side: int, stride: int, padding: int
) -> list[int]:
    """Returns the output rows for which kernel row `kernel_row` lies inside the map.

    The map has `side` rows and its output `out_side`. Columns follow the same rule.

    >>> outputs_reached(0, 4, 4, stride=1, padding=1)
    [1, 2, 3]
    """
    return [o for o in range(out_side) if 0 <= o * stride - padding + kernel_row < side]


class PacketLengths(NamedTuple):
    """The lengths of the three packets that a layer can need, in beats."""

    acts: int
    weights: int
    thresholds: int


def packet_lengths(layer: Layer, core: Core) -> PacketLengths:
    """Returns the lengths of the packets of `layer`, in beats. A beat is one word of a memory."""
    input_tiles, output_tiles = layer.tiles(core)
    return PacketLengths(
        input_tiles * layer.images * layer.height * layer.width,
        output_tiles * input_tiles * layer.kernel**2 * core.cols,
        16 * output_tiles,
    )


def check(layer: Layer, core: Core) -> Error:
    """Returns the error code with which the core answers `layer`, or Error.NONE.

    If several errors apply, the core reports the one that it checks first, as this function does.
    """
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
    if layer.mode not in core.modes:
        return Error.MODE
    largest = input_tiles * layer.kernel**2 * core.max_psum
    if largest.bit_length() >= core.sum_width:  # one more bit holds the sign
        return Error.OVERFLOW
    needed = packet_lengths(layer, core)
    height, width = layer.output_size
    for error, found, limit in (
        (Error.WEIGHT_MEMORY, needed.weights, core.weight_words),
        (Error.ACT_MEMORY, needed.acts, core.act_words),
        (Error.ACCUMULATOR, layer.images * height * width, core.pixels),
        (Error.THRESHOLD_MEMORY, (layer.mode in TABLE_MODES) * output_tiles, core.threshold_tiles),
    ):
        if found > limit:
            return error
    odd = height % 2 or width % 2
    if layer.pool and (layer.mode != Mode.CODES or odd or width > core.pool_width):
        return Error.POOLING
    return Error.NONE


def act_vectors(codes: np.ndarray, core: Core) -> np.ndarray:
    """Returns the activation packet [beats, ROWS] of integer codes [N, C_in, H, W].

    The order is, from the slowest index to the fastest: input tile, image, pixel row, pixel column.
    Missing channels are zeros. The dtype is that of `codes`.
    """
    tiles = _grouped(codes, 1, core.rows)  # [N, tiles, ROWS, H, W]
    return _beats(tiles.transpose(1, 0, 3, 4, 2))


def weight_vectors(weights: np.ndarray, core: Core) -> np.ndarray:
    """Returns the weight packet [beats, ROWS] of integer weights [C_out, C_in, k, k].

    A beat holds the weights of one column of the array. The order is, from the slowest index to the
    fastest: output tile, input tile, kernel row, kernel column, array column. The dtype is that of
    `weights`.
    """
    tiles = _grouped(_grouped(weights, 1, core.rows), 0, core.cols)  # [out, COLS, in, ROWS, k, k]
    return _beats(tiles.transpose(0, 2, 4, 5, 1, 3))


def threshold_vectors(thresholds: np.ndarray, core: Core) -> np.ndarray:
    """Returns the threshold packet [beats, COLS] of the tables of the channels, int [C_out, 16].

    `output_thresholds.py` computes the tables, and `output_scaling.py` those of mode SCALED. A beat
    holds one entry of the table for the channels of an output tile. The order is, from the slowest
    index to the fastest: output tile, entry. The dtype is that of `thresholds`.
    """
    tiles = _grouped(thresholds, 0, core.cols)  # [tiles, COLS, 16]
    return _beats(tiles.transpose(0, 2, 1))


def result_vectors(results: np.ndarray, core: Core) -> np.ndarray:
    """Returns the packet [beats, COLS] that the core sends for integer results [N, C_out, H', W'].

    The order is, from the slowest index to the fastest: output tile, image, pixel row, pixel
    column. Missing channels are zeros. The dtype is that of `results`.
    """
    return act_vectors(results, Core(rows=core.cols))


def results(vectors: np.ndarray, layer: Layer) -> np.ndarray:
    """Returns the results [N, C_out, H', W'] in the packet [beats, COLS] that the core sent.

    The function is the inverse of `result_vectors`. The dtype is that of `vectors`.
    """
    height, width = layer.result_size
    _, cols = vectors.shape
    tiles = len(vectors) // (layer.images * height * width)
    ordered = vectors.reshape(tiles, layer.images, height, width, cols).transpose(1, 0, 4, 2, 3)
    maps = ordered.reshape(layer.images, tiles * cols, height, width)
    return maps[:, : layer.out_channels]


def split(layer: Layer, core: Core) -> Iterator[tuple[slice, slice, Layer]]:
    """Yields the jobs into which `layer` must be split so that each job fits the core.

    A job is a slice of the images, a slice of the output channels, and the layer of these two. It
    has as many images as the memories hold, and then as many output tiles. Jobs of the same
    output channels follow one another. Raises ValueError if a single image or output tile does not
    fit.
    """
    height, width = layer.output_size
    one = packet_lengths(replace(layer, images=1, out_channels=core.cols), core)
    images = min(layer.images, core.act_words // one.acts, core.pixels // (height * width))
    tiles = min(core.weight_words // one.weights, 255)
    if layer.mode in TABLE_MODES:
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
    """Splits `axis` into groups of `size`; zeros fill the last group."""
    groups = -(-array.shape[axis] // size)
    pad = [(0, 0)] * array.ndim
    pad[axis] = (0, groups * size - array.shape[axis])
    shape = (*array.shape[:axis], groups, size, *array.shape[axis + 1 :])
    return np.pad(array, pad).reshape(shape)


def _beats(ordered: np.ndarray) -> np.ndarray:
    """Joins all axes but the last, which is that of the lanes of a beat."""
    return ordered.reshape(math.prod(ordered.shape[:-1]), ordered.shape[-1])
