"""Every kind of layer in the zoo fits, or is refused for the right reason; faults are found."""

from dataclasses import replace

import pytest
import torch

from pymodel.own_network.fit import FitError
from pymodel.own_network.tests.zoo import ZOO

FITTING = [name for name, animal in ZOO.items() if not animal.why_not]
SLOW = ("PT2E", "ONNX, QDQ", "ONNX, QLinearConv", "25,088 inputs", "4,608 positive weights")


def marked(names: list[str]) -> list:
    """Returns the names, those that take long marked for make verify."""
    return [pytest.param(n, marks=pytest.mark.verify if n in SLOW else ()) for n in names]


@pytest.mark.parametrize("name", marked([*ZOO]))
def test_what_becomes_of_it(name, tmp_path):
    """A layer that fits has its integers, and a layer that does not has one line that says why."""
    animal = ZOO[name]
    if animal.why_not:
        reasons = [str(one) for one in animal.judged(tmp_path)]
        assert len(reasons) == 1
        assert animal.why_not in reasons[0]
        return
    for fit in animal.layers(tmp_path):
        layer = fit.layer
        assert layer.agrees(layer.sums())
        if animal.bits:
            assert (layer.activation_bits, layer.weight_bits) == animal.bits


@pytest.mark.parametrize("part", ["activations", "weights"])
@pytest.mark.parametrize("name", marked(FITTING))
def test_a_value_beside_its_grid_is_found(name, part, tmp_path):
    """One value that enters the operation lies 0.004 of a step beside its code."""
    animal = ZOO[name]
    kind = part.removesuffix("s")
    scales = [getattr(fit, part).scale.max().item() for fit in animal.layers(tmp_path)]

    def beside(product):
        values = getattr(product, part).clone(memory_format=torch.contiguous_format)
        values.view(-1)[-1] += 0.0043 * scales.pop(0)
        return replace(product, **{part: values})

    for reason in animal.judged(tmp_path, beside):
        assert isinstance(reason, FitError)
        assert kind in str(reason)


@pytest.mark.parametrize("name", marked(FITTING))
def test_a_wrong_code_is_found(name, tmp_path):
    """One code of an exported layer is another one, so its output is not what its sums give."""
    animal = ZOO[name]
    for fit in animal.layers(tmp_path):
        layer = fit.layer
        right, codes = layer.sums(), layer.weight_codes.clone()
        for place in range(codes.numel()):  # the first that is multiplied by something
            codes = layer.weight_codes.clone(memory_format=torch.contiguous_format)
            codes.view(-1)[place] += -1 if codes.view(-1)[place] > 0 else 1
            sums = replace(layer, weight_codes=codes).sums()
            if not torch.equal(sums, right):
                break
        assert not torch.equal(sums, right)
        assert animal.large or not layer.agrees(sums)
