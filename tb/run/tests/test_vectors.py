"""The files of make vectors hold the layer that was asked for; what they cannot hold is refused."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from pymodel.convolution import Convolution
from pymodel.layer_capture import capture
from pymodel.own_network.layer_file import save_layers
from pymodel.own_network.tests.random_layer import random_layer
from pymodel.reference.layer_data import layer_data
from pymodel.support.errors import InputError
from pymodel.tile_files.agreement import find_reading
from pymodel.tile_files.identify_files import read_folder
from pymodel.tile_files.inputs import Geometry
from pymodel.tile_files.layer_json import read_geometry
from tb.run.vectors import geometry_of, main


def test_the_files_hold_the_trained_layer(command, shipped, images, tmp_path):
    """The files hold the network's codes, and their sums give the next layer's input."""
    code, out, _ = command(main, "--out", tmp_path / "new" / "tiles", "--image", 3)
    assert code == 0
    finding = find_reading(read_folder(tmp_path / "new" / "tiles"), Geometry(), {})
    found = finding.reading.layer
    layer = layer_data(capture(shipped, images.images[3:4]))
    assert np.array_equal(found.padded[:, 1:-1, 1:-1], layer.activation_codes[0])
    assert found.padded.sum() == layer.activation_codes.sum()
    assert np.array_equal(found.weights, layer.weight_codes.permute(2, 3, 0, 1).flatten(0, 1))
    assert len(finding.reading.results) == 11
    assert finding.reading.share == 1
    sums = found.add_up(found.psums()).T.reshape(1, 8, 4, 4)
    assert layer.error(layer.reference.new_tensor(sums))[0] < 1e-3
    assert "make replay DIR=" in out


def test_header(command, tmp_path):
    for arguments, header in ((["--no-header"], 0), ([], 3)):
        assert command(main, "--out", tmp_path, *arguments)[0] == 0
        lines = {len(path.read_text().splitlines()) - header for path in tmp_path.iterdir()}
        assert lines == {8, 16, 36, 72, 324}


def test_text_files_of_another_layer_are_not_left_among_the_new_ones(command, refused, tmp_path):
    """make replay would take them all for one layer."""
    assert command(main, "--out", tmp_path, "--files", "split")[0] == 0
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    words = (str(tmp_path), "which are none of the files to write")
    refused(main, "--out", tmp_path, "--image", 5, "--files", "joint", words=words)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert command(main, "--out", tmp_path, "--image", 5, "--files", "split")[0] == 0


def test_names_and_conventions_are_options(command, tmp_path):
    """A folder can be written as the bench that somebody has expects it."""
    options = ["--weights-name", "w{k}.txt", "--psums-name", "psum_{k}.txt", "--first", 1]
    options += ["--activations-name", "act.txt", "--outputs-name", "out_norelu.txt"]
    options += ["--files", "split", "--weights", "rows", "--outputs", "raw", "--map", "unpadded"]
    assert command(main, "--out", tmp_path, *options)[0] == 0
    names = {path.name for path in tmp_path.iterdir()}
    nine = {f"{name}{k}.txt" for name in ("w", "psum_") for k in range(1, 10)}
    assert names == {"act.txt", "out_norelu.txt"} | nine
    found = find_reading(read_folder(tmp_path), Geometry(), {}).reading
    assert found.share == 1
    assert (found.conventions.weights, found.conventions.map) == ("rows", "unpadded")
    assert found.conventions.outputs == "raw"


@pytest.mark.parametrize(
    ("cores", "outputs"), [("inputs", "out.txt"), ("outputs", "core0_out.txt")]
)
def test_files_of_each_core(command, tmp_path, cores, outputs):
    """Each core has files with its number in their names."""
    assert command(main, "--out", tmp_path, "--cores", cores, "--files", "joint")[0] == 0
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"core0_activation.txt", "core0_weight.txt", "core0_psum.txt", outputs}
    finding = find_reading(read_folder(tmp_path), Geometry(), {})
    assert finding.reading.share == 1


def test_an_exported_layer(command, tmp_path):
    """A layer of any kernel, stride and number of channels comes from an exported file."""
    layer = random_layer("conv")
    save_layers(tmp_path / "layers.safetensors", {"conv": layer}, "a test")
    folder = tmp_path / "tiles"
    code, out, _ = command(main, "--out", folder, "--model", tmp_path / "layers.safetensors")
    assert code == 0
    outputs, inputs, kernel, _ = layer.weight_codes.shape
    assert f"{inputs} → {outputs}" in out
    geometry = read_geometry(folder) or Geometry()
    assert (geometry.kernel, geometry.stride, geometry.padding) == (
        kernel,
        layer.convolution.stride,
        layer.convolution.padding,
    )
    finding = find_reading(read_folder(folder), geometry, {})
    assert finding.reading.share == 1
    codes = layer.activation_codes[0].numpy()
    edge = layer.convolution.padding
    height, width = codes.shape[1:]
    inside = finding.reading.layer.padded[:inputs, edge : edge + height, edge : edge + width]
    assert np.array_equal(inside, codes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"convolution": Convolution((2, 1), 1)}, "kernel of 3, stride 2×1, padding 1"),
        ({"convolution": Convolution(2, 1, 2)}, "padding 1, dilation 2"),
        ({"weight_bits": 5}, "weights of 5 and activations of 4 bits"),
        ({"zero": 3}, "and zero points"),
        ({"weight_zeros": torch.ones(4)}, "and zero points"),
    ],
)
def test_what_tile_files_cannot_hold(changes, words):
    layer = random_layer("conv")
    assert geometry_of(layer) == Geometry(3, 2, 1)
    with pytest.raises(InputError, match="layer 'conv' has") as refusal:
        geometry_of(replace(layer, **changes))
    assert words in str(refusal.value)


def test_no_folder(refused):
    refused(main, words=["OUT is not set", "make vectors OUT=folder"])


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--image", "-1", "from 0 to 99"),
        ("--image", "100", "from 0 to 99"),
        ("--image", "abc", "from 0 to 99"),
        ("--weights", "diagonal", "expected columns or rows"),
        ("--files", "some", "expected both or split or joint"),
        ("--first", "2", "from 0 to 1"),
        ("--cols", "12", "expected 8 or 16"),
        ("--rows", "4", "expected 8 or 16"),
        ("--weight-width", "8", "expected 32 or 64"),
        ("--layer", "features.99", "features.99"),
        ("--activation-bits", "2", "does not fit in 2 bits"),
        ("--weights-name", "w{z}.txt", "w{z}.txt' cannot be the name of a file"),
        ("--cores", "both", "expected inputs or outputs"),
    ],
)
def test_a_wrong_option(refused, tmp_path, option, value, words):
    refused(main, "--out", tmp_path / "new", f"{option}={value}", words=[words])
    assert not (tmp_path / "new").exists()
