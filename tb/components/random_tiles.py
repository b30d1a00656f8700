"""Draws random tiles for the benches of arrays, and compares every psum of the tiles."""

from collections.abc import Awaitable, Sequence

import cocotb
import numpy as np

from tb.components.array_adapter import ArrayAdapter


def random_generator() -> np.random.Generator:
    """Returns a generator with the seed that cocotb prints and $COCOTB_RANDOM_SEED sets."""
    return np.random.default_rng(cocotb.RANDOM_SEED)


def extremes(array: ArrayAdapter) -> tuple[int, int, int]:
    """Returns the largest activation, the smallest weight and the largest weight of an array."""
    return (
        2**array.act_width - 1,
        -(2 ** (array.weight_width - 1)),
        2 ** (array.weight_width - 1) - 1,
    )


def random_tiles(
    array: ArrayAdapter,
    rng: np.random.Generator,
    lengths: Sequence[int],
    bounds: tuple[int, int, int] | None = None,
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Returns a random tile, and as many random activation vectors, for each of `lengths`.

    The result is the weights, int [tiles, rows, cols], and for each tile int [length, rows].
    `bounds` are the largest activation, the smallest and the largest weight, by default the array's
    extremes.
    """
    act_max, low, high = bounds or extremes(array)
    weights = rng.integers(low, high + 1, (len(lengths), array.rows, array.cols))
    return weights, [rng.integers(0, act_max + 1, (n, array.rows)) for n in lengths]


async def check_tiles(
    array: ArrayAdapter, playing: Awaitable, weights: np.ndarray, activations: Sequence[np.ndarray]
) -> int:
    """Awaits `playing`, compares every psum with NumPy's product, and returns the number of cycles.

    weights: [tiles, rows, cols]; activations: for each tile [pixels, rows]. Raises BenchError if a
    psum differs, is missing or is one too many.
    """
    expected = np.concatenate([a @ w for a, w in zip(activations, weights, strict=True)])
    at = [(t, p) for t, tile in enumerate(activations) for p in range(len(tile))]
    board, cycles = await array.run(
        playing,
        expected,
        lambda i: "tile {}, pixel {}".format(*at[i]),
        longest=max(map(len, activations)),
    )
    board.finish()
    return cycles
