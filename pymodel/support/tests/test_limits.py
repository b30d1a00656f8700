"""A small file cannot ask for more memory than a run may have."""

import numpy as np
import pytest

from pymodel.hardware.tiling import cut
from pymodel.own_network.layer_file import load_layers, save_layers
from pymodel.own_network.tests.random_layer import random_layer
from pymodel.support.errors import InputError
from pymodel.support.limits import GEOMETRY, check_geometry, check_memory


@pytest.mark.parametrize("name", GEOMETRY)
def test_the_limits(name):
    least, most = GEOMETRY[name]
    for value in (least, most):
        check_geometry("x", **{name: value})
    for value in (least - 1, most + 1, float(least), str(least), None, True):
        with pytest.raises(InputError, match=rf"^x: {name} is .*expected a whole number from"):
            check_geometry("x", **{name: value})


def test_memory():
    check_memory("x", 16, (64, 64), 9, 32 * 32)
    with pytest.raises(InputError, match=r"^x: 100 images of 512 .* GiB, expected 4 or less"):
        check_memory("x", 100, (512, 512), 9, 32 * 32)


def test_an_exported_layer_with_a_huge_padding(tmp_path):
    """Padding 20,000 and stride 100,000 would ask for 12 GiB."""
    layer = random_layer("conv", kernel=3, stride=32, padding=31)
    save_layers(tmp_path / "layers.safetensors", {"conv": layer}, "a test")
    assert load_layers(tmp_path / "layers.safetensors")
    layer = random_layer("conv", kernel=3, stride=100, padding=33)
    save_layers(tmp_path / "layers.safetensors", {"conv": layer}, "a test")
    with pytest.raises(InputError, match=r"layers.safetensors: conv: stride is 100, expected"):
        load_layers(tmp_path / "layers.safetensors")


def test_tiles_that_need_too_much_memory_are_not_cut(monkeypatch):
    monkeypatch.setattr("pymodel.support.limits.MAX_BYTES", 1 << 10)
    codes, weights = np.zeros((1, 8, 4, 4), np.int8), np.zeros((8, 8, 3, 3), np.int8)
    with pytest.raises(InputError, match="the layer: 1 images of 8 → 8 channels"):
        cut(codes, weights, 1, 1, 8, 8)
