"""The example functions tell the export what quantisers of other authors do."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from pymodel.own_network import export
from pymodel.own_network.factory import load_quantiser
from pymodel.own_network.fit import Fit, FitError, fit_layers
from training.examples import quantisers

STEP = 0.0371


class Dorefa(nn.Conv2d):
    """A convolution as implementations of DoReFa-Net have it."""

    w_bits, a_bits = 4, 3

    def forward(self, x):
        most = 2**self.a_bits - 1
        x = (x.clamp(0, 1) * most).round() / most
        most = 2**self.w_bits - 1
        weight = torch.tanh(self.weight)
        weight = weight / weight.abs().max() / 2 + 0.5
        weight = 2 * ((weight * most).round() / most) - 1
        return functional.conv2d(x, weight, self.bias, padding=1)


class Pact(nn.Conv2d):
    """A convolution whose activations are clipped at a learned level, as PACT has it."""

    a_bits, w_scale, alpha = 4, 0.031, torch.tensor(0.83)

    def forward(self, x):
        scale = self.alpha / (2**self.a_bits - 1)
        x = (x.clamp_min(0).minimum(self.alpha) / scale).round() * scale
        weight = (self.weight / self.w_scale).round().clamp(-8, 7) * self.w_scale
        return functional.conv2d(x, weight, self.bias)


class LsqQuantiser(nn.Module):
    """A quantiser with a learned step, as implementations of LSQ have it."""

    def __init__(self, steps: torch.Tensor, low: int, high: int):
        super().__init__()
        self.s, self.low, self.high = nn.Parameter(steps), low, high

    def forward(self, x):
        return (x / self.s).clamp(self.low, self.high).round() * self.s


class Lsq(nn.Conv2d):
    """A convolution with a learned-step quantiser for its weights and one for its activations."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.quan_w_fn = LsqQuantiser(torch.rand(6, 1, 1, 1) * 0.02 + 0.01, -8, 7)
        self.quan_a_fn = LsqQuantiser(torch.tensor(STEP), 0, 255)

    def forward(self, x):
        return functional.conv2d(self.quan_a_fn(x), self.quan_w_fn(self.weight), self.bias)


@pytest.fixture
def inputs():
    return torch.rand(2, 4, 6, 5, generator=torch.Generator().manual_seed(1)) * 2 - 0.5


def judged(layer: nn.Module, inputs, quantiser) -> Fit | FitError:
    (found,) = fit_layers(nn.Sequential(layer), inputs, quantiser=quantiser).values()
    return found


@pytest.mark.parametrize(
    ("kind", "name", "bits"),
    [(Dorefa, "dorefa", (3, 4)), (Pact, "pact", (4, 4)), (Lsq, "lsq", (6, 4))],
)
def test_an_example_tells_the_codes(kind, name, bits, inputs):
    torch.manual_seed(2)
    quantiser = load_quantiser(f"training.examples.quantisers:{name}")
    found = judged(kind(4, 6, 3), inputs, quantiser)
    assert isinstance(found, Fit), found
    assert (found.layer.activation_bits, found.layer.weight_bits) == bits
    assert not any(grid.found for grid in (found.weights, found.activations))
    assert found.layer.agrees(found.layer.sums())
    assert not found.layer.agrees(found.layer.sums() + 1)


def test_weights_of_dorefa_have_the_codes_of_their_bits(inputs):
    """The zero point of 2q − (2ⁿ − 1) is a half, stated or found."""
    torch.manual_seed(2)
    layer = Dorefa(4, 6, 3)
    told, found = (judged(layer, inputs, one).layer for one in (quantisers.dorefa, None))
    assert told.weight_zeros.tolist() == found.weight_zeros.tolist() == [-0.5] * 6
    assert torch.equal(told.weight_codes, found.weight_codes)
    assert told.weight_codes.min() == -8
    assert told.weight_codes.max() == 7


@pytest.mark.parametrize(
    ("quantiser", "words"),
    [
        (lambda layer, values, kind: (values / 0.02, 0.02, 0), "are not whole numbers"),
        (lambda layer, values, kind: ((values / STEP).round(), STEP, 1), "off by 1 steps"),
        (lambda layer, values, kind: 3, "TypeError"),
        (lambda layer, values, kind: (values, "x", 0), "expected codes, scale and zero point"),
    ],
)
def test_a_quantiser_that_is_wrong(quantiser, words, inputs):
    torch.manual_seed(2)
    found = judged(Lsq(4, 6, 3), inputs, quantiser)
    assert isinstance(found, FitError)
    assert words in str(found)
    assert "\n" not in str(found)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("quantisers", "quantiser is 'quantisers', expected package.module:function"),
        ("training.examples.quantisers:none", "has no 'none', expected the name of a function"),
        ("no.such:one", "no module 'no' found"),
        ("training.examples.quantisers:__doc__", "is a str, expected a function"),
    ],
)
def test_a_name_that_is_none(refused, tmp_path, name, words):
    state = tmp_path / "state.pt"
    torch.save({"x": torch.ones(1)}, state)
    network = "training.examples.resnet20:resnet20"
    refused(export.main, network, "--state", state, "--quantiser", name, words=[words])


def test_an_exception_of_the_quantiser_is_one_line(inputs):
    with pytest.raises(export.InputError, match="the quantiser, of activations of Lsq: raises Key"):
        judged(Lsq(4, 6, 3), inputs, lambda layer, values, kind: {}["x"])
