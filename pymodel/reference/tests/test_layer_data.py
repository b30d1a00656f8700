"""Errors of recovered values are measured in the units of the network and in steps."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from pymodel.convolution import Convolution
from pymodel.layer_capture import capture
from pymodel.own_network.tests.random_layer import random_layer
from pymodel.reference import layer_data as layer_data_module
from pymodel.reference.integer_convolution import integer_convolution
from pymodel.reference.layer_data import LayerData, layer_data


def test_error_is_in_the_units_of_the_next_input_and_in_steps(shipped, images):
    layer = layer_data(capture(shipped, images.images[:2]))
    sums = integer_convolution(layer.activation_codes, layer.weight_codes, 1, 1)
    error, error_steps = layer.error(sums)
    assert error < 1e-5
    assert error_steps < 1e-3
    off = replace(layer, reference=layer.reference + 2e-3)
    error, error_steps = off.error(sums)
    assert error == pytest.approx(2e-3, rel=1e-2)
    assert error_steps == pytest.approx(2e-3 / layer.step.min().item(), rel=1e-2)


def test_a_step_counts_batch_norm(shipped, images):
    """features.24 has BatchNorm before the next convolution: one unit of its sum is one step."""
    layer = layer_data(capture(shipped, images.images[:2], "features.24"))
    sums = integer_convolution(layer.activation_codes, layer.weight_codes, 1, 1)
    assert layer.error(sums)[1] < 0.01
    positive = (layer.reference > 0).all(0)
    assert positive.any()
    assert layer.error(sums + positive)[1] == pytest.approx(1, rel=1e-2)


def test_some_inputs_of_a_layer_keep_their_codes_and_outputs():
    """`first` and `only` choose inputs, and what was captured of the same ones."""
    layer = random_layer("conv", bits=(4, 4))
    assert len(layer.activation_codes) >= 2
    for some, inputs in ((layer.first(1), slice(1)), (layer.only(0), slice(1))):
        assert torch.equal(some.activation_codes, layer.activation_codes[inputs])
        assert torch.equal(some.reference, layer.reference[inputs])
    assert torch.equal(layer.only(1).activation_codes, layer.activation_codes[1:2])
    assert torch.equal(layer.only(1).reference, layer.reference[1:2])
    assert torch.equal(layer.only(1).weight_codes, layer.weight_codes)


LAYERS = {
    "zero point": random_layer("a", zero=5, padding=2),
    "eight bits": random_layer("a", bits=(8, 8), zero=128),
    "groups": random_layer("a", channels=(6, 6), groups=3, dilation=(1, 2)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_sums_of_codes_give_the_outputs_of_values(name):
    """PyTorch computed the outputs from values; what zero points add to the sums is taken off."""
    layer = LAYERS[name]
    assert layer.agrees(layer.sums())
    assert not layer.agrees(layer.sums() + 1)


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize(
    "fault",
    [
        lambda layer: replace(layer, zero=layer.zero + 1),
        lambda layer: replace(layer, weight_zeros=torch.full((len(layer.step),), 1.0).double()),
        lambda layer: replace(layer, step=layer.step * 1.01),
        lambda layer: replace(layer, convolution=layer.convolution._replace(padding=0)),
        lambda layer: replace(layer, convolution=layer.convolution._replace(stride=(2, 1))),
        lambda layer: moved(layer),
    ],
    ids=["zero point", "weight zero", "scale", "padding", "stride", "bias"],
)
def test_a_wrong_number_beside_the_codes_is_found(name, fault):
    wrong = fault(LAYERS[name])
    try:
        assert not wrong.agrees(wrong.sums())
    except RuntimeError:  # the outputs have other sides
        assert wrong.sums().shape != wrong.reference.shape


def moved(layer):
    """Returns the layer with the bias of one channel off by a step."""
    bias = layer.after.bias.clone()
    bias[1] += layer.step[1].item()
    return replace(layer, after=type(layer.after)(bias))


@pytest.mark.parametrize("name", LAYERS)
def test_codes_for_an_array_of_signed_activations(name):
    """Codes less their zero point give other sums, and the same outputs."""
    layer = LAYERS[name]
    signed = layer.for_array(signed=True)
    assert layer.for_array(signed=False) is layer
    assert torch.equal(signed.activation_codes + layer.zero, layer.activation_codes)
    assert torch.equal(signed.recover(signed.sums()), layer.recover(layer.sums()))
    assert signed.agrees(signed.sums())
    assert (signed.sums() != layer.sums()).any() == bool(layer.zero)
    assert not replace(signed, zero=1).agrees(signed.sums())


def test_zero_points_of_weights():
    """Codes with a zero point for each channel, halves too, mean what codes without one mean."""
    layer = random_layer("a", zero=3, groups=1)
    zeros = torch.tensor([2.0, -1.0, 0.0, 0.5], dtype=torch.float64)
    weights = (layer.weight_codes - zeros[:, None, None, None]) * layer.step[..., None]
    codes = layer.activation_codes - layer.zero
    outputs = torch.nn.functional.conv2d(
        codes.double(), weights, layer.after.bias.double(), stride=2, padding=1
    )
    layer = replace(layer, weight_zeros=zeros, reference=outputs.float())
    assert layer.agrees(layer.sums())
    assert not replace(layer, weight_zeros=zeros + 0.5).agrees(layer.sums())


def test_the_bound_of_a_float32_summation():
    """The limit is γ_n Σ |a||w| where that exceeds the usual limits, computed here in floats."""
    layer = random_layer("a", bits=(8, 8), zero=100)
    codes = (layer.activation_codes - 100).abs().double()
    weights = (layer.weight_codes * layer.step[..., None]).abs().double()
    sizes = torch.nn.functional.conv2d(codes, weights, layer.after.bias.abs().double(), 2, 1)
    count = 5 * 9 + 6
    rounding = 2.0**-24  # of float32, whose significand has 24 bits
    expected = count * rounding / (1 - count * rounding) * sizes
    usual = (0.01 * layer.step.double()).clamp_max(1e-3)
    assert (expected > usual).any()
    torch.testing.assert_close(layer.allowed(), torch.maximum(expected, usual))


def test_the_shipped_layer_keeps_its_limits(shipped, images):
    layer = layer_data(capture(shipped, images.images[:2]))
    assert layer.convolution == Convolution(1, 1)
    assert (layer.activation_bits, layer.weight_bits, layer.zero) == (4, 4, 0)
    limit = layer.allowed()
    assert limit.shape == layer.step.shape
    assert (limit <= 1e-3).all()
    assert (limit <= 0.01 * layer.step.double()).all()


@pytest.mark.parametrize("name", LAYERS)
def test_windows_of_the_output_are_those_of_the_whole(name):
    """Each window has the sums of its place, the border's too; one wrong value in it is found."""
    whole = LAYERS[name]
    size = tuple(whole.reference.shape[2:])
    for seed in range(3):
        layer = whole.sampled(2 * math.prod(size) - 1, seed)  # the smallest window is a whole map
        assert layer.reference.shape == (2, *whole.reference.shape[1:])
        assert layer.agrees(layer.sums())
        assert layer.convolution.padding == 0
    assert whole.sampled(2 * math.prod(size), 1) is whole


@pytest.mark.parametrize(
    "whole",
    [
        random_layer("a", stride=1, zero=5),
        random_layer("a", (2, 3), (1, 2), (2, 1), zero=5),
        random_layer("a", (3, 2), (2, 1), (0, 3), zero=5, dilation=(1, 2)),
        random_layer("a", (1, 6), 1, 0),  # its windows are narrower than they are high
        random_layer("a", (7, 1), 1, 0),  # its windows are lower than they are wide
    ],
    ids=["square", "wide", "high", "narrow", "low"],
)
def test_windows_begin_at_the_corners_and_then_are_drawn(monkeypatch, whole):
    monkeypatch.setattr(layer_data_module, "WINDOW", 2)
    height, width = whole.reference.shape[2:]
    high, wide = min(2, height), min(2, width)
    layer = whole.sampled(5 * high * wide, seed=4)
    assert layer.reference.shape == (5, 4, high, wide)
    ys, xs = (0, height - high), (0, width - wide)
    corners = [(slice(y, y + high), slice(x, x + wide)) for y in ys for x in xs]
    for window, corner in zip(layer.reference, corners, strict=False):
        assert torch.equal(window, whole.reference[0][(slice(None), *corner)])
    assert layer.agrees(layer.sums())
    wrong = layer.reference.clone()
    wrong[4, 3, -1, -1] += layer.step[3].item()
    assert not replace(layer, reference=wrong).agrees(layer.sums())
    other = whole.sampled(5 * high * wide, seed=5)
    assert not torch.equal(other.reference, layer.reference)
    assert torch.equal(other.reference[:4], layer.reference[:4])


def test_a_window_has_eight_rows_and_columns():
    codes = torch.arange(2 * 20 * 20).reshape(2, 1, 20, 20) % 16
    weights = torch.ones(1, 1, 1, 1, dtype=torch.int8)
    step = torch.ones(1, 1, 1)
    whole = LayerData("a", codes, weights, Convolution(), step, nn.Identity(), codes.float(), "x")
    layer = whole.sampled(6 * 64, seed=1)
    assert layer.reference.shape == (6, 1, 8, 8)
    assert layer.agrees(layer.sums())
    assert (layer.activation_bits, layer.weight_bits, layer.zero) == (4, 4, 0)


def two_steps(after: nn.Module) -> LayerData:
    """Returns a 1 × 1 layer without error, whose channels have steps of 1 and of 0.001."""
    codes = torch.tensor([[[[1, 2], [3, 4]]]])
    weights = torch.tensor([2, 5], dtype=torch.int8)[:, None, None, None]
    steps = torch.tensor([1.0, 0.001])[:, None, None]
    values = codes * weights[:, 0] * steps
    return LayerData("small", codes, weights, Convolution(), steps, after, values, "output")


def test_limits_are_absolute_and_in_steps():
    """An error may be 0.001, and no more than a hundredth of a step; worked out by hand."""
    layer = two_steps(nn.Identity())
    assert layer.allowed().flatten().tolist() == pytest.approx([1e-3, 1e-5], rel=1e-6)
    assert layer.share(layer.sums()) == pytest.approx(0, abs=1e-3)
    for channel, limit in enumerate((1e-3, 1e-5)):
        error = torch.zeros(1, 2, 2, 2, dtype=torch.float64)
        error[0, channel, 1, 0] = limit
        for part in (0.9, -0.9):
            assert replace(layer, reference=layer.reference + part * error).agrees(layer.sums())
        for part in (1.1, -1.1):
            assert not replace(layer, reference=layer.reference + part * error).agrees(layer.sums())


def test_the_worst_error_is_the_largest_for_what_is_allowed():
    """One unit is a thousand times the limit of channel 0, and a hundred times that of channel 1.

    In steps both are as large, and their limits would make channel 1 the worst.
    """
    layer = two_steps(nn.Identity())
    sums = layer.sums()
    sums[0, 0, 1, 0] += 1
    sums[0, 1, 0, 1] -= 1
    assert layer.share(sums) == pytest.approx(1000, rel=1e-4)
    assert layer.worst(sums) == (0, 0, 1, 0)
    sums[0, 1, 0, 1] -= 10
    assert layer.share(sums) == pytest.approx(1100, rel=1e-4)
    assert layer.worst(sums) == (0, 1, 0, 1)


def test_recovered_values_carry_no_gradient():
    """Recovered values have no gradient, although the BatchNorm after the layer has parameters."""
    layer = two_steps(nn.Sequential(nn.BatchNorm2d(2).eval()))
    assert not layer.recover(layer.sums()).requires_grad
