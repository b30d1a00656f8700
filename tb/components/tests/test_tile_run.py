"""A run that could prove nothing fails before it starts."""

import asyncio

import numpy as np
import pytest

from pymodel.hardware.tiling import Tile, Tiles
from tb.components.scoreboard import EMPTY, ZEROS
from tb.components.tile_run import TileRun
from tb.sim.errors import BenchError


def run_of(expected: np.ndarray) -> TileRun:
    """Returns a run of one tile of 1 × 1 with these psums, int [images, 1, 1, 1]."""
    activations = np.ones((len(expected), 1, 1, 1), int)
    return TileRun(
        Tiles([Tile(0, 0, 0, 0)], np.ones((1, 1, 1), int), activations, (1, 1)), expected
    )


@pytest.mark.parametrize(("images", "words"), [(0, EMPTY), (1, ZEROS), (3, ZEROS)])
def test_nothing_or_nothing_but_zeros(images, words):
    with pytest.raises(BenchError, match=f"^{words}$"):
        asyncio.run(run_of(np.zeros((images, 1, 1, 1), int)).on(None))


def test_one_psum_that_is_not_zero_is_enough():
    """Such a run goes on, until it fails for want of an array."""
    psums = np.zeros((3, 1, 1, 1), int)
    psums[2] = 1
    with pytest.raises(AttributeError):
        asyncio.run(run_of(psums).on(None))
