"""An adapter's defaults, its limits and what it makes of psums, without a simulator."""

import re
from collections import deque

import numpy as np
import pytest
from cocotb.types import LogicArray

from pymodel.support.errors import InputError
from pymodel.support.files import ROOT
from tb.components.array_adapter import SIZES, ArrayAdapter
from tb.components.scoreboard import Scoreboard
from tb.sim.errors import BenchError


class Adapter(ArrayAdapter):
    """An adapter without an array."""

    TOPLEVEL = "mine"

    def __init__(self, **sizes):
        vars(self).update({"rows": 2, "cols": 3, "psum_width": 8} | sizes)

    async def reset(self):
        raise AssertionError("the sizes are checked before anything else")

    def psums(self):
        return None


def test_defaults_are_those_of_the_guide():
    text = (ROOT / "docs" / "own-array.md").read_text()
    rows = re.findall(r"^\| (`[a-z_`, ]+`) \| .* \| (.*) \|$", text, re.MULTILINE)
    told = {}
    for names, values in rows:
        names, values = re.findall(r"`(\w+)`", names), re.findall(r"\w+", values)
        told |= dict(zip(names, values, strict=True))
    assert set(SIZES) | {"act_signed"} == told.keys()
    assert {name: str(getattr(ArrayAdapter, name)) for name in told} == told
    assert dict(ArrayAdapter.PARAMETERS) == {}
    assert ArrayAdapter.CLOCK == "clk_i"


@pytest.mark.parametrize("name", SIZES)
def test_a_size_must_be_a_whole_number_that_is_large_enough(name):
    least = 0 if name == "latency" else 1
    for value in (least - 1, -5, 2.0, "3", None):
        words = f"Adapter.{name} is {value!r}, expected an integer, {least} or more"
        with pytest.raises(InputError, match=f"^{re.escape(words)}$"):
            Adapter(**{name: value}).start().send(None)


def test_psums_that_do_not_fit():
    adapter = Adapter(act_width=4, weight_width=4)
    weights, activations = np.array([0]), [np.array([0])]
    adapter.check_fit(weights, activations, np.array([-128, 127]))
    for psum in (-129, 128):
        words = f"psums are {psum} to {psum} in this run, its psum_width 8 holds -128 to 127"
        with pytest.raises(InputError, match=f"^mine is too narrow: {words}$"):
            adapter.check_fit(weights, activations, np.array([psum]))


def test_when_a_run_is_given_up():
    """One tile is rows · cols weights and its pixels, and the latency comes after it."""
    assert Adapter(patience=5, latency=11).limit(7) == 5 * (2 * 3 + 7 + 11)


def word(adapter, vector, waiting=None):
    """Returns the word of a vector and its unknown columns."""
    waiting = [deque() for _ in range(adapter.cols)] if waiting is None else waiting
    return adapter._word(vector, waiting)


def test_a_bus_and_a_list_are_the_same_vector():
    """Column 0 lies lowest; a negative psum is two's complement; a list may be unsigned."""
    bus = LogicArray("00000101" + "10000000" + "11111111")  # columns 2, 1, 0
    expected = (0x0580FF, [])
    assert word(Adapter(), bus) == expected
    assert word(Adapter(), [-1, -128, 5]) == expected
    assert word(Adapter(), [255, 128, 5]) == expected
    assert word(Adapter(), 0x0580FF) == expected
    assert word(Adapter(), 0) == (0, [])


def test_unknown_bits_are_told_by_column():
    assert word(Adapter(), LogicArray("000001X1" + "00000010" + "11111111")) == (0x0002FF, [2])
    assert word(Adapter(), [LogicArray("X" * 8), 3, LogicArray("Z" * 8)]) == (0x000300, [0, 2])


def test_columns_that_come_one_after_another_belong_together():
    adapter, waiting = Adapter(), [deque() for _ in range(3)]
    assert word(adapter, [1, None, None], waiting) is None
    assert word(adapter, [4, 2, None], waiting) is None
    assert word(adapter, [None, 5, 3], waiting) == (0x030201, [])
    assert word(adapter, [None, None, 6], waiting) == (0x060504, [])


@pytest.mark.parametrize(
    ("vector", "words"),
    [
        (LogicArray("0" * 23), "23 bits, expected cols · psum_width = 24"),
        (LogicArray("0" * 25), "25 bits, expected cols · psum_width = 24"),
        (1 << 24, "25 bits, expected"),
        (-1, "bits, expected"),
        ([1, 2], "expected cols = 3 values of psum_width = 8 bits"),
        ([1, 2, 256], "expected cols = 3 values of psum_width = 8 bits"),
        ([1, 2, -129], "expected cols = 3 values of psum_width = 8 bits"),
    ],
)
def test_vectors_of_another_size_are_refused(vector, words):
    with pytest.raises(BenchError, match=words):
        word(Adapter(), vector)


def test_what_was_received_as_numbers():
    board = Scoreboard([0x0580FF, 1], str, lambda *_: "")
    assert Adapter().vectors(board).shape == (0, 3)
    board.receive(4, 0x0580FF, [])
    found = Adapter().vectors(board)
    assert found.tolist() == [[-1, -128, 5]]
    assert found.dtype == np.int64
