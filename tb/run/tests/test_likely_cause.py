"""A suspect names kind, amount and place of a fault, and planted faults are suspected."""

import numpy as np
import pytest
import torch

from pymodel.hardware.tiling import cut
from pymodel.reference.integer_convolution import tile_psums
from tb.components.tile_run import Record, TileRun
from tb.run.likely_cause import ALL_COLUMNS, ALL_PES, Cause, Where, diagnose


@pytest.mark.parametrize(
    ("cause", "words"),
    [
        (Cause("psums negated", (), ALL_COLUMNS), "psums negated, in all columns"),
        (
            Cause("psums one cycle late", (), ALL_COLUMNS),
            "psums one cycle late, in all columns (or valid one cycle early)",
        ),
        (Cause("weights negated", (), ALL_PES), "weights negated, in all PEs"),
        (Cause("the swap {} cycles late", (1,), Where(row=2)), "the swap 1 cycle late, in row 2"),
        (Cause("the swap {} cycles late", (2,)), "the swap 2 cycles late"),
        (
            Cause("bit {} of psums stuck at {}", (3, 0), Where(column=4)),
            "bit 3 of psums stuck at 0, in column 4",
        ),
        (Cause("x", (), Where(row=2, column=4)), "x, in PE (row 2, column 4)"),
        (Cause("x", (), Where(row=2, column=4, eastward=True)), "x, in row 2 from column 4 on"),
    ],
)
def test_words(cause, words):
    assert cause.words == words


@pytest.fixture
def run():
    """Returns a run of random tiles on two images."""
    return random_run()


def random_run(lowest: int = 0) -> TileRun:
    """Returns a run of random tiles on two images, of activations of 4 bits from `lowest` on."""
    rng = np.random.default_rng(3)
    codes, weights = rng.integers(0, 16, (2, 8, 4, 4)) + lowest, rng.integers(-7, 8, (8, 8, 3, 3))
    tiles = cut(codes, weights, 1, 1, 8, 8)
    codes, weights = torch.tensor(codes), torch.tensor(weights)
    psums = [tile_psums(codes, weights, tile, 1, 1, 8, 8) for tile in tiles.tiles]
    return TileRun(tiles, torch.stack(psums, dim=1).numpy())


def causes(run: TileRun, received: np.ndarray) -> tuple[Cause, ...] | None:
    """Returns the causes in the hint on an array that returned `received` [n, 8], if any."""
    known = np.zeros(received.shape, bool)
    record = Record(run, received, known, np.arange(len(received)), (4, 4, 16), (0, 10))
    hint = diagnose(record).hint
    return hint.causes if hint else None


def test_what_is_planted_is_suspected(run):
    """Faults planted in one or two columns are suspected; a single wrong psum gives no hint."""
    psums = run.expected.reshape(-1, 8)
    late = psums.copy()
    late[:, 3] = np.roll(late[:, 3], 1)
    late[0, 3] = 0
    in_column_3 = Cause("psums one cycle late", (), Where(column=3))
    assert causes(run, late) == (in_column_3,)

    two = late.copy()
    two[:, 5] &= ~1
    stuck = Cause("bit {} of psums stuck at {}", (0, 0), Where(column=5))
    assert causes(run, two) == (in_column_3, stuck)

    one = psums.copy()
    one[100, 2] += 77
    assert causes(run, one) is None


@pytest.mark.parametrize(
    ("lowest", "taken"), [(0, "activations taken as signed"), (-8, "activations taken as unsigned")]
)
def test_a_sign_of_activations_is_suspected(lowest, taken):
    """An array takes activations of the other kind than the run has; a stuck sign is told too."""
    run = random_run(lowest)
    vectors = run.tiles.activations.astype(int)
    other = (vectors + lowest + 8) % 16 - lowest - 8

    def received(vectors):
        return np.einsum("ntpr,trc->ntpc", vectors, run.tiles.weights.astype(int)).reshape(-1, 8)

    assert (received(vectors) == run.expected.reshape(-1, 8)).all()
    assert causes(run, received(other)) == (Cause(taken, (), ALL_PES),)
    stuck = Cause("bit {} of activations stuck at {}", (2, 1), ALL_PES)
    assert causes(run, received(vectors | 4)) == (stuck,)


def test_what_starts_at_a_column_is_not_in_it_alone():
    assert Where(row=2, column=4, eastward=True).only_column is None
    assert Where(row=2, column=4).only_column == Where(column=4).only_column == 4
    assert ALL_PES.only_column is None
