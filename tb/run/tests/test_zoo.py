"""Layers of each kind that people bring run on the RTL, and every psum equals PyTorch's."""

import json

import pytest

from pymodel.own_network.layer_file import save_layers
from pymodel.own_network.tests.zoo import ZOO
from tb.run import layer

FITTING = [name for name, animal in ZOO.items() if not animal.why_not]
SHORT = ("signed 8 bits", "a scale per channel, depthwise")  # of make test


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=() if n in SHORT else pytest.mark.verify) for n in FITTING]
)
def test_every_psum_is_right(command, tmp_path, name):
    """The array is compiled for the layer; one image is run."""
    path, results = tmp_path / "layers.safetensors", tmp_path / "layer.json"
    fits = {fit.layer.name: fit for fit in ZOO[name].layers(tmp_path)}
    save_layers(path, {key: fit.layer for key, fit in fits.items()}, "none")
    for key, fit in fits.items():
        options = ("--quiet", "--model", path, "--layer", key, "--images", 1, "--results", results)
        code, out, _ = command(layer.main, *options)
        assert code == 0, out
        result = json.loads(results.read_text())
        assert result["psum_mismatches"] == 0 < result["psums_checked"]
        assert result["outputs_checked"] == fit.layer.reference[0].numel()
        assert 0 <= result["max_error_share"] < 1
