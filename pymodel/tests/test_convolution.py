"""The geometry of a convolution has PyTorch's output size, and words for what is not usual."""

import pytest
import torch
from torch.nn import functional

from pymodel.convolution import Convolution, in_words, pair, single


@pytest.mark.parametrize(
    ("geometry", "words"),
    [
        (Convolution(), "stride 1, padding 0"),
        (Convolution(2, 3), "stride 2, padding 3"),
        (Convolution((2, 1), (0, 3)), "stride 2×1, padding 0×3"),
        (Convolution(dilation=(1, 1)), "stride 1, padding 0"),
        (Convolution(dilation=2), "stride 1, padding 0, dilation 2"),
        (Convolution(dilation=(1, 2)), "stride 1, padding 0, dilation 1×2"),
        (Convolution(dilation=(2, 1)), "stride 1, padding 0, dilation 2×1"),
        (Convolution(groups=2), "stride 1, padding 0, 2 groups"),
        (Convolution(1, 1, (3, 3), 4), "stride 1, padding 1, dilation 3, 4 groups"),
    ],
)
def test_words(geometry, words):
    assert str(geometry) == words


def test_one_number_and_pairs():
    large = int("1000")  # Python keeps one object of each small number alone
    assert pair(3) == pair([3, 3]) == (3, 3)
    assert single((large, int("1000"))) == large
    assert single(5) == 5
    assert single((1, 2)) == (1, 2)
    assert (in_words(7), in_words((7, 7)), in_words((7, 8))) == ("7", "7", "7×8")


@pytest.mark.parametrize(
    "geometry",
    [
        Convolution(),
        Convolution(2, 1),
        Convolution((1, 3), (2, 0), (2, 1)),
        Convolution((3, 2), (0, 1), (1, 3)),
    ],
)
def test_output_size(geometry):
    sides, kernel = (11, 13), (3, 4)
    output = functional.conv2d(
        torch.zeros(1, 1, *sides), torch.zeros(1, 1, *kernel), None, *geometry
    )
    assert geometry.output_size(sides, kernel) == tuple(output.shape[2:])
    with pytest.raises(ValueError, match=r"zip\(\) argument"):
        geometry.output_size((*sides, 5), kernel)
