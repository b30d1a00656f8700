"""Checks every array in the same way, driven only through its adapter.

This bench runs inside the simulator; `tb/run/check.py` starts it.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cocotb
import numpy as np
import pytest
from cocotb.types import LogicArray

from tb.components.array_adapter import ADAPTER_FILE, ArrayAdapter, connect
from tb.components.random_tiles import check_tiles, extremes, random_generator, random_tiles
from tb.sim.errors import BenchError


async def started(dut) -> ArrayAdapter:
    """Starts the clock, resets the array, and returns its adapter."""
    array = connect(Path(os.environ[ADAPTER_FILE]), dut)
    await array.start()
    return array


def bounds(array: ArrayAdapter) -> tuple[int, int, int]:
    """Returns the largest activation, the smallest weight and the largest weight to use.

    They are those of the array, or those of 4-bit codes if psums of the array's own do not fit.
    """
    act_max, low, high = extremes(array)
    if array.rows * act_max * -low > 2 ** (array.psum_width - 1):
        return min(15, act_max), max(-8, low), min(7, high)
    return act_max, low, high


async def check(array: ArrayAdapter, weights, activations) -> None:
    """Plays tiles, and compares every psum with NumPy's product."""
    expected = np.concatenate([a @ w for a, w in zip(activations, weights, strict=True)])
    array.check_fit(weights, activations, expected)
    await check_tiles(array, array.play(weights, activations), weights, activations)


@cocotb.test()
async def random_tiles_of_random_lengths(dut):
    """Orientation, signs and lane order are right, and no tile disturbs its neighbours."""
    array = await started(dut)
    rng = random_generator()
    lengths = rng.integers(1, 3 * array.cols + 1, 8).tolist()
    await check(array, *random_tiles(array, rng, lengths, bounds(array)))


@cocotb.test()
async def tiles_of_one_pixel(dut):
    """Each tile has a single activation vector, so the weights change for every vector."""
    array = await started(dut)
    await check(array, *random_tiles(array, random_generator(), [1] * 5, bounds(array)))


@cocotb.test()
async def extreme_psums_are_exact(dut):
    """All rows have the largest product of either sign, tile by tile; −8 · 15 for 4-bit codes."""
    array = await started(dut)
    act_max, low, high = bounds(array)
    weights = np.empty((4, array.rows, array.cols), int)
    for tile, weight in enumerate((low, high, 0, -1)):
        weights[tile] = weight
    pixels = np.full((3, array.rows), act_max)
    pixels[1] = 0
    await check(array, weights, [pixels] * 4)


@cocotb.test()
async def reset_in_the_middle_leaves_nothing_behind(dut):
    """After a reset while tiles are under way, only the psums of the next tiles come, all right."""
    array = await started(dut)
    rng = random_generator()
    lengths = [2 * array.cols] * 3
    playing = cocotb.start_soon(array.play(*random_tiles(array, rng, lengths, bounds(array))))
    seen = 0
    for _ in range(array.limit(2 * array.cols)):
        await array.clock.rising_edge
        seen += array.psums() is not None
        if seen == array.cols:  # half of a tile's psum vectors
            break
    else:
        raise BenchError(f"only {seen} psum vectors came, expected {array.cols} before the reset")
    playing.cancel()
    await array.reset()
    await check(array, *random_tiles(array, rng, lengths, bounds(array)))


@cocotb.test()
async def what_is_wrong_is_found(dut):
    """A psum vector that is X, missing, repeated, or wrong in one bit fails the run."""
    array = await started(dut)
    tiles = random_tiles(array, random_generator(), [4, 4], bounds(array))
    right = array.psums
    for fault, words in FAULTS.items():
        array.psums = fault(array.psums)
        with pytest.raises(BenchError, match=words):
            await check(array, *tiles)
        array.psums = right
        await array.reset()
    await check(array, *tiles)


def third(change: Callable) -> Callable:
    """Returns a function that wraps `psums` so that the third vector it finds is changed."""

    def wrap(psums: Callable) -> Callable:
        count = 0

        def wrapped():
            nonlocal count
            found = psums()
            count += found is not None
            return change(found) if found is not None and count == 3 else found

        return wrapped

    return wrap


def again(psums: Callable) -> Callable:
    """Returns `psums` wrapped so that the last of eight vectors comes twice."""
    count, last = 0, None

    def wrapped():
        nonlocal count, last
        found = psums()
        if found is None and last is not None:
            found, last = last, None
        elif found is not None:
            columns = found if isinstance(found, list) else [found]
            count += columns[-1] is not None
            last = found if count == 8 else None
        return found

    return wrapped


def flipped(vector: Any) -> Any:
    """Returns the vector with the lowest bit of one column inverted."""
    if not isinstance(vector, list):
        return int(vector) ^ 1
    column = next(c for c, value in enumerate(vector) if value is not None)
    return [*vector[:column], int(vector[column]) ^ 1, *vector[column + 1 :]]


def unknown(vector: Any) -> Any:
    """Returns a vector of the same shape that is X in every bit."""
    return ["X" for _ in vector] if isinstance(vector, list) else LogicArray("X" * len(vector))


FAULTS = {
    third(unknown): "^X or Z at cycle .*: tile .*, column",
    third(lambda vector: None): "^(missing output: 1 of 8 did not come|mismatch: tile )",
    third(flipped): "^mismatch: tile .*: expected .*, got ",
    again: "^extra output at cycle ",
}
