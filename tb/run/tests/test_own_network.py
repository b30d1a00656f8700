"""A user's networks run on the array, trained and exported as docs/own-network.md says."""

import functools
import json
import sys

import pytest
import torch
from safetensors.torch import save_file

from pymodel.images import load_images
from pymodel.own_network import export
from pymodel.own_network.layer_file import load_layers, save_layers
from pymodel.own_network.tests.random_layer import random_layer
from pymodel.support.checksummed_tensors import read_sealed, write_sealed
from tb.components.tile_run import Record
from tb.modules.pytest_runs import first_few
from tb.run import layer
from tb.run.check import Verdict
from tb.run.layer import result_table
from training.examples import brevitas_cnn, few_steps, resnet20

# For each example, the number of psums of one image by layer
EXAMPLES = {
    brevitas_cnn.brevitas_cnn: {
        "3": 9 * 2 * 8 * 8 * 8,  # 3 × 3, stride 2, 8 → 16 channels, 16 × 16 map
        "6": 2 * 2 * 8 * 8 * 8,  # 1 × 1, with weight codes of −8
        "10": 32 * 2 * 8,  # linear, 256 → 10
    },
    resnet20.resnet20: {
        "layer2.0.conv1": 9 * 2 * 4 * 8 * 8 * 8,  # 3 × 3, stride 2, 16 → 32 channels, 16 × 16 map
        "layer2.0.downsample.0": 2 * 4 * 8 * 8 * 8,  # 1 × 1, stride 2
        "fc": 8 * 2 * 8,  # linear, 64 → 10
    },
}


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Returns a function that trains an example for two steps, once, and exports its layers.

    The function returns the file of the layers.
    """

    @functools.cache
    def exported(factory):
        folder = tmp_path_factory.mktemp(factory.__name__)
        state, inputs = folder / "state.safetensors", folder / "inputs.safetensors"
        layers = folder / "layers.safetensors"
        side = 16 if factory is resnet20.resnet20 else 32  # ResNet-20 also takes small maps
        images = load_images().images[:1, :, :side, :side].contiguous()
        save_file({"images": images}, inputs)
        name = f"{factory.__module__}:{factory.__name__}"
        chosen = [word for layer in EXAMPLES[factory] for word in ("--layer", layer)]
        commands = (
            (lambda: few_steps.main(factory), ["--output", state, "--steps", 2]),
            (export.main, [name, "--state", state, "--input", inputs, *chosen, "--output", layers]),
        )
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(export, "RESULTS_FILE", folder / "export.json")
            for main, arguments in commands:
                patch.setattr(sys, "argv", ["command", *map(str, arguments)])
                assert main() == 0
        return layers

    return exported


@pytest.fixture
def run(command, tmp_path):
    """Returns a function that runs a layer of a file, and returns exit code, output and results."""

    def run(path, *arguments):
        results = tmp_path / "layer.json"
        options = ("--quiet", "--model", path, "--results", results, *arguments)
        code, out, _ = command(layer.main, *options)
        return code, out, json.loads(results.read_text()) if results.exists() else None

    return run


@pytest.mark.parametrize(
    "example",
    first_few(
        [(factory, name) for factory in EXAMPLES for name in EXAMPLES[factory]],
        0,
        lambda example: f"{example[0].__name__}-{example[1]}",
    ),
)
def test_example(run, exported, example):
    """A trained and exported example runs on the RTL, and every psum is compared."""
    factory, name = example
    code, out, result = run(exported(factory), "--layer", name)
    assert code == 0, out
    assert result["layer"] == name
    assert (result["images"], result["psums_checked"]) == (1, EXAMPLES[factory][name])
    assert result["psum_mismatches"] == 0
    assert result["max_abs_error"] < 1e-3
    assert result["max_error_steps"] < 0.01


def test_all_codes_of_four_bits_are_among_them(exported):
    """The exported codes reach −8 too, which this project's own quantisers never make."""
    codes = load_layers(exported(brevitas_cnn.brevitas_cnn))["6"].weight_codes
    assert (codes.min(), codes.max()) == (-8, 7)


@pytest.mark.verify
@pytest.mark.parametrize("factory", EXAMPLES)
def test_examples_learn_and_are_the_same_each_time(factory):
    """Two trainings of an example give the same weights and scales, which differ from the start."""
    first, losses = few_steps.train(factory, 2)
    second, same_losses = few_steps.train(factory, 2)
    assert losses == same_losses
    torch.manual_seed(0)
    start = factory().state_dict()
    moved = []
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, second.state_dict()[name])
        if name in start and not torch.equal(tensor, start[name]):
            moved.append(name)
    assert any(name.endswith("weight") for name in moved)
    assert torch.isfinite(torch.tensor(losses)).all()


def test_bad_input_of_an_example(refused, tmp_path):
    def main():
        return few_steps.main(brevitas_cnn.brevitas_cnn)

    refused(main, "--output", tmp_path, "--steps", 1, words=[f"{tmp_path}: cannot be written"])
    refused(main, "--output", tmp_path / "x", "--steps", 0, words=["--steps is 0, expected 1"])
    assert not list(tmp_path.iterdir())


@pytest.fixture
def two_layers(tmp_path):
    """Returns a file of two layers with two images each."""
    path = tmp_path / "two_layers.safetensors"
    layers = {"a": random_layer("a"), "b": random_layer("b", 1, 1, 0)}
    save_layers(path, layers, "test")
    return path


@pytest.mark.parametrize(
    "changes",
    first_few(
        [
            {"bits": (8, 8), "zero": 128, "channels": (6, 6), "groups": 3, "dilation": (1, 2)},
            {"bits": (1, 2)},
            {"bits": (8, 4), "kernel": (1, 3)},
            {"bits": (2, 8), "kernel": (4, 2), "stride": (1, 3), "padding": (2, 0)},
            {"zero": 7, "channels": (16, 16), "groups": 16},
        ],
        1,
        lambda changes: "-".join(f"{name} {value}" for name, value in changes.items()),
    ),
)
def test_any_geometry_and_width(run, tmp_path, changes):
    """The array is compiled with the widths of the layer's codes."""
    path = tmp_path / "one.safetensors"
    save_layers(path, {"only": (one := random_layer("only", **changes))}, "test")
    code, out, result = run(path)
    assert code == 0, out
    assert result["outputs_checked"] == one.reference.numel()
    widths = (max(4, one.activation_bits), max(4, one.weight_bits))
    assert (result["act_width"], result["weight_width"]) == widths
    assert result["act_signed"] == (one.zero == 128)
    assert 0 < result["max_error_share"] < 1


@pytest.mark.parametrize(
    ("zero", "act_signed", "act_width"),
    [(8, 1, 4), (8, 0, 4), *(pytest.param(3, n, 4 + n, marks=pytest.mark.verify) for n in (0, 1))],
)
def test_a_zero_point_is_taken_off_before_or_after_the_array(
    run, tmp_path, zero, act_signed, act_width
):
    """An array of signed activations takes codes less their zero point, another one the codes."""
    path = tmp_path / "one.safetensors"
    layer = random_layer("only", 1, 1, 1, zero=zero)
    save_layers(path, {"only": layer}, "test")
    code, out, result = run(path, "--act-signed", act_signed)
    assert code == 0, out
    assert (result["act_signed"], result["act_width"]) == (bool(act_signed), act_width)
    table = result_table(result, Verdict(None, {"a": True}))
    assert (f", signed activations of {act_width} bits" in table) == bool(act_signed)
    record = Record.load(tmp_path / "layer.npz")
    codes = layer.activation_codes.numpy() - zero * act_signed
    assert {codes.min(), codes.max()} <= set(record.run.tiles.activations.flatten())


@pytest.mark.verify
def test_some_pixels(run, tmp_path):
    """The windows are computed, and the results say how many pixels there are."""
    path = tmp_path / "one.safetensors"
    save_layers(path, {"only": random_layer("only", 1, 1, 3)}, "test")
    code, out, result = run(path, "--pixels", 64)
    assert code == 0, out
    assert (result["pixels"], result["pixels_of_layer"]) == (64, 2 * 13 * 12)
    assert result["outputs_checked"] == 64 * 4


@pytest.mark.verify
def test_another_size_of_the_array(run, two_layers):
    code, out, result = run(two_layers, "--layer", "a", "--rows", 3, "--cols", 5)
    assert code == 0, out
    assert (result["rows"], result["cols"]) == (3, 5)


@pytest.mark.verify
def test_the_only_layer_and_all_images_need_not_be_named(run, tmp_path):
    path = tmp_path / "one.safetensors"
    save_layers(path, {"only": random_layer("only", 1, 1, 0)}, "test")
    code, _, result = run(path)
    assert (code, result["layer"]) == (0, "only")
    assert (result["images"], result["outputs_checked"]) == (2, 2 * 4 * 7 * 6)


@pytest.mark.verify
@pytest.mark.parametrize(
    "wrong",
    [("weight_codes", (2, 4, 0, 0)), ("reference", (0, 3, 1, 1))],
    ids=lambda wrong: wrong[0],
)
def test_a_wrong_file_fails(run, two_layers, wrong):
    """The captured floats judge the integers: one wrong value of either kind fails the run."""
    part, place = wrong
    tensors, metadata = read_sealed(two_layers)
    value = tensors[f"b.{part}"]
    value[place] = value[place] + 1 if value[place] < 7 else 0
    write_sealed(tensors, metadata, two_layers)
    code, out, result = run(two_layers, "--layer", "b")
    assert code == 1
    assert "the recovered output of b differs by" in out
    assert result["psum_mismatches"] == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--layer", "features.27"], "'features.27' is not in the file, expected one of: a, b"),
        ([], "no layer is named, expected one of: a, b"),
        (["--layer", "a", "--images", "3"], "IMAGES is '3', expected a whole number from 1 to 2"),
        (["--layer", "a", "--images", "0"], "IMAGES is '0', expected"),
        (["--layer", "a", "--rows", "0"], "ROWS is '0', expected a whole number from 1 to 256"),
    ],
)
def test_bad_input(refused, two_layers, arguments, words):
    refused(layer.main, "--model", two_layers, *arguments, words=[words])


def test_damaged_file(refused, two_layers):
    two_layers.write_bytes(two_layers.read_bytes()[:-1])
    refused(layer.main, "--model", two_layers, words=[str(two_layers), "truncated"])
