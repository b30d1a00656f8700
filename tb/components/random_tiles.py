"""Draws random tiles for the benches of arrays, compares every psum, and watches operands rest."""

from collections.abc import Awaitable, Sequence
from typing import NamedTuple

import cocotb
import numpy as np
from cocotb.handle import HierarchyObject, ValueObjectBase
from cocotb.triggers import FallingEdge, ReadOnly

from tb.components.array_adapter import ArrayAdapter


def random_generator() -> np.random.Generator:
    """Returns a generator with the seed that cocotb prints and $COCOTB_RANDOM_SEED sets."""
    return np.random.default_rng(cocotb.RANDOM_SEED)


class Extremes(NamedTuple):
    """The smallest and the largest codes of activations and weights."""

    act_low: int
    act_high: int
    weight_low: int
    weight_high: int

    @property
    def largest_act(self) -> int:
        """Returns the activation that is furthest from 0."""
        return self.act_low or self.act_high

    def rows(self, psum_width: int) -> int:
        """Returns the number of rows whose products always fit into one psum."""
        most = 2 ** (psum_width - 1)
        if self.act_low < 0:  # −2^(A−1) times −2^(W−1) is positive, and the positive sums end first
            return (most - 1) // (self.act_low * self.weight_low)
        return most // (self.act_high * -self.weight_low)


def extremes(array: ArrayAdapter) -> Extremes:
    """Returns the codes that an array has bits for."""
    weights = 2 ** (array.weight_width - 1)
    return Extremes(*array.act_range, -weights, weights - 1)


def random_tiles(
    array: ArrayAdapter, rng: np.random.Generator, lengths: Sequence[int]
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Returns a random tile, and as many random activation vectors, for each of `lengths`.

    The result is the weights, int [tiles, rows, cols], and for each tile int [length, rows].
    """
    codes = extremes(array)
    size = (len(lengths), array.rows, array.cols)
    weights = rng.integers(codes.weight_low, codes.weight_high + 1, size)
    acts = codes.act_low, codes.act_high + 1
    return weights, [rng.integers(*acts, (n, array.rows)) for n in lengths]


async def check_tiles(
    array: ArrayAdapter, playing: Awaitable, weights: np.ndarray, activations: Sequence[np.ndarray]
) -> int:
    """Awaits `playing`, compares every psum with NumPy's product, and returns the number of cycles.

    weights: [tiles, rows, cols]; activations: for each tile [pixels, rows]. Raises BenchError if a
    psum differs, is missing or is one too many.
    """
    expected = array.expected(weights, activations)
    at = [(t, p) for t, tile in enumerate(activations) for p in range(len(tile))]
    board, cycles = await array.run(
        playing,
        expected,
        lambda i: "tile {}, pixel {}".format(*at[i]),
        longest=max(map(len, activations)),
        deepest=weights.shape[1],
    )
    board.finish()
    return cycles


def inner_signal(dut: HierarchyObject, row: int, col: int, name: str) -> ValueObjectBase:
    """Returns a signal of an array's source that stands in the scopes of a row and a column."""
    if hasattr(dut, "g_row"):
        return getattr(dut.g_row[row].g_col[col], name)
    # A netlist of tb/mutation/drawn_mutants.py has the same names, but no scopes.
    flat = {handle._name: handle for handle in dut}
    return flat[f"g_row[{row}].g_col[{col}].{name}"]


def watch_zeros(dut: HierarchyObject, rows: int, halves: int = 1) -> list[int]:
    """Watches for ever that what enters the first column as a zero leaves its bus as it was.

    Returns a list that counts, for each of the rows, how often each of the `halves` of an
    activation was told to be zero. Where ZERO_GATING of the module is 0, nothing is counted. In the
    output-stationary mode of a reconfigurable array, the first row is told of no zero.
    """
    counts = [0] * rows * halves
    if not int(dut.ZERO_GATING.value):
        return counts
    signals = [
        [inner_signal(dut, row, 0, f"{n}_west") for n in ("zero", "act")] for row in range(rows)
    ]

    async def watch() -> None:
        before: list[int | None] = [None] * rows
        while True:
            await FallingEdge(dut.clk_i)
            await ReadOnly()
            if dut.rst_i.value:
                before = [None] * rows
                continue
            for row, (told, bus) in enumerate(signals):
                width = len(bus) // halves
                if not (told.value.is_resolvable and bus.value.is_resolvable):
                    before[row] = None  # nothing has entered yet
                    continue
                zeros, act = int(told.value), int(bus.value)
                if row == 0 and hasattr(dut, "output_stationary_i"):
                    assert not (zeros and dut.output_stationary_i.value), "a lane is held"
                for half in range(halves):
                    if not zeros >> half & 1:
                        continue
                    if (old := before[row]) is not None:
                        counts[row * halves + half] += 1
                        changed = (act ^ old) >> half * width & 2**width - 1
                        assert not changed, f"row {row}: {old:x} became {act:x} at a zero"
                before[row] = act

    cocotb.start_soon(watch())
    return counts
