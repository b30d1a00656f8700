"""The scoreboard fails on each kind of wrong output and names its place; packing can be undone."""

import numpy as np
import pytest

from tb.components.packing import pack, unpack
from tb.components.scoreboard import Scoreboard
from tb.sim.errors import BenchError


def board(*expected) -> Scoreboard:
    """Returns a scoreboard that expects these words."""
    return Scoreboard(
        list(expected), lambda i: f"pixel {i}", lambda _, e, g: f"expected {e}, got {g}"
    )


def test_all_right():
    scoreboard = board(1, 2)
    scoreboard.receive(0, 1)
    scoreboard.receive(1, 2)
    scoreboard.finish()


def test_mismatch_names_the_first_and_counts_the_others():
    scoreboard = board(1, 2, 3)
    for cycle, word in enumerate((1, 7, 8)):
        scoreboard.receive(10 + cycle, word)
    with pytest.raises(BenchError, match=r"pixel 1, cycle 11, expected 2, got 7 \(and 1 more"):
        scoreboard.finish()


def test_missing():
    scoreboard = board(1, 2, 3)
    scoreboard.receive(0, 1)
    with pytest.raises(BenchError, match=r"missing output: 2 of 3 .* pixel 1"):
        scoreboard.finish()


def test_extra():
    scoreboard = board(1)
    scoreboard.receive(0, 1)
    with pytest.raises(BenchError, match="extra output at cycle 5"):
        scoreboard.receive(5, 1)


def test_a_mismatch_before_an_extra_output_comes_first():
    scoreboard = board(1)
    scoreboard.receive(0, 9)
    with pytest.raises(BenchError, match="pixel 0"):
        scoreboard.receive(5, 1)


def test_empty():
    with pytest.raises(BenchError, match="empty comparison"):
        board().finish()


@pytest.mark.parametrize(("lanes", "width"), [(8, 16), (1, 1), (3, 5), (5, 11)])
def test_packing_and_back(lanes, width):
    rng = np.random.default_rng(0)
    vectors = rng.integers(-(2 ** (width - 1)), 2 ** (width - 1), (20, lanes))
    np.testing.assert_array_equal(unpack(pack(vectors, width), lanes, width), vectors)


def test_packing_puts_lane_0_lowest():
    assert pack(np.array([[1, -1, 2]]), 4) == [0x2F1]
