"""Draws random layers for the core and their data, and computes the results of a layer."""

from dataclasses import replace

import numpy as np

from pymodel.hardware.core import Core, Layer, check
from pymodel.hardware.cycles import cycles
from pymodel.hardware.output_thresholds import requantise
from pymodel.hardware.registers import Error, Mode
from pymodel.reference.numpy_convolution import numpy_convolution


def reference(layer: Layer, codes, weights, table=None) -> np.ndarray:
    """Returns what the core must send, int64 [N, C_out, H', W'], by NumPy's window convolution.

    codes: [N, C_in, H, W]; weights: [C_out, C_in, k, k]; table: thresholds [C_out, 16], for mode
    CODES.
    """
    sums = numpy_convolution(codes, weights, layer.stride, layer.padding)
    if layer.mode == Mode.RELU:
        return sums.clip(0)
    if layer.mode == Mode.CODES:
        return requantise(sums, table)
    return sums


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
            Mode(int(rng.integers(3))),
        )
        if check(layer, core) == Error.NONE and cycles(layer, core) < 2500:
            return layer


def random_data(layer: Layer, rng: np.random.Generator, core: Core) -> list[np.ndarray | None]:
    """Returns random codes, weights and, for mode CODES, thresholds (else None) for a core.

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
    if layer.mode != Mode.CODES:
        return [codes, weights, None]
    sums = reference(replace(layer, mode=Mode.SUMS), codes, weights)
    # The thresholds are drawn from the sums, so that many sums are equal to a threshold.
    table = np.sort(rng.choice(sums.reshape(-1), (layer.out_channels, 16)), 1)
    table[:, 0] = rng.integers(0, 2, layer.out_channels)
    table[:, 1:] = np.where(table[:, :1] == 1, ~table[:, :0:-1], table[:, 1:])
    return [codes, weights, table]
