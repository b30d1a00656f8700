"""Compares outputs with the expected ones, in order; missing and extra outputs fail too."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NoReturn

import numpy as np

from pymodel.hardware.core import Core, Layer, result_vectors
from tb.sim.errors import BenchError

EMPTY = "empty comparison: nothing was expected, so nothing was checked"
ZEROS = "nothing but zeros was expected: an array that always gives 0 would pass"


class Scoreboard:
    """Compares the words of one output bus, one after another, with a list.

    `place(index)` names the word at `index` ("image 3, kernel position (0, 1), pixel 7").
    `difference(index, expected, got)` returns in words how two words of the bus differ ("channel 5:
    expected -12, got 13").
    """

    def __init__(
        self,
        expected: list[int],
        place: Callable[[int], str],
        difference: Callable[[int, int, int], str],
    ):
        self.expected = expected
        self.place = place
        self.difference = difference
        self.received: list[int] = []
        self.cycles: list[int] = []  # the cycle of each received word
        self.unknown: dict[int, list[int]] = {}  # index of a word → its columns with X or Z
        self.mismatches = 0
        self.first_mismatch = ""

    def receive(self, cycle: int, word: int, unknown: Sequence[int] = ()) -> None:
        """Takes the next word; the columns `unknown` had X or Z, and hold 0 in the word instead.

        Raises BenchError if no more words were expected.
        """
        index = len(self.received)
        if index == len(self.expected):
            self.fail(f"extra output at cycle {cycle}: all {index} expected ones had come")
        self.received.append(word)
        self.cycles.append(cycle)
        if unknown:
            self.unknown[index] = list(unknown)
            self.mismatches += 1
            self.first_mismatch = self.first_mismatch or (
                f"X or Z at cycle {cycle}: {self.place(index)}, "
                f"column{'s' * (len(unknown) > 1)} {', '.join(map(str, unknown))}"
            )
        elif word != self.expected[index]:
            self.mismatches += 1
            self.first_mismatch = self.first_mismatch or (
                f"mismatch: {self.place(index)}, cycle {cycle}, "
                f"{self.difference(index, self.expected[index], word)}"
            )

    def fail(self, reason: str) -> NoReturn:
        """Raises BenchError with the first mismatch if there was one, else with `reason`."""
        raise BenchError(self.first_mismatch or reason)

    def finish(self) -> None:
        """Raises BenchError if a word differed or is missing, or if nothing was expected."""
        if not self.expected:
            raise BenchError(EMPTY)
        if self.mismatches:
            more = self.mismatches - 1
            raise BenchError(self.first_mismatch + (f" (and {more} more vectors)" if more else ""))
        missing = len(self.expected) - len(self.received)
        if missing:
            raise BenchError(
                f"missing output: {missing} of {len(self.expected)} did not come, the first is "
                f"{self.place(len(self.received))}"
            )


@dataclass(frozen=True)
class Difference:
    """The place where two sets of maps [N, C_out, H', W'] differ first, in the order of beats."""

    image: int
    channel: int
    y: int
    x: int
    expected: int
    got: int
    differing: int  # number of values that differ

    def describe(self, core: Core, first_image: int = 0) -> str:
        """Returns the place and both values in one line; images count from `first_image`."""
        return (
            f"output tile {self.channel // core.cols}, image {first_image + self.image}, "
            f"pixel ({self.y}, {self.x}), channel {self.channel}: expected {self.expected}, "
            f"got {self.got} ({self.got - self.expected:+d}), {self.differing} differ"
        )


def beat_at(beat: int, images: int, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Returns output tile, image, y and x of a beat of results.

    There are `images` maps of `size` pixels (height, width) for each output tile.
    """
    return tuple(map(int, np.unravel_index(beat, (beat + 1, images, *size))))


def beat_words(beat: int, layer: Layer) -> str:
    """Returns in words output tile, image and pixel of a beat of `layer`."""
    tile, image, y, x = beat_at(beat, layer.images, layer.result_size)
    return f"output tile {tile}, image {image}, pixel ({y}, {x})"


def first_difference(expected: np.ndarray, got: np.ndarray, core: Core) -> Difference | None:
    """Returns the first place where the two differ, or None if they are equal.

    expected, got: int [N, C_out, H', W'].
    """
    differ = np.argwhere(result_vectors((expected != got).astype(np.int8), core))
    if not len(differ):
        return None
    beat, column = differ[0].tolist()
    tile, image, y, x = beat_at(beat, len(expected), expected.shape[2:])
    place = image, tile * core.cols + column, y, x
    return Difference(*place, int(expected[place]), int(got[place]), len(differ))


def compare(expected: np.ndarray, got: np.ndarray, layer: Layer, core: Core) -> None:
    """Raises BenchError with the first difference, or if there is nothing to compare.

    expected, got: int [N, C_out, H', W'].
    """
    if not expected.size:
        raise BenchError(EMPTY)
    if place := first_difference(expected, got, core):
        raise BenchError(f"mismatch: {place.describe(core)} of {expected.size}, {layer}")
