"""Tiles and blocks of the reconfigurable array follow as fast as its contract allows."""

from dataclasses import fields

import numpy as np
import pytest

from pymodel.support.errors import InputError
from tb.components.reconfigurable_schedule import Piece, Sizes, Stimulus, most_steps, schedule

SIZES = Sizes(rows=3, cols=2)
TILE, BLOCK = (False, False), (False, True)


def piece(mode: tuple[bool, bool], length: int, pixels: int = 3) -> Piece:
    """Returns zeros: a tile of `length` pixels, or a block of `length` steps."""
    halves, output_stationary = mode
    depth = (length if output_stationary else SIZES.rows) * (1 + halves)
    pixels = pixels if output_stationary else length
    return Piece(*mode, np.zeros((depth, SIZES.cols), int), np.zeros((pixels, depth), int))


def text(flags: np.ndarray) -> str:
    """Returns a flag of each cycle as one text."""
    return "".join(str(int(flag)) for flag in flags)


def test_every_cycle_of_a_tile_a_block_and_a_tile():
    """A change of mode takes ROWS + COLS − 2 idle cycles, in which the next weights are loaded."""
    found = schedule([piece(TILE, 2), piece(BLOCK, 4), piece(TILE, 1)], SIZES)
    assert text(found.weight_valid) == "111100000000000"
    assert text(found.weight_col) == "101000000000000"
    assert text(found.act_valid) == "001100011110001"
    assert text(found.act_start) == "001000010000001"
    assert text(found.act_last) == "000100000010001"
    assert text(found.output_stationary) == "000000011111110"


def test_short_blocks_end_rows_cycles_apart():
    """Blocks of one step wait for the sums of the block before, and those of ROWS steps do not."""
    found = schedule([piece(BLOCK, n) for n in (1, 1, 2, 3, 4)], SIZES)
    assert text(found.act_last) == "1001001001" + "0001"
    assert np.diff(np.flatnonzero(found.act_last)).tolist() == [3, 3, 3, 4]
    assert int(found.act_valid.sum()) == 11


def test_the_lanes_of_a_tile():
    """Without halves both weights of a pair are one; with halves two channels share a lane."""
    weights = np.array([[1, -2], [3, -4], [5, -8]])
    found = schedule([Piece(*TILE, weights, np.array([[7, 8, 15]]))], SIZES)
    assert found.weight[:2].tolist() == [[0xEE, 0xCC, 0x88], [0x11, 0x33, 0x55]]
    assert found.act[2].tolist() == [7, 8, 15]
    weights = np.array([[1, -2], [3, -4], [5, -8], [0, 7], [-1, 6], [2, -5]])
    found = schedule([Piece(True, False, weights, np.array([[0, 1, 2, 3, 3, 0]]))], SIZES)
    assert found.weight[:2].tolist() == [[0xCE, 0x78, 0xB6], [0x31, 0x05, 0x2F]]
    assert found.act[2].tolist() == [0b0100, 0b1110, 0b0011]


def test_the_lanes_of_a_block():
    """The first pixel is in the last row; with halves a step has two taps, the last perhaps one."""
    weights = np.array([[1, -2], [3, -4], [5, -8]])
    acts = np.array([[1, 2, 3], [0, 1, 2]])
    found = schedule([Piece(*BLOCK, weights, acts * 4)], SIZES)
    assert found.weight_north.tolist() == [[0x11, 0xEE], [0x33, 0xCC], [0x55, 0x88]]
    assert found.act.tolist() == [[0, 0, 4], [0, 4, 8], [0, 8, 12]]
    found = schedule([Piece(True, True, weights, acts)], SIZES)
    assert found.weight_north.tolist() == [[0x31, 0xCE], [0x05, 0x08]]
    assert found.act.tolist() == [[0, 0b0100, 0b1001], [0, 2, 3]]


@pytest.mark.parametrize(
    ("sizes", "halves", "steps"),
    [
        (Sizes(), False, 273),
        (Sizes(), True, 682),
        (Sizes(psum_width=8), False, 1),
        (Sizes(act_width=8, weight_width=2, psum_width=12), False, 4),
    ],
)
def test_the_longest_block(sizes, halves, steps):
    """One more step of the largest products would not fit, and is refused."""
    act = 2 ** (sizes.act_width // (1 + halves)) - 1
    largest = (1 + halves) * act * 2 ** (sizes.weight_width - 1)
    assert steps * largest <= 2 ** (sizes.psum_width - 1) < (steps + 1) * largest
    assert most_steps(sizes, halves) == steps
    taps = (steps + 1) * (1 + halves)
    long = Piece(halves, True, np.zeros((taps, 8), int), np.zeros((8, taps), int))
    with pytest.raises(InputError, match=f"^a block has {taps} taps, but psum_width .* at most"):
        schedule([long], sizes)


def test_idle_buses_and_free_control_bits_are_random():
    """With gaps each bit of an idle bus is now 0 and now 1, and so are the control bits between."""
    pieces = [piece(TILE if n % 2 else BLOCK, 2) for n in range(2000)]
    found = schedule(pieces, SIZES, gaps=np.random.default_rng(1))
    for bus, values in ((found.act, 16), (found.weight_north, 256)):
        assert set(np.unique(bus[~found.act_valid])) == set(range(values))
    assert set(np.unique(found.weight[~found.weight_valid])) == set(range(256))
    assert set(found.act_last[~found.act_valid]) == set(found.act_start[~found.act_valid]) == {0, 1}
    # No piece has halves, so that what is set is random; nothing is while a piece is under way.
    random = np.flatnonzero(found.halves)
    assert len(random) > 10
    latest = [np.flatnonzero(found.act_valid[:cycle])[-1:] for cycle in random]
    assert all(
        not len(last) or cycle - last[0] > 3 for cycle, last in zip(random, latest, strict=True)
    )


def test_the_first_cycles_of_a_stimulus():
    whole = schedule([piece(TILE, 2)], SIZES)
    some = whole.first(3)
    assert len(some) == 3
    for field in fields(Stimulus):
        values = getattr(whole, field.name)[:3]
        assert np.array_equal(getattr(some, field.name), values)
