"""Tiles follow as fast as the contract allows, and idle buses hold bits of their own widths."""

import numpy as np
import pytest

from tb.components.array_schedule import Stimulus, schedule

ROWS, COLS = 3, 2


def tiles_of(*pixels: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """Returns zero weights and activations of tiles with so many pixels."""
    return np.zeros((len(pixels), ROWS, COLS), int), [np.zeros((n, ROWS), int) for n in pixels]


def idle(stimulus: Stimulus) -> tuple[np.ndarray, np.ndarray]:
    """Returns what the weight and the activation bus hold while their valid is low."""
    return stimulus.weight[~stimulus.weight_valid], stimulus.act[~stimulus.act_valid]


def test_every_cycle_of_three_tiles():
    """Weights come from the first cycle on, and a tile's while the one before it streams.

    The tile of 1 pixel ends before the weights of the next one are loaded.
    """
    weights = np.arange(3 * ROWS * COLS).reshape(3, ROWS, COLS)
    acts = [np.full((pixels, ROWS), 100 + pixels) for pixels in (3, 1, 2)]
    found = schedule(weights=weights, activations=acts)
    assert found.weight_valid.tolist() == [1, 1, 1, 1, 0, 1, 1, 0, 0]
    assert found.act_valid.tolist() == [0, 0, 1, 1, 1, 1, 0, 1, 1]
    assert found.act_swap.tolist() == [0, 0, 1, 0, 0, 1, 0, 1, 0]
    assert found.weight_col.tolist() == [1, 0, 1, 0, 0, 1, 0, 0, 0]
    sent = [(0, 1), (0, 0), (1, 1), (1, 0), None, (2, 1), (2, 0), None, None]  # tile, column
    for cycle, place in enumerate(sent):
        column = [0] * ROWS if place is None else weights[place[0], :, place[1]].tolist()
        assert found.weight[cycle].tolist() == column
    assert found.act[:, 0].tolist() == [0, 0, 103, 103, 103, 101, 0, 102, 102]


@pytest.mark.parametrize(("options", "bits"), [({}, (4, 4)), ({"bits": (2, 6)}, (2, 6))])
def test_idle_buses_hold_all_the_bits_of_their_own_width(options, bits):
    """With gaps, each bit of an idle bus is now 0 and now 1, so that a read of it shows."""
    found = schedule(*tiles_of(*[2] * 100), gaps=np.random.default_rng(1), **options)
    for bus, width in zip(idle(found), bits, strict=True):
        assert set(np.unique(bus)) == set(range(2**width))


def test_selectors_of_idle_buses_are_random_too():
    """An array that looks at the swap or the column while valid is low must be found."""
    found = schedule(*tiles_of(*[2] * 100), gaps=np.random.default_rng(1))
    assert set(found.act_swap[~found.act_valid].tolist()) == {0, 1}
    assert set(found.weight_col[~found.weight_valid].tolist()) == set(range(COLS))


def test_gaps_are_given_by_name():
    """The generator is no third argument by place, where a caller could mean the widths."""
    with pytest.raises(TypeError):
        schedule(*tiles_of(1), np.random.default_rng(1))
