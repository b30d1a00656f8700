"""A file gives back the exported layers exactly, and anything damaged is refused in one line."""

import json

import pytest
import torch

from pymodel.checkpoint import SHIPPED
from pymodel.own_network.layer_file import is_layer_file, load_layer, load_layers, save_layers
from pymodel.own_network.tests.random_layer import random_layer
from pymodel.support.checksummed_tensors import read_sealed, write_sealed
from pymodel.support.errors import InputError


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "layers.safetensors"
    layers = {"a": random_layer("a"), "b.bias": random_layer("b.bias", 1, 1, 0)}
    save_layers(path, layers, "test")
    return path


def refusal(path, name="a") -> str:
    with pytest.raises(InputError) as error:
        load_layer(path, name)
    message = str(error.value)
    assert str(path) in message
    assert "\n" not in message
    return message


def resealed(path, change=lambda tensors: None, **metadata):
    """Changes a file and seals it again, so that only the content is wrong."""
    tensors, old = read_sealed(path)
    change(tensors)
    write_sealed(tensors, old | metadata, path)


def test_same_layers(saved):
    assert is_layer_file(saved)
    for name, loaded in load_layers(saved).items():
        original = random_layer(*((name, 3, 2, 1) if name == "a" else (name, 1, 1, 0)))
        for part in ("activation_codes", "weight_codes", "step", "reference"):
            assert torch.equal(getattr(loaded, part), getattr(original, part))
        assert torch.equal(loaded.after.bias, original.after.bias)
        for part in ("name", "convolution", "reference_name"):
            assert getattr(loaded, part) == getattr(original, part)
        sums = loaded.sums()
        assert loaded.error(sums)[1] < 1e-3
        wrong = sums + torch.eye(sums.shape[-1])[0]  # one unit of the sum, at some outputs
        assert loaded.error(wrong)[1] == pytest.approx(1, rel=1e-3)


def test_fewer_images(saved):
    loaded = load_layer(saved, "a").first(1)
    assert len(loaded.activation_codes) == len(loaded.reference) == 1


def test_which_layer(saved, tmp_path):
    assert "'c' is not in the file, expected one of: a, b.bias" in refusal(saved, "c")
    assert "expected one of: a, b.bias" in refusal(saved, None)
    one = tmp_path / "one.safetensors"
    save_layers(one, {"a": random_layer("a")}, "test")
    assert load_layer(one, None).name == "a"


def test_what_is_no_layer_file(tmp_path):
    assert not is_layer_file(tmp_path)
    assert not is_layer_file(tmp_path / "none")
    assert not is_layer_file(SHIPPED)
    assert "format is 'systolic-cosim checkpoint 1', expected" in refusal(SHIPPED)
    assert "not found" in refusal(tmp_path / "none")


@pytest.mark.parametrize("keep", [0, 5, 500, -1])
def test_truncated(saved, keep):
    saved.write_bytes(saved.read_bytes()[:keep])
    assert "truncated" in refusal(saved)


@pytest.mark.parametrize("position", [0.5, 0.9, 0.9999])
def test_one_bit_altered(saved, position):
    data = bytearray(saved.read_bytes())
    data[int(len(data) * position)] ^= 1
    saved.write_bytes(data)
    assert "altered" in refusal(saved)


def test_a_tensor_that_is_missing_or_of_no_layer_is_refused(saved):
    resealed(saved, lambda tensors: tensors.update(other=tensors.pop("a.step")))
    assert "tensor a.step is missing" in refusal(saved)
    resealed(saved, lambda tensors: tensors.update({"a.step": torch.ones(4)}))
    assert "tensor 'other' belongs to no layer" in refusal(saved)


@pytest.mark.parametrize(
    ("name", "tensor", "words"),
    [
        ("step", torch.ones(4).double(), "torch.float64 [4], expected torch.float32"),
        ("step", torch.ones(4, 1), "expected torch.float32 with 1 dimensions"),
        ("step", torch.tensor([1.0, 1, 1, 0]), "holds 0 to 1, expected positive values"),
        ("step", torch.tensor([1.0, 1, 1, -2]), "holds -2 to 1, expected positive values"),
        ("step", torch.ones(5), "a.step is [5], expected [4]"),
        ("bias", torch.tensor([1.0, 1, 1, float("nan")]), "NaN or infinity"),
        ("bias", torch.ones(1), "a.bias is [1], expected [4]"),
        ("reference", torch.full((2, 4, 4, 3), float("inf")), "NaN or infinity"),
        ("reference", torch.zeros(2, 4, 4, 4), "expected [2, 4, 4, 3] with activation codes"),
        ("reference", torch.zeros(1, 4, 4, 3), "expected [2, 4, 4, 3] with activation codes"),
        ("activation_codes", torch.full((2, 5, 7, 6), 16).char(), "16 to 16, expected 0 to 15"),
        ("activation_codes", torch.full((2, 5, 7, 6), -1).char(), "-1 to -1, expected 0 to 15"),
        ("activation_codes", torch.zeros(0, 5, 7, 6).char(), "none of them 0"),
        ("weight_codes", torch.full((4, 5, 3, 3), 8).char(), "8 to 8, expected -8 to 7"),
        (
            "weight_codes",
            torch.zeros(4, 5, 3, 2).char(),
            "[2, 4, 4, 3], expected [2, 4, 4, 4] with",
        ),
        ("weight_codes", torch.zeros(4, 6, 3, 3).char(), "expected [4, 5, 3, 3]"),
        ("weight_codes", torch.zeros(4, 5, 10, 10).char(), "a.reference is [2, 4, 4, 3]"),
    ],
)
def test_an_impossible_tensor_is_refused(saved, name, tensor, words):
    resealed(saved, lambda tensors: tensors.update({f"a.{name}": tensor}))
    assert words in refusal(saved)


@pytest.mark.parametrize(
    "layers",
    [
        "",
        "{",
        "[]",
        "{}",
        "3",
        "null",
        json.dumps({"a": {"stride": 2}}),
        json.dumps({"a": {"stride": 0, "padding": 1}}),
        json.dumps({"a": {"stride": 2, "padding": -1}}),
        json.dumps({"a": {"stride": "2", "padding": 1}}),
        json.dumps({"a": {"stride": True, "padding": 1}}),
        json.dumps({"two\nlines": {"stride": 2, "padding": 1}}),
    ],
)
def test_impossible_settings_are_refused(saved, layers):
    resealed(saved, layers=layers)
    assert "expected names with stride" in refusal(saved)


def test_stride_and_padding_must_give_the_outputs(saved):
    settings = json.loads(read_sealed(saved)[1]["layers"])
    settings["a"]["stride"] = 1
    resealed(saved, layers=json.dumps(settings))
    assert "a.reference is [2, 4, 4, 3], expected [2, 4, 7, 6]" in refusal(saved)
