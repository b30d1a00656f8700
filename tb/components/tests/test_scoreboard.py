"""The scoreboard fails on each kind of wrong output and names its place."""

import numpy as np
import pytest

from pymodel.hardware.core import Core
from tb.components.scoreboard import Difference, Scoreboard, beat_at, first_difference
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


@pytest.mark.parametrize("wrong", [2, 3, 4, 7])
def test_every_other_mismatch_is_counted_once(wrong):
    """The report counts all wrong words but the one that it names."""
    scoreboard = board(*[0] * 9)
    for cycle in range(9):
        scoreboard.receive(cycle, int(cycle < wrong))
    with pytest.raises(BenchError, match=rf"pixel 0, .* \(and {wrong - 1} more vectors\)$"):
        scoreboard.finish()


@pytest.mark.parametrize(
    ("columns", "words"),
    [((3,), "column 3"), ((0, 3), "columns 0, 3"), ((1, 2, 5), "columns 1, 2")],
)
def test_x_or_z_names_its_columns(columns, words):
    """One column is named as one; the word fails although it holds what was expected."""
    scoreboard = board(1)
    scoreboard.receive(4, 1, columns)
    with pytest.raises(BenchError, match=f"X or Z at cycle 4: pixel 0, {words}"):
        scoreboard.finish()


def test_words_with_x_or_z_are_counted_once():
    """A word with X or Z in several columns is one vector of the count, as a wrong word is."""
    scoreboard = board(1, 2, 3)
    scoreboard.receive(0, 0, [0, 1])
    scoreboard.receive(1, 0, [1])
    scoreboard.receive(2, 0)
    with pytest.raises(BenchError, match=r"columns 0, 1 \(and 2 more vectors\)$"):
        scoreboard.finish()


def test_a_difference_says_tile_image_pixel_and_values():
    """Channel 5 of an array of 2 columns lies in output tile 2; the message has the sign."""
    difference = Difference(image=1, channel=5, y=3, x=4, expected=5, got=3, differing=6)
    words = "output tile 2, image {}, pixel (3, 4), channel 5: expected 5, got 3 (-2), 6 differ"
    assert difference.describe(Core(cols=2)) == words.format(1)
    assert difference.describe(Core(cols=2), 5) == words.format(6)


def test_beats_count_through_pixels_images_and_tiles():
    """The place of a beat is the one that four loops reach at this count."""
    for images, height, width in ((1, 1, 1), (2, 1, 1), (1, 1, 3), (2, 3, 4)):
        places = [
            (tile, image, y, x)
            for tile in range(3)
            for image in range(images)
            for y in range(height)
            for x in range(width)
        ]
        found = [beat_at(beat, images, (height, width)) for beat in range(len(places))]
        assert found == places


def test_the_first_difference_is_the_first_that_the_core_sends():
    """Output tiles come before images: a lower channel of a later image differs first."""
    expected = np.arange(2 * 12 * 2 * 3).reshape(2, 12, 2, 3)
    got = expected.copy()
    got[1, 7, 1, 2] += 4  # output tile 2 of 3 columns, column 1
    got[0, 10, 0, 1] -= 1  # output tile 3
    got[0, 11, 1, 1] -= 1
    value = int(expected[1, 7, 1, 2])
    found = first_difference(expected, got, Core(cols=3))
    assert found == Difference(1, 7, 1, 2, value, value + 4, 3)
    assert first_difference(expected, expected, Core(cols=3)) is None
