"""The integer network computes what the fake-quantised one does, except for float32's rounding."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from pymodel.images import normalise
from pymodel.lsq_quantiser import QuantConv2d, initialise_scales
from pymodel.reference.integer_convolution import integer_convolution
from pymodel.reference.integer_network import (
    InnerStage,
    IntegerNetwork,
    Stage,
    compare_with_fake_quantised,
    input_codes,
)
from pymodel.support.errors import InputError
from pymodel.vgg import VGG16


@pytest.fixture(scope="module")
def network(shipped):
    return IntegerNetwork(shipped)


def test_codes_of_other_bits_are_refused():
    """Thresholds of codes of 4 bits would give a network of 2 bits other predictions, unnoticed."""
    words = "^features.3 has activations of 2 bits, expected 4, which the thresholds"
    with pytest.raises(InputError, match=words):
        IntegerNetwork(VGG16(activation_bits=2))


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
    """Each stage convolves what left the core for the one before; the last stage gives sums."""
    codes = network.first_codes(images.images[:2])
    assert codes.dtype == torch.int8
    assert codes.shape == (2, 64, 32, 32)
    outputs = list(network.outputs(codes))
    assert len(outputs) == 12
    for stage, given in zip(network.inner, outputs, strict=False):
        assert 0 <= given.min() <= given.max() <= 15
        largest = nn.functional.max_pool2d(stage.codes(codes).float(), 2)
        assert torch.equal(given, largest if stage.pools else stage.codes(codes))
        codes = given
    sums = integer_convolution(codes, network.last.weights, 1, 1)
    assert torch.equal(outputs[-1], sums)
    assert network.logits(sums).shape == (2, 10)


def test_settings(network):
    """The settings of a stage are those that a simulation needs."""
    expected = {"out_channels": 64, "kernel": 3, "stride": 1, "padding": 1, "mode": 2}
    expected |= {"pool": 1, "pools": 0}
    assert network.stages[0].settings == expected
    assert network.last.settings == expected | {"out_channels": 512, "mode": 0, "pool": 0}
    assert sum(stage.settings["pool"] for stage in network.stages) == 4


def test_the_core_does_the_first_pool_and_the_host_those_after_it(network, images):
    stage = replace(network.inner[0], pools=(nn.MaxPool2d(2), nn.MaxPool2d(2)))
    assert (stage.settings["pool"], stage.settings["pools"]) == (1, 1)
    codes = network.first_codes(images.images[:1])
    results = stage.results(codes)
    assert results.shape[2:] == (16, 16)
    assert torch.equal(stage.host_pool(results), stage.pool(stage.codes(codes)))


@pytest.mark.parametrize("pool", [nn.MaxPool2d(3, 2), nn.MaxPool2d(2, 1), nn.MaxPool2d(2, 2, 1)])
def test_other_pools_are_refused(network, pool):
    stage = copy.copy(network.inner[0])
    object.__setattr__(stage, "pools", (pool,))
    with pytest.raises(InputError, match=r"the pooling after features\.3 "):
        _ = stage.settings


class SmallNetwork(nn.Module):
    """A network like the shipped one, with three quantised layers, for maps of 8 × 8 and less."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 4, 3, stride=4, padding=1, bias=False),
            nn.ReLU(inplace=True),
            QuantConv2d(4, 5, bits=4, kernel_size=3, padding=1),
            nn.BatchNorm2d(5),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
            QuantConv2d(5, 6, bits=4, kernel_size=3, padding=1),
            nn.ReLU(inplace=True),
            QuantConv2d(6, 7, bits=4, kernel_size=1),
            nn.BatchNorm2d(7),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(4),
        )
        self.classifier = nn.Linear(7, 10)

    def forward(self, images):
        return self.classifier(torch.flatten(self.features(images), 1))


@pytest.fixture
def few_images():
    """Returns six images of noise."""
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (6, 3, 32, 32), generator=generator, dtype=torch.uint8)


@pytest.fixture
def small(few_images):
    """Returns a small network with random parameters; some codes fall as the sum rises."""
    model, generator = SmallNetwork(), torch.Generator().manual_seed(2)
    with torch.no_grad():
        for tensor in (*model.parameters(), *model.buffers()):
            if tensor.ndim:
                tensor.copy_(torch.randn(tensor.shape, generator=generator))
        for norm in (model.features[3], model.features[9]):
            norm.running_var.abs_().add_(0.5)
    initialise_scales(model, normalise(few_images))
    return IntegerNetwork(model)


def test_the_first_codes_are_those_of_the_first_quantised_layer(small, few_images):
    """The first codes are the output of the float layer before, divided by a scale and rounded.

    The scale is that of the first quantised layer.
    """
    features = small.model.features
    scale = features[2].activation_quantiser.scale.item()
    maps = functional.conv2d(normalise(few_images), features[0].weight, stride=4, padding=1)
    expected = np.clip(np.round(maps.detach().numpy() / scale), 0, 15)
    assert len(np.unique(expected)) == 16
    assert np.array_equal(small.first_codes(few_images), expected)


def test_the_logits_are_those_of_the_fake_quantised_network(small, few_images):
    """The last sums are scaled, and all that follows the last quantised layer is applied."""
    *_, sums = small.outputs(small.first_codes(few_images))
    expected = small.model(normalise(few_images))
    assert expected.std() > 0.1
    torch.testing.assert_close(small.logits(sums), expected, rtol=1e-4, atol=1e-4)


def test_no_gradients_are_recorded(small, few_images):
    """A run of many images would keep the maps of every layer for them."""
    enabled = []
    small.model.features[0].register_forward_hook(
        lambda *_: enabled.append(torch.is_grad_enabled())
    )
    codes = small.first_codes(few_images)
    compare_with_fake_quantised(small, few_images)
    assert enabled == [False, False]
    *_, sums = small.outputs(codes)
    assert not small.logits(sums).requires_grad


def test_input_codes_are_taken_within_the_block_alone(small, few_images):
    """The hooks are removed, after an error too: the list would grow with every later pass."""
    with input_codes(small) as inputs:
        small.model(normalise(few_images))
    assert [codes.shape[1:] for codes in inputs] == [(4, 8, 8), (5, 4, 4), (6, 4, 4)]
    assert torch.equal(inputs[0], small.first_codes(few_images))
    with pytest.raises(KeyError), input_codes(small) as failed:
        raise KeyError
    small.model(normalise(few_images))
    assert (len(inputs), len(failed)) == (3, 0)


@pytest.mark.parametrize("rise", [-9, 9])
def test_codes_that_are_too_large_or_too_small_differ(rise, small, few_images):
    """Thresholds that are too low make codes too large. The next stage is judged on its own."""
    *_, differences = compare_with_fake_quantised(small, few_images)
    assert [(one.differing, one.farthest) for one in differences] == [(0, 0.0), (0, 0.0)]
    with input_codes(small) as fake:
        small.model(normalise(few_images))
    right = small.inner[0]
    table = right.table.copy()
    table[:, 1:] += rise
    small.inner[0] = replace(right, table=table)
    found = small.inner[0].pool(small.inner[0].codes(fake[0])).numpy()
    expected = fake[1].numpy()
    differing = int((found != expected).sum())
    assert differing == int((found < expected if rise > 0 else found > expected).sum()) > 0
    *_, (first, second) = compare_with_fake_quantised(small, few_images)
    assert first[:2] == (expected.size, differing)
    assert first.farthest > 1e-3
    assert first.differing_in_the_end == differing
    assert second.differing == 0
    assert second.differing_in_the_end > 0


def test_distances_from_the_edge_between_two_codes():
    """Distances from the edge equal those worked out by hand, before a pool and after it."""
    stage = InnerStage(
        name="small",
        layer=QuantConv2d(1, 2, bits=4, kernel_size=1),
        weights=torch.ones(2, 1, 1, 1, dtype=torch.int8),
        gain=np.array([0.25, -0.5]),
        offset=np.array([1.1, 0.6]),
        next_scale=0.4,
        table=np.zeros((2, 16), np.int64),
        pools=(),
    )
    codes = torch.tensor([[[[0, 1], [2, 3]]]], dtype=torch.int8)
    # In steps of the next code: 2.75, 3.375, 4 and 4.625; 1.5, 0.25, and 0 for what is below it
    expected = torch.tensor([[[[0.25, 0.125], [0.5, 0.125]], [[0.0, 0.25], [0.5, 0.5]]]])
    found = stage.edge_distances(codes)
    torch.testing.assert_close(found, expected.double())
    pooled = replace(stage, pools=(nn.MaxPool2d(2),)).edge_distances(codes)
    torch.testing.assert_close(pooled.flatten().tolist(), [0.125, 0.0])


def test_pools_keep_every_digit_and_the_kind_of_number(small):
    """A distance in float64 is not rounded to float32, and codes stay codes."""
    fine = 1 + 2.0**-40
    pooled = small.inner[0].pool(torch.tensor([[[[1.0, fine], [0.0, -1.0]]]], dtype=torch.float64))
    assert pooled.item() == fine
    codes = small.inner[0].pool(torch.tensor([[[[3, 1], [15, 0]]]], dtype=torch.int8))
    assert (codes.item(), codes.dtype) == (15, torch.int8)


def test_settings_of_unequal_sides_are_pairs():
    """A core takes one number only: rows must not stand for columns in silence."""
    layer = QuantConv2d(2, 3, bits=4, kernel_size=(3, 1), stride=(1, 2), padding=(1, 0))
    assert Stage("wide", layer, layer.weight_codes()).settings == {
        "out_channels": 3,
        "kernel": (3, 1),
        "stride": (1, 2),
        "padding": (1, 0),
    }
