"""Draws random layers for the core and their data, and computes the results of a layer."""

from dataclasses import replace

import numpy as np

from pymodel.hardware.core import TABLE_MODES, Core, Layer, check
from pymodel.hardware.cycles import cycles
from pymodel.hardware.output_scaling import CODE_BITS, scale, write_words
from pymodel.hardware.output_thresholds import requantise
from pymodel.hardware.registers import Error, Mode
from pymodel.reference.numpy_convolution import numpy_convolution

CORE = Core()


def reference(layer: Layer, codes, weights, table=None, core: Core = CORE) -> np.ndarray:
    """Returns what the core must send, int64 [N, C_out, H', W'], by NumPy's window convolution.

    codes: [N, C_in, H, W]; weights: [C_out, C_in, k, k]; table: that of each channel [C_out, 16],
    for modes CODES and SCALED.
    """
    sums = numpy_convolution(codes, weights, layer.stride, layer.padding)
    if layer.mode == Mode.RELU:
        return sums.clip(0)
    if layer.mode == Mode.CODES:
        codes = requantise(sums, table)
        return pooled(codes) if layer.pool else codes
    if layer.mode == Mode.SCALED:
        codes = scale(sums, table, core.sum_width) % 2**CODE_BITS  # as many bits as a lane has
        return codes - 2**CODE_BITS * (codes >> CODE_BITS - 1) if core.act_signed else codes
    return sums


def pooled(codes: np.ndarray) -> np.ndarray:
    """Returns the largest of each 2 × 2 pixels, int64 [N, C, H / 2, W / 2], of even H and W."""
    images, channels, height, width = codes.shape
    return codes.reshape(images, channels, height // 2, 2, width // 2, 2).max((3, 5))


def random_layer(rng: np.random.Generator, core: Core) -> Layer:
    """Returns a random layer that the core takes, mostly a small one."""
    while True:
        kernel = int(rng.choice([1, 2, 3, 3, 3, 4, 5, 6, 7]))
        height, width = (int(n) for n in rng.integers(1, rng.choice([3, 6, 12]) + 1, 2))
        layer = Layer(
            height,
            width,
            int(rng.integers(1, rng.choice([1, 2, 4]) * core.rows + 1)),
            int(rng.integers(1, rng.choice([1, 2, 3]) * core.cols + 1)),
            kernel,
            int(rng.integers(1, 3)),
            int(rng.integers(0, min(4, kernel))),
            int(rng.choice([1, 1, 2, 3, 8])),
            core.modes[rng.integers(len(core.modes))],
        )
        if rng.integers(2):
            layer = replace(layer, pool=1)
        if check(layer, core) == Error.NONE and cycles(layer, core) < 2500:
            return layer


def random_data(layer: Layer, rng: np.random.Generator, core: Core) -> list[np.ndarray | None]:
    """Returns random codes, weights and, for modes CODES and SCALED, tables (else None).

    Many codes and weights are extremes. The shapes are [N, C_in, H, W], [C_out, C_in, k, k] and
    [C_out, 16].
    """

    def biased(shape, low, high):
        values = rng.integers(low, high + 1, shape)
        return np.where(
            rng.random(shape) < rng.choice([0.1, 0.9]), rng.choice([low, high], shape), values
        )

    shape = (layer.images, layer.in_channels, layer.height, layer.width)
    codes = biased(shape, *core.act_range)
    shape = (layer.out_channels, layer.in_channels, layer.kernel, layer.kernel)
    weights = biased(shape, *core.weight_range)
    if layer.mode not in TABLE_MODES:
        return [codes, weights, None]
    sums = reference(replace(layer, mode=Mode.SUMS), codes, weights)
    if layer.mode == Mode.SCALED:
        largest = abs(sums).max((0, 2, 3))
        return [codes, weights, random_scaling(rng, largest, core.sum_width, bool(core.act_signed))]
    # The thresholds are drawn from the sums, so that many sums are equal to a threshold.
    table = np.sort(rng.choice(sums.reshape(-1), (layer.out_channels, 16)), 1)
    table[:, 0] = rng.integers(0, 2, layer.out_channels)
    table[:, 1:] = np.where(table[:, :1] == 1, ~table[:, :0:-1], table[:, 1:])
    return [codes, weights, table]


def random_scaling(
    rng: np.random.Generator, largest: np.ndarray, sum_width: int, signed: bool
) -> np.ndarray:
    """Returns random tables of mode SCALED, int64 [C_out, 16], for sums of `sum_width` bits.

    `largest` is the size of a channel's largest sum, [C_out]. The codes of most channels spread
    over their range, with some clamped at either end; words that the mode does not use are random.
    """
    bits = sum_width - 1
    table = rng.integers(-(2**bits), 2**bits, (len(largest), 16))
    low, high = (-128, 127) if signed else (0, 2**CODE_BITS - 1)
    for row, size in zip(table, largest.tolist(), strict=True):
        shift = int(rng.integers(2 * sum_width))
        # Of a spread of 2^9 codes the multiplier is this; it is cut where it has too many bits.
        multiplier = int(rng.uniform(0.2, 2) * 2 ** (shift + 8) / max(size, 1))
        sign = 1 - 2 * int(rng.integers(4) == 0)
        offset = (int(rng.integers(low, high + 1)) << shift) + (1 << shift >> 1)
        if rng.integers(3) == 0:
            offset = int(rng.integers(-(2 ** min(62, 2 * bits)), 2 ** min(62, 2 * bits)))
            multiplier = int(rng.integers(2**bits))
        edge = 2 ** (2 * bits) - 1
        ends = sorted(rng.integers(low, high + 1, 2).tolist()) if rng.integers(2) else (low, high)
        words = shift, *ends, sign * min(multiplier, 2**bits - 1)
        write_words(row, words, min(max(offset, -edge), edge), sum_width)
    return table
