"""Defines the geometry of a 2D convolution, in the words of PyTorch's conv2d."""

from typing import NamedTuple

Pair = int | tuple[int, int]  # pixels; one number stands for rows and columns


class Convolution(NamedTuple):
    """The arguments of a 2D convolution beside its tensors, in pixels; a pair is (rows, columns).

    A grouped convolution cuts its input and its output channels into `groups`; each output channel
    sees the input channels of its own group alone.
    """

    stride: Pair = 1
    padding: Pair = 0
    dilation: Pair = 1
    groups: int = 1

    def output_size(self, sides: tuple[int, int], kernel: tuple[int, int]) -> tuple[int, int]:
        """Returns height and width of the output, pixels, as PyTorch's conv2d documents them."""
        numbers = zip(sides, kernel, *map(pair, self[:3]), strict=True)
        return tuple((side + 2 * p - d * (k - 1) - 1) // s + 1 for side, k, s, p, d in numbers)

    def __str__(self) -> str:
        """Returns stride and padding in words, and dilation and groups where they are not 1."""
        words = [f"stride {in_words(self.stride)}", f"padding {in_words(self.padding)}"]
        words += [f"dilation {in_words(self.dilation)}"] if pair(self.dilation) != (1, 1) else []
        words += [f"{self.groups} groups"] if self.groups != 1 else []
        return ", ".join(words)


def pair(number: Pair) -> tuple[int, int]:
    """Returns a pair of pixels for rows and columns.

    >>> pair(2), pair((1, 2))
    ((2, 2), (1, 2))
    """
    return (number, number) if isinstance(number, int) else tuple(number)


def single(number: Pair) -> Pair:
    """Returns one number of pixels where rows and columns have the same, else the pair.

    >>> single((2, 2)), single((1, 2))
    (2, (1, 2))
    """
    rows, columns = pair(number)
    return rows if rows == columns else (rows, columns)


def in_words(number: Pair) -> str:
    """Returns one number or a pair of pixels in words.

    >>> in_words((2, 2)), in_words((1, 2))
    ('2', '1×2')
    """
    number = single(number)
    return str(number) if isinstance(number, int) else "×".join(map(str, number))
