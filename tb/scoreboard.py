"""Compares what came with what was expected, in order, and fails on everything else too."""

from collections.abc import Callable


class BenchError(AssertionError):
    """The device under test is wrong, or the check was empty. One line that says where."""


class Scoreboard:
    """Checks words of one output bus, one after another, against a list.

    `place(index)` names what the word at `index` is ("image 3, kernel position (0, 1), pixel 7");
    `difference(expected, got)` says how two words differ ("channel 5: expected -12, got 13").
    """

    def __init__(
        self, expected: list[int], place: Callable[[int], str],
        difference: Callable[[int, int], str],
    ):  # fmt: skip
        self.expected = expected
        self.place = place
        self.difference = difference
        self.received: list[int] = []
        self.mismatches: list[str] = []

    def receive(self, cycle: int, word: int) -> None:
        """Take the next word. Raises BenchError if no more were expected."""
        index = len(self.received)
        if index == len(self.expected):
            extra = f"extra output at cycle {cycle}: all {index} expected ones had come"
            raise BenchError(self.mismatches[0] if self.mismatches else extra)
        self.received.append(word)
        if word != self.expected[index]:
            self.mismatches.append(
                f"mismatch: {self.place(index)}, cycle {cycle}, "
                f"{self.difference(self.expected[index], word)}"
            )

    def finish(self) -> None:
        """Raise BenchError for the first mismatch, a missing output, or an empty comparison."""
        if not self.expected:
            raise BenchError("empty comparison: nothing was expected, so nothing was checked")
        if self.mismatches:
            more = len(self.mismatches) - 1
            raise BenchError(self.mismatches[0] + (f" (and {more} more words)" if more else ""))
        missing = len(self.expected) - len(self.received)
        if missing:
            raise BenchError(
                f"missing output: {missing} of {len(self.expected)} did not come, the first is "
                f"{self.place(len(self.received))}"
            )
