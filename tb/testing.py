"""What the benches share: which simulators, seeded random numbers, tiles of those, faulty RTL."""

import os
import shutil
from collections.abc import Awaitable, Sequence
from pathlib import Path

import cocotb
import numpy as np

from pymodel.core import Core
from pymodel.errors import InputError
from tb.adapter import ArrayAdapter
from tb.simulator import RTL

# pytest runs the benches on Icarus, or on the simulator that SIM names.
SIMULATORS = [os.environ.get("SIM", "icarus")]

# Builds of the core: the default, one that is small in everything (a kernel of 7 × 7 fits; after a
# reset it is soon ready), and two that are not square.
CORES = {
    "8x8": Core(),
    "4x4": Core(4, 4, 16, act_words=120, weight_words=200, threshold_tiles=2, pixels=100),
    "16x8": Core(16, 8),
    "8x16": Core(8, 16, pixels=200),
}


def random_generator() -> np.random.Generator:
    """Random numbers from the seed that cocotb prints and $COCOTB_RANDOM_SEED sets."""
    return np.random.default_rng(cocotb.RANDOM_SEED)


def faulty_rtl(folder: Path, source: str, *replacements: tuple[str, str]) -> Path:
    """A copy of `rtl/` in `folder`, with each (old, new) replaced in one source; its path.

    InputError if the source has changed, so that a fault no longer applies.
    """
    rtl = folder / "rtl"
    shutil.copytree(RTL, rtl, dirs_exist_ok=True)
    text = (rtl / source).read_text()
    for old, new in replacements:
        if text.count(old) != 1:
            what = " ".join(old.split())
            found = f"'{what}' {text.count(old)} times, expected once, to put a fault there"
            raise InputError(f"rtl/{source}: {found}")
        text = text.replace(old, new)
    (rtl / source).write_text(text)
    return rtl


def extremes(array: ArrayAdapter) -> tuple[int, int, int]:
    """Largest activation, smallest and largest weight."""
    return (
        2**array.act_width - 1,
        -(2 ** (array.weight_width - 1)),
        2 ** (array.weight_width - 1) - 1,
    )


def random_tiles(
    array: ArrayAdapter, rng: np.random.Generator, lengths: Sequence[int],
    bounds: tuple[int, int, int] | None = None,
) -> tuple[np.ndarray, list[np.ndarray]]:  # fmt: skip
    """A tile of random weights, and as many random activations as it says, for each length.

    `bounds` are by default the array's extremes.
    """
    act_max, low, high = bounds or extremes(array)
    weights = rng.integers(low, high + 1, (len(lengths), array.rows, array.cols))
    return weights, [rng.integers(0, act_max + 1, (n, array.rows)) for n in lengths]


async def check_tiles(
    array: ArrayAdapter, playing: Awaitable, weights: np.ndarray, activations: Sequence[np.ndarray]
) -> int:
    """Await `playing` and compare every psum with NumPy's product; the cycles it took."""
    expected = np.concatenate([a @ w for a, w in zip(activations, weights, strict=True)])
    at = [(t, p) for t, tile in enumerate(activations) for p in range(len(tile))]
    board, cycles = await array.run(
        playing, expected, lambda i: "tile {}, pixel {}".format(*at[i]),
        longest=max(map(len, activations)),
    )  # fmt: skip
    board.finish()
    return cycles
