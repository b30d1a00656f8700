"""Networks of each kind that people bring are judged rightly, layer by layer."""

import pytest

from pymodel.own_network.fit import Fit, fit_layers
from pymodel.own_network.tests.pytorch_networks import quietly
from training.tests.zoo_networks import NETWORKS

SLOW = ("VGG16", "ResNet-20", "Brevitas", "torch.ao in training", "PT2E")


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.verify if n in SLOW else ()) for n in NETWORKS]
)
def test_each_layer_fits_or_says_why(name):
    """All layers are in the table; those that do not fit have the right reason, in one line."""
    network = NETWORKS[name]
    found = fit_layers(quietly(network.make), network.inputs())
    fitting = tuple(key for key, one in found.items() if isinstance(one, Fit))
    assert fitting == network.fitting
    for key in fitting:
        layer = found[key].layer
        assert layer.agrees(layer.sums())
    reasons = {key: str(one) for key, one in found.items() if key not in fitting}
    assert reasons.keys() == network.why_not.keys()
    for key, words in network.why_not.items():
        assert words in reasons[key]
        assert "\n" not in reasons[key]
