"""Checks every array in the same way, driven only through its adapter.

This bench runs inside the simulator; `tb/run/check.py` starts it.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cocotb
import numpy as np
import pytest
from cocotb.types import LogicArray

from pymodel.convolution import Convolution
from pymodel.reference.numpy_convolution import numpy_convolution
from pymodel.support.files import write_json
from tb.components.array_adapter import ADAPTER_FILE, FOUND_FILE, ArrayAdapter, connect
from tb.components.dataflow_adapters import CoreAdapter, CoreLayer, in_vectors
from tb.components.random_tiles import Extremes, check_tiles, extremes, random_generator
from tb.sim.errors import BenchError

LONG = 300  # number of activation vectors of a tile that is longer than small buffers
LAYERS = 6  # number of random layers that a core runs
RESETS = 8  # runs of the array that a reset interrupts, each at another cycle


async def started(dut) -> ArrayAdapter:
    """Starts the clock, resets the array, and returns its adapter."""
    array = connect(Path(os.environ[ADAPTER_FILE]), dut)
    await array.start()
    return array


def largest(array: ArrayAdapter, rows: int) -> Extremes:
    """Returns the codes whose products fit into a psum of the array for `rows` rows at once.

    They are all codes of the array, or those of fewer bits, down to 1 bit for an activation and 2
    bits for a weight.
    """
    codes = extremes(array)
    while codes.rows(array.psum_width) < rows and (
        abs(codes.largest_act) > 1 or codes.weight_low < -2
    ):
        act_low, act_high, low, high = codes
        if abs(codes.largest_act) >= -low or low == -2:
            codes = Extremes(act_low // 2, act_high // 2, low, high)
        else:
            codes = Extremes(act_low, act_high, low // 2, high // 2)
    return codes


def rows_at_once(array: ArrayAdapter, codes: Extremes, depth: int) -> int:
    """Returns the number of `depth` rows, at least 1, whose largest products fit into one psum."""
    return max(1, min(depth, codes.rows(array.psum_width)))


def limits(array: ArrayAdapter) -> str:
    """Returns in words what psums of the array cannot hold of its codes, "" if they hold all."""
    codes, whole = largest(array, 1), extremes(array)
    depth = array.depth or array.rows
    rows = rows_at_once(array, codes, depth)
    if rows == depth:
        return ""
    words = (
        f"psum_width {array.psum_width} holds fewer than {depth} products "
        f"{whole.largest_act} · {whole.weight_low}"
    )
    words += f", so {rows} row{'s have' if rows > 1 else ' has'} them at a time"
    if codes != whole:
        words += f", with codes up to {codes.largest_act} and {codes.weight_low}"
    return words


def tiles(
    array: ArrayAdapter, rng: np.random.Generator, lengths: Sequence[int], depth: int = 0
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Returns a random tile, and as many random activation vectors, for each of `lengths`.

    The result is the weights, int [tiles, rows, cols], and for each tile int [length, rows]. Tiles
    of an array that adds psums inside have `depth` rows, by default up to three times the array's
    rows. Where psums of the array cannot hold all rows with the largest codes, every other tile has
    the largest codes in a few rows and zeros in the others, and the rest have smaller codes in all
    rows.
    """
    depth = array.depth or depth or int(rng.integers(1, 3 * array.rows + 1))
    weights = np.zeros((len(lengths), depth, array.cols), int)
    activations = []
    for number, length in enumerate(lengths):
        codes = largest(array, depth if number % 2 else 1)
        act_low, act_high, low, high = codes
        rows = rng.choice(depth, rows_at_once(array, codes, depth), replace=False)
        weights[number, rows] = rng.integers(low, high + 1, (len(rows), array.cols))
        activations.append(rng.integers(act_low, act_high + 1, (length, depth)))
    return weights, activations


async def check(array: ArrayAdapter, weights, activations) -> int:
    """Plays tiles, compares every psum with NumPy's product, and returns the number of cycles."""
    array.check_fit(weights, activations, array.expected(weights, activations))
    return await check_tiles(array, array.play(weights, activations), weights, activations)


def random_layers(core: CoreAdapter, rng: np.random.Generator) -> list[CoreLayer]:
    """Returns up to LAYERS random layers, square and of one group, that a core supports."""
    layers = []
    for _ in range(10 * LAYERS):
        kernel, stride = int(rng.choice([1, 2, 3, 5])), int(rng.choice([1, 1, 2]))
        convolution = Convolution(stride, int(rng.integers(kernel)))
        images, *sides = rng.integers(1, [4, 8, 8]).tolist()
        inputs, outputs = rng.integers(1, [2 * core.rows + 1, 2 * core.cols + 1]).tolist()
        if min(convolution.output_size(sides, (kernel, kernel))) < 1:
            continue
        codes = largest(core, inputs * kernel**2)
        activations = rng.integers(codes.act_low, codes.act_high + 1, (images, inputs, *sides))
        size = (outputs, inputs, kernel, kernel)
        weights = rng.integers(codes.weight_low, codes.weight_high + 1, size)
        scale, offset = rng.uniform(0, 0.2, outputs), rng.uniform(-2, 8, outputs)
        layer = CoreLayer(activations, weights, convolution, 0, scale, offset)
        if len(layers) < LAYERS and core.supports(layer):
            layers.append(layer)
    return layers


async def check_layer(core: CoreAdapter, layer: CoreLayer) -> None:
    """Runs a layer on a core and compares every output with what NumPy's sums promise."""
    stride, padding = layer.convolution[:2]
    sums = numpy_convolution(layer.activations, layer.weights, stride, padding)
    expected = in_vectors(core.promised(sums, layer), core.cols).reshape(-1, core.cols)
    words = f"{list(layer.weights.shape)}, {layer.convolution}, {list(layer.activations.shape)}"
    playing = core.play_layer(layer)
    sizes = {"longest": len(expected), "deepest": layer.weights[0].size}
    board, _ = await core.run(playing, expected, f"layer {words}, output {{}}".format, **sizes)
    board.finish()


@cocotb.test()
async def random_tiles_of_random_lengths(dut):
    """Orientation, signs and lane order are right, and no tile disturbs its neighbours.

    A core also runs layers of random geometry.
    """
    array = await started(dut)
    rng = random_generator()
    lengths = [*rng.integers(1, 3 * array.cols + 1, 8).tolist(), LONG, 2]
    await check(array, *tiles(array, rng, lengths, array.rows))
    if array.depth is None:
        await check(array, *tiles(array, rng, lengths[:8], 2 * array.rows + 1))
    if isinstance(array, CoreAdapter):
        for layer in random_layers(array, rng):
            await check_layer(array, layer)


@cocotb.test()
async def tiles_of_one_pixel(dut):
    """Each tile has a single activation vector, so the weights change for every vector."""
    array = await started(dut)
    await check(array, *tiles(array, random_generator(), [1] * 5))


@cocotb.test()
async def extreme_psums_are_exact(dut):
    """Rows have the largest product of either sign, tile by tile; −8 · 15 for 4-bit codes.

    All rows have it at once, or as many as the array's psums can hold, in turn.
    """
    array = await started(dut)
    codes = largest(array, 1)
    depth = array.depth or 2 * array.rows
    rows = rows_at_once(array, codes, depth)
    weights = []
    for first in range(0, depth, rows):
        for weight in (codes.weight_low, codes.weight_high, 0, -1):
            one = np.zeros((depth, array.cols), int)
            one[first : first + rows] = weight
            weights.append(one)
    pixels = np.full((3, depth), codes.act_high)
    pixels[1], pixels[2] = 0, codes.largest_act
    if FOUND_FILE in os.environ:
        found = {"limits": limits(array), "codes": extremes(array)}
        write_json(Path(os.environ[FOUND_FILE]), found)
    await check(array, np.stack(weights), [pixels] * len(weights))


@cocotb.test()
async def reset_at_any_cycle_leaves_nothing_behind(dut):
    """After a reset at a different cycle of each run, only the next tiles' psums come, all right.

    The cycles are spread over a whole run, so that a reset meets weights, activations and psums
    under way.
    """
    array = await started(dut)
    rng = random_generator()
    lengths = [array.cols, 1, array.cols]
    whole, parts = tiles(array, rng, lengths), np.arange(RESETS)
    cycles = await check(array, *whole)
    for stop in (parts * cycles + rng.integers(0, cycles, RESETS)) // RESETS:
        playing = cocotb.start_soon(array.play(*tiles(array, rng, lengths)))
        for _ in range(stop + 1):
            await array.clock.rising_edge
        playing.cancel()
        await array.reset()
        await check(array, *tiles(array, rng, [1, 2]))


@cocotb.test()
async def what_is_wrong_is_found(dut):
    """A psum vector that is X, missing, repeated, or wrong in one bit fails the run."""
    array = await started(dut)
    given = tiles(array, random_generator(), [4, 4])
    right = array.psums
    for fault, words in FAULTS.items():
        array.psums = fault(array.psums)
        with pytest.raises(BenchError, match=words):
            await check(array, *given)
        array.psums = right
        await array.reset()
    await check(array, *given)


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
