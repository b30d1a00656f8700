"""Networks that PyTorch's tools quantised are understood: torch.ao, and PT2E of torchao."""

from functools import partial

import pytest
import torch
from torch import nn
from torch.ao import quantization

from pymodel.own_network.fit import Fit, FitError, fit_layers
from pymodel.own_network.tests import pytorch_networks as networks
from pymodel.own_network.watched_products import packed_product

NETWORKS = {
    "eager": networks.eager,
    "FX": networks.of_graphs,
    "FX after training": partial(networks.of_graphs, qat=True),
    "FX in training": partial(networks.of_graphs, qat=True, convert=""),
    "FX reference": partial(networks.of_graphs, convert="convert_to_reference_fx"),
    "PT2E": networks.pt2e,
    "PT2E after training": partial(networks.pt2e, qat=True),
    "PT2E in training": partial(networks.pt2e, qat=True, convert=False),
}


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(f, id=n, marks=pytest.mark.verify if n != "eager" else ())
        for n, f in NETWORKS.items()
    ],
)
def test_all_layers_fit(make):
    """Each layer has its module's name, and codes of 8 bits; a second run gives the same."""
    model = networks.quietly(make)
    found = fit_layers(model, networks.inputs())
    assert [name.removesuffix(".0") for name in found] == list(networks.LAYERS)
    for name, fit in found.items():
        assert isinstance(fit, Fit), f"{name}: {fit}"
        layer = fit.layer
        channels = layer.activation_codes.shape[1], len(layer.weight_codes)
        assert channels == networks.LAYERS[name.removesuffix(".0")]
        assert layer.weight_bits == 8
        assert layer.activation_bits in (7, 8)  # torch.ao leaves a bit out on some machines
        assert layer.agrees(layer.sums())
    again = fit_layers(model, networks.inputs())
    for name, fit in found.items():
        assert torch.equal(fit.layer.activation_codes, again[name].layer.activation_codes)


def test_codes_are_those_that_pytorch_keeps():
    """The codes of weights are those of the packed parameters, zero points those of the layers."""
    model = networks.quietly(networks.eager)
    found = fit_layers(model, networks.inputs())
    for name, module in (("a", model.a), ("b", model.b), ("fc", model.fc)):
        assert torch.equal(
            found[name].layer.weight_codes.flatten(1), module.weight().int_repr().flatten(1)
        )
    assert found["fc"].layer.zero == model.b.zero_point
    assert found["a"].layer.zero == model.quant.zero_point.item()


def test_a_wrong_code_that_an_operation_makes_is_found():
    """The codes that leave a packed layer must be those of its product, each of them."""
    model = networks.quietly(networks.eager)
    x = model.quant(networks.inputs())
    packed = model.a._packed_params
    numbers = model.a.scale, model.a.zero_point
    func = torch.ops.quantized.conv2d_relu.new
    output = func(x, packed, *numbers)
    assert packed_product(func, (x, packed, *numbers), output)["fault"] == ""
    codes = output.int_repr()
    codes[3, 2, 1, 0] += 1
    wrong = torch._make_per_tensor_quantized_tensor(codes, *numbers)
    fault = packed_product(func, (x, packed, *numbers), wrong)["fault"]
    assert "steps away from those of its values" in fault


def test_scales_that_are_made_anew_are_said():
    """A layer that computes new scales for its input, or each of its rows, has none to export."""
    model = networks.quietly(lambda: quantization.quantize_dynamic(networks.Plain().eval()))
    reason = fit_layers(model, networks.inputs())["fc"]
    assert "it computes new scales for its activations in each pass" in str(reason)

    class Rows(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(64, 4)

        def forward(self, x):
            scale = x.abs().amax(1, keepdim=True) / 127
            return self.fc((x / scale).round() * scale)

    found = fit_layers(Rows(), torch.randn(3, 64))["fc"]
    assert str(found) == "its activations have a scale for each row (token), expected one"


@pytest.mark.verify
def test_integer_products_of_torchao():
    """The product of the codes is seen, but the scales of its rows follow from each input."""
    model = networks.quietly(networks.of_integers)
    found = fit_layers(model, torch.randn(3, 64))
    assert list(found) == ["0", "2"]
    for reason in found.values():
        assert isinstance(reason, FitError)
        assert str(reason) == "it multiplies codes, whose scales follow from each input"
