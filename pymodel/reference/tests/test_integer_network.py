"""The integer network computes what the fake-quantised one does, but for float32's rounding."""

import copy

import pytest
import torch
from torch import nn

from pymodel.reference.integer_convolution import integer_convolution
from pymodel.reference.integer_network import IntegerNetwork, compare_with_fake_quantised
from pymodel.support.errors import InputError


@pytest.fixture(scope="module")
def network(shipped):
    return IntegerNetwork(shipped)


def test_predictions_and_codes_are_those_of_the_fake_quantised_network(network, images):
    """On 20 images all predictions agree, and all codes but a few that lie at an edge."""
    integer, fake, differences = compare_with_fake_quantised(network, images.images[:20])
    assert torch.equal(integer, fake)
    assert len(differences) == len(network.stages) - 1 == 11
    assert sum(difference.codes for difference in differences) == 20 * 100_608
    for difference in differences:
        assert difference.differing <= 1 + difference.codes / 1e6
        assert difference.farthest < 1e-4


def test_differences_are_found_and_measured(network, images):
    """With thresholds that are too high, codes differ for the same input, and far from an edge."""
    wrong = copy.copy(network)
    wrong.inner = list(network.inner)
    stage = copy.copy(network.inner[1])
    object.__setattr__(stage, "table", stage.table.copy())
    stage.table[:, 5] += 20
    wrong.inner[1] = stage
    *_, differences = compare_with_fake_quantised(wrong, images.images[:2])
    assert differences[0].differing == differences[0].differing_in_the_end == 0
    assert differences[1].differing > 0
    assert differences[1].farthest > 1e-3
    # The next stage is right, but its input differs.
    assert differences[2].differing == 0
    assert differences[2].differing_in_the_end > 0


def test_outputs_are_handed_on(network, images):
    """Each stage convolves the pooled codes of the stage before; the last stage gives sums."""
    codes = network.first_codes(images.images[:2])
    assert codes.dtype == torch.int8
    assert codes.shape == (2, 64, 32, 32)
    outputs = list(network.outputs(codes))
    assert len(outputs) == 12
    for stage, given in zip(network.inner, outputs, strict=False):
        assert 0 <= given.min() <= given.max() <= 15
        codes = nn.functional.max_pool2d(given.float(), 2) if stage.pools else given
    sums = integer_convolution(codes, network.last.weights, 1, 1)
    assert torch.equal(outputs[-1], sums)
    assert network.logits(sums).shape == (2, 10)


def test_settings(network):
    """The settings of a stage are those that a simulation needs."""
    expected = {"out_channels": 64, "kernel": 3, "stride": 1, "padding": 1, "mode": 2, "pools": 1}
    assert network.stages[0].settings == expected
    assert network.last.settings == expected | {"out_channels": 512, "mode": 0, "pools": 0}
    assert sum(stage.settings["pools"] for stage in network.stages) == 4


@pytest.mark.parametrize("pool", [nn.MaxPool2d(3, 2), nn.MaxPool2d(2, 1), nn.MaxPool2d(2, 2, 1)])
def test_other_pools_are_refused(network, pool):
    stage = copy.copy(network.inner[0])
    object.__setattr__(stage, "pools", (pool,))
    with pytest.raises(InputError, match=r"the pooling after features\.3 "):
        _ = stage.settings
