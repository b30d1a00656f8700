"""What follows a quantised layer is folded into the numbers that were worked out by hand."""

import numpy as np
import pytest
import torch
from torch import nn

from pymodel.lsq_quantiser import QuantConv2d
from pymodel.reference.batchnorm_folding import fold
from pymodel.support.errors import InputError


@pytest.fixture
def layer():
    """Returns a layer of two output channels, whose sums have steps of 0.125 and 0.5."""
    layer = QuantConv2d(1, 2, bits=4, kernel_size=1)
    layer.activation_quantiser.scale.data.fill_(0.25)
    layer.weight_quantiser.scale.data.copy_(torch.tensor([0.5, 2.0])[:, None, None, None])
    return layer


@pytest.fixture
def norm():
    """Returns a BatchNorm of the gains 3 and −0.5."""
    norm = nn.BatchNorm2d(2, eps=1.0)  # far more than usual, to show
    norm.weight.data = torch.tensor([6.0, -2.0])
    norm.bias.data = torch.tensor([1.0, 7.0])
    norm.running_mean.copy_(torch.tensor([10.0, -4.0]))
    norm.running_var.copy_(torch.tensor([3.0, 15.0]))
    return norm


@pytest.mark.parametrize("pools", [[], [nn.MaxPool2d(2)], [nn.MaxPool2d(2), nn.MaxPool2d(2)]])
def test_gains_and_offsets(layer, norm, pools):
    """Max pools change nothing, since the largest value has the largest code."""
    gain, offset = fold(layer, nn.Sequential(nn.ReLU(), *pools))
    assert (gain.tolist(), offset.tolist()) == ([0.125, 0.5], [0.0, 0.0])
    gain, offset = fold(layer, nn.Sequential(norm, nn.ReLU(), *pools))
    assert gain.dtype == offset.dtype == np.float64
    assert gain.tolist() == [0.125 * 3, 0.5 * -0.5]
    assert offset.tolist() == [1 - 10 * 3, 7 - 4 * 0.5]


@pytest.mark.parametrize(
    ("after", "named"),
    [
        ([], "nothing"),
        ([nn.Sigmoid()], "Sigmoid"),
        ([nn.MaxPool2d(2)], "MaxPool2d"),
        ([nn.MaxPool2d(2), nn.ReLU()], "MaxPool2d, ReLU"),
        ([nn.ReLU(), nn.AvgPool2d(2)], "ReLU, AvgPool2d"),
        ([nn.ReLU(), nn.MaxPool2d(2), nn.ReLU()], "ReLU, MaxPool2d, ReLU"),
        ([nn.Sigmoid(), nn.AvgPool2d(2)], "Sigmoid, AvgPool2d"),
    ],
)
@pytest.mark.parametrize("with_norm", [False, True])
def test_what_a_gain_and_an_offset_cannot_say_is_refused(layer, norm, after, named, with_norm):
    """The message names what was found after the layer and its BatchNorm."""
    between = nn.Sequential(*[norm] * with_norm, *after)
    with pytest.raises(InputError, match=f"are followed by {named}, expected a ReLU"):
        fold(layer, between)
