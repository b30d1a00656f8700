"""Checks LSQ against values worked out by hand from the equations of the paper."""

import math

import pytest
import torch
from torch import tensor

from pymodel.lsq_quantiser import (
    SMALLEST_SCALE,
    QuantConv2d,
    Quantiser,
    QuantLinear,
    code_range,
    compiler_works,
    initialise_scales,
    quantise,
    quantised_layers,
    set_quantising,
)
from pymodel.vgg import VGG16


def weights(bits=4, channels=2):
    return Quantiser(bits, signed=True, per_channel=channels)


def activations(bits=4):
    return Quantiser(bits, signed=False)


@pytest.mark.parametrize(
    ("bits", "signed", "low", "high"),
    [(4, True, -7, 7), (4, False, 0, 15), (2, True, -1, 1), (8, False, 0, 255)],
)
def test_code_range(bits, signed, low, high):
    quantiser = Quantiser(bits, signed=signed)
    assert (quantiser.low, quantiser.high) == (low, high)


def test_forward_rounds_half_to_even_and_clips():
    x = tensor([-9.0, -1.25, -0.75, -0.25, 0.25, 0.75, 1.25, 1.3, 9.0])
    codes = quantise(x, tensor(0.5), -7, 7)
    assert codes.tolist() == [-7, -2, -2, 0, 0, 2, 2, 3, 7]  # ±0.5 → 0, ±1.5 → ±2, ±2.5 → ±2
    quantiser = activations()
    quantiser.scale.data.fill_(0.5)
    assert quantiser(tensor([[-1.0, 0.2, 0.3, 7.4, 99.0]])).tolist() == [[0, 0, 0.5, 7.5, 7.5]]
    assert quantiser.codes(tensor([-1.0, 0.3, 99.0])).tolist() == [0, 1, 15]


def test_scale_belongs_to_its_channel():
    quantiser = weights()
    quantiser.scale.data = tensor([0.5, 2.0]).reshape(2, 1, 1, 1)
    x = tensor([1.1, 1.1]).reshape(2, 1, 1, 1)
    assert quantiser.codes(x).flatten().tolist() == [2, 1]
    assert quantiser(x).flatten().tolist() == [1.0, 2.0]


def test_gradients_of_weights_by_hand():
    """Gradients follow eq. 3 and 5; s = 0.5, Q_P = 7, three values a channel: g = 1/√(3·7)."""
    quantiser = weights()
    quantiser.scale.data.fill_(0.5)
    # v/s:          0.8  -2.4   20        -7 exactly  7.2    0
    x = tensor([0.4, -1.2, 10.0, -3.5, 3.6, 0.0]).reshape(2, 3, 1, 1).requires_grad_()
    upstream = tensor([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).reshape(2, 3, 1, 1)
    quantiser(x).backward(upstream)
    # The gradient goes straight through inside the clip; at its edge (−7) and beyond it is 0.
    assert x.grad.flatten().tolist() == [1, 2, 0, 0, 0, 6]
    g = 1 / math.sqrt(3 * 7)
    # round(0.8) − 0.8 = 0.2;  round(−2.4) + 2.4 = 0.4;  Q_P = 7;  −Q_N = −7;  Q_P = 7;  0
    expected = [g * (1 * 0.2 + 2 * 0.4 + 3 * 7), g * (4 * -7 + 5 * 7 + 6 * 0)]
    torch.testing.assert_close(quantiser.scale.grad.flatten(), tensor(expected))


def test_gradients_of_activations_by_hand():
    """N is the number of features of one image, not of the batch: g = 1/√(4·15)."""
    quantiser = activations()
    quantiser.scale.data.fill_(0.5)
    # v/s:          -0.2  0   2.6  16 | 1.2  14.8 15  3
    x = tensor([-0.1, 0.0, 1.3, 8.0, 0.6, 7.4, 7.5, 1.5]).reshape(2, 1, 2, 2).requires_grad_()
    quantiser(x).sum().backward()
    assert x.grad.flatten().tolist() == [0, 0, 1, 0, 1, 1, 0, 1]
    g = 1 / math.sqrt(4 * 15)
    # −Q_N = 0; 0; 3 − 2.6; 15; 1 − 1.2; 15 − 14.8; 15; 0
    expected = g * (0 + 0 + 0.4 + 15 - 0.2 + 0.2 + 15 + 0)
    assert quantiser.scale.grad.item() == pytest.approx(expected, rel=1e-5)


def test_gradient_scale_counts_what_shares_a_scale():
    assert weights(channels=8).gradient_scale(torch.zeros(8, 4, 3, 3)) == 1 / math.sqrt(36 * 7)
    assert activations().gradient_scale(torch.zeros(32, 8, 4, 4)) == 1 / math.sqrt(128 * 15)


def test_initialisation():
    """Each scale starts at s = 2·mean|v|/√Q_P of the values that share it."""
    quantiser = weights()
    quantiser.initialise(tensor([1.0, -3.0, 10.0, 10.0]).reshape(2, 2, 1, 1))
    torch.testing.assert_close(quantiser.scale.flatten(), tensor([4.0, 20.0]) / math.sqrt(7))
    quantiser = activations()
    quantiser.initialise(tensor([0.0, 1.0, 2.0, 5.0]).reshape(2, 2, 1, 1))
    assert quantiser.scale.item() == pytest.approx(2 * 2 / math.sqrt(15))


@pytest.mark.parametrize("scale", [0.0, -3.0])
def test_a_scale_that_fell_below_zero_acts_as_positive_and_can_climb_back(scale):
    quantiser = activations()
    quantiser.scale.data.fill_(scale)
    out = quantiser(torch.ones(1, 4))
    assert (out > 0).all()
    assert out.max() <= 15 * SMALLEST_SCALE * 1.001
    (-out.sum()).backward()  # the loss wants a larger output
    assert quantiser.scale.grad < 0  # so a step of descent raises the scale


def test_initialisation_of_a_dead_layer_stays_positive():
    quantiser = activations()
    quantiser.initialise(torch.zeros(2, 3))
    assert quantiser.scale > 0


@pytest.mark.verify
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("make", [weights, activations])
def test_compiled_equals_eager(make, memory_format):
    if not compiler_works():
        pytest.skip("torch.compile needs g++ and Python's headers")
    torch.manual_seed(0)
    x = torch.randn(2, 3, 5, 5).to(memory_format=memory_format)
    results = []
    for compiled in (False, True):
        quantiser = make()
        quantiser.scale.data.fill_(0.3)
        quantiser.compiled = compiled
        leaf = x.clone().requires_grad_()
        out = quantiser(leaf)
        (out * torch.arange(x.numel()).reshape(x.shape)).sum().backward()
        results.append((out.detach(), leaf.grad, quantiser.scale.grad))
    for eager, fast in zip(*results, strict=True):
        torch.testing.assert_close(fast, eager)


def test_bf16_in_bf16_out():
    x = torch.rand(2, 3, 4, 4, dtype=torch.bfloat16, requires_grad=True)
    out = activations()(x)
    out.sum().backward()
    assert out.dtype == x.grad.dtype == torch.bfloat16


def test_convolution_equals_codes_times_scales():
    torch.manual_seed(0)
    layer = QuantConv2d(3, 2, bits=4, kernel_size=3, padding=1)
    x = torch.rand(2, 3, 5, 5)
    layer.weight_quantiser.initialise(layer.weight)
    layer.activation_quantiser.initialise(x)
    sums = torch.nn.functional.conv2d(
        layer.activation_codes(x).float(), layer.weight_codes().float(), padding=1
    )
    scale = layer.weight_quantiser.scale.reshape(2, 1, 1) * layer.activation_quantiser.scale
    torch.testing.assert_close(layer(x), sums * scale)


@pytest.mark.parametrize("shape", [(4, 6), (4, 5, 6)])
def test_linear_equals_codes_times_scales(shape):
    """A linear layer computes the 1 × 1 convolution of its codes, times its scales."""
    torch.manual_seed(0)
    layer = QuantLinear(6, 3, bits=4)
    x = torch.rand(shape)
    layer.initialise_scales(x)
    codes = layer.weight_codes()
    assert codes.shape == (3, 6, 1, 1)
    assert codes.abs().amax() > 1
    sums = layer.activation_codes(x).float() @ codes[:, :, 0, 0].float().T
    scale = layer.weight_quantiser.scale.flatten() * layer.activation_quantiser.scale
    torch.testing.assert_close(layer(x), sums * scale + layer.bias)


def test_linear_learns_and_can_be_float():
    torch.manual_seed(0)
    layer = QuantLinear(6, 3, bits=8, bias=False)
    x = torch.rand(4, 6)
    layer.initialise_scales(x)
    torch.testing.assert_close(layer(x), x @ layer.weight.T, atol=0.1, rtol=0)
    layer(x).square().sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in layer.parameters())
    set_quantising(layer, False)
    assert torch.equal(layer(x), x @ layer.weight.T)


def test_switching_between_float_and_quantised():
    model = torch.nn.Sequential(VGG16(), torch.nn.ReLU(), QuantLinear(10, 2, bits=4))
    assert len(quantised_layers(model)) == 13
    set_quantising(model, False)
    for layer in quantised_layers(model).values():
        assert not layer.quantising
        assert not layer.weight_quantiser.scale.requires_grad
    initialise_scales(model, torch.randn(2, 3, 32, 32))
    for layer in quantised_layers(model).values():
        assert layer.quantising
        assert layer.activation_quantiser.scale.requires_grad
        assert layer.activation_quantiser.scale > 0
        assert layer.activation_quantiser.scale != 1
        assert (layer.weight_quantiser.scale > 0).all()


@pytest.mark.parametrize("bits", [-1, 0, 1, 9])
def test_a_number_of_bits_without_codes_is_refused(bits):
    """One signed bit would leave the code 0 alone, and the first forward would divide by it."""
    with pytest.raises(ValueError, match=rf"signed codes of {bits} bits, expected 2 to 8 bits"):
        QuantConv2d(2, 3, bits=bits, kernel_size=1)
    assert code_range(1, signed=False) == (0, 1)
