"""Values of integer sums take the place of a layer's output, and all else stays the model's."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from pymodel.own_network.fit import Fit, FitError, fit_layers
from pymodel.own_network.integer_forward import (
    Differences,
    compare_roundings,
    float_forward,
    integer_forward,
)
from pymodel.own_network.tests import pytorch_networks
from pymodel.own_network.tests.zoo import Fake, conv, inputs, weighted

WHAT = "the model"


class Residual(nn.Module):
    """A network with a shortcut, a depthwise layer, a linear layer and a product of tokens."""

    def __init__(self):
        super().__init__()
        self.first = nn.Sequential(Fake(4), conv(3, 6, 3, padding=1, bias=False))
        self.norm = nn.BatchNorm2d(6)
        self.depthwise = nn.Sequential(Fake(5, signed=True), conv(6, 6, 3, padding=1, groups=6))
        self.quantise = Fake(8, signed=True)
        self.tokens = weighted(nn.Linear(6, 4))
        self.last = weighted(nn.Linear(4, 5, bias=False))

    def forward(self, x):
        shortcut = self.first(x)
        x = functional.relu(shortcut + self.depthwise(self.norm(shortcut)))
        x = self.tokens(self.quantise(x.flatten(2).transpose(1, 2)))
        return self.last(self.quantise(x.mean(1)))


def judged(model, given):
    """Returns the layers of a network that fit; all of them do."""
    found = fit_layers(model, given)
    assert all(isinstance(fit, Fit) for fit in found.values()), found
    return found


NETWORKS = {
    "residual": lambda: (Residual().eval(), inputs(4, 3, 7, 6)),
    "eager": lambda: (pytorch_networks.eager(), pytorch_networks.inputs()),
    "graphs": lambda: (pytorch_networks.of_graphs(), pytorch_networks.inputs()),
    "PT2E": lambda: (pytorch_networks.pt2e(), pytorch_networks.inputs()),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_all_layers_take_their_sums_from_elsewhere(name):
    """The output is the model's except for rounding, and follows from the sums that are given."""
    model, given = NETWORKS[name]()
    fits = judged(model, given)
    asked = []

    def sums(data):
        asked.append(data.name)
        return data.sums()

    found, trace = integer_forward(model, given, fits, sums, WHAT)
    as_it_is, in_floats = float_forward(model, given, fits, WHAT)
    assert asked == list(fits) == list(trace.activations) == list(in_floats.activations)
    assert torch.allclose(found.dequantize(), as_it_is.dequantize(), atol=1e-5)
    for layer in fits:
        wrong, _ = integer_forward(
            model,
            given,
            fits,
            lambda data, layer=layer: data.sums() + 9 * (data.name == layer),
            WHAT,
        )
        assert not torch.equal(wrong.dequantize(), found.dequantize()), layer
    assert torch.equal(model(given).dequantize(), as_it_is.dequantize())


def test_codes_that_differ_from_the_same_input_are_counted():
    """A layer gets the activations of the other run: a difference is counted where it is made."""
    model, given = NETWORKS["residual"]()
    fits = judged(model, given)
    _, trace = integer_forward(model, given, fits, lambda data: data.sums(), WHAT)
    right = compare_roundings(model, given, fits, trace, WHAT)
    assert right.codes == {name: values.numel() for name, values in trace.activations.items()}
    assert right.differing == dict.fromkeys(fits, 0)
    assert right.rounded_otherwise == 0

    def wrong(data):  # by a step of the output, in one place
        found = data.sums()
        if data.name == "depthwise.1":
            found[0, 0, 0, 0] += 40
        return found

    _, trace = integer_forward(model, given, fits, wrong, WHAT)
    found = compare_roundings(model, given, fits, trace, WHAT)
    assert found.differing == dict.fromkeys(fits, 0) | {"tokens": 1}
    assert found.rounded_otherwise == 1
    assert found.farthest > 0.5


def test_numbers_that_are_none_differ():
    """Values and codes that are NaN in one run alone count, and lie infinitely far from an edge."""
    found = Differences()
    steps = torch.tensor([0.2, torch.nan, 3.4])
    found.count_rounding(steps, torch.tensor([0.2, 1.0, 3.4]))
    assert (found.rounded_otherwise, found.farthest) == (1, torch.inf)
    fit = judged(nn.Sequential(Fake(4), conv()), inputs())["1"]
    given = torch.zeros(3)
    found.count("1", torch.tensor([0.0, torch.nan, 0.0]), given, fit)
    assert (found.codes, found.differing) == ({"1": 3}, {"1": 1})


def test_activations_beside_the_grid_are_refused():
    """A grid that was found from the values must hold for the inputs that come later."""
    model = nn.Sequential(nn.Identity(), conv())
    given = (inputs(2, 3, 7, 6) * 7).round() / 10
    fits = judged(model, given)
    again, _ = integer_forward(model, given, fits, lambda data: data.sums(), WHAT)
    assert torch.allclose(again, model(given), atol=1e-5)
    with pytest.raises(FitError, match="do not lie on the grid"):
        integer_forward(model, given + 0.05, fits, lambda data: data.sums(), WHAT)


def test_activations_of_zeros_have_codes():
    """An input may be all zeros, though the layer could not have been judged on it."""
    model, given = nn.Sequential(Fake(4, zero=0), conv()), inputs()
    fits = judged(model, given)
    found, _ = integer_forward(model, 0 * given, fits, lambda data: data.sums(), WHAT)
    assert torch.allclose(found, model(0 * given), atol=1e-5)
