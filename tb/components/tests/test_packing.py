"""Packed vectors can be unpacked, and lane 0 lies lowest."""

import numpy as np
import pytest

from tb.components.packing import pack, unpack


@pytest.mark.parametrize(("lanes", "width"), [(8, 16), (1, 1), (3, 5), (5, 11)])
def test_packing_and_back(lanes, width):
    rng = np.random.default_rng(0)
    vectors = rng.integers(-(2 ** (width - 1)), 2 ** (width - 1), (20, lanes))
    np.testing.assert_array_equal(unpack(pack(vectors, width), lanes, width), vectors)


def test_packing_puts_lane_0_lowest():
    assert pack(np.array([[1, -1, 2]]), 4) == [0x2F1]


def test_a_word_with_more_bits_than_the_bus_is_refused():
    """Bits beyond the last lane would be lost, and with them the fault that set them."""
    assert unpack([0xFFFFFF], 3, 8).tolist() == [[-1, -1, -1]]
    with pytest.raises(OverflowError):
        unpack([1 << 24], 3, 8)


def test_nothing_is_unpacked_to_nothing():
    assert unpack([], 3, 8).shape == (0, 3)
