"""The files of make vectors hold the trained layer, and a wrong layer or image is refused."""

import numpy as np
import pytest
import torch

from pymodel.capture import capture
from pymodel.hardware.tile_text import read_folder, sums
from pymodel.reference.layer_data import layer_data
from tb.run.vectors import main


def test_the_files_hold_the_trained_layer(command, shipped, images, tmp_path):
    """The files hold the network's codes, and their sums give the next layer's input."""
    code, out, _ = command(main, "--out", tmp_path / "new" / "tiles", "--image", 3)
    assert code == 0
    found = read_folder(tmp_path / "new" / "tiles")
    layer = layer_data(capture(shipped, images.images[3:4]))
    assert np.array_equal(found.activations[:, 1:-1, 1:-1], layer.activation_codes[0])
    assert found.activations.sum() == layer.activation_codes.sum()
    assert np.array_equal(found.weights, layer.weight_codes)

    assert len(found.psums) == 10
    psums = np.concatenate([text.values for first, text in found.psums[1:]]).reshape(9, 36, 8)
    assert np.array_equal(found.psums[0][1].values, psums.reshape(-1, 8))
    total = torch.from_numpy(sums(psums, 4, 4).T.reshape(1, 8, 4, 4))
    assert layer.error(total)[0] < 1e-3
    assert np.array_equal(found.outputs[0].values, total[0].relu().flatten(1).T)
    assert "make replay DIR=" in out


def test_header(command, tmp_path):
    for arguments, header in ((["--no-header"], 0), ([], 3)):
        assert command(main, "--out", tmp_path, *arguments)[0] == 0
        lines = {len(path.read_text().splitlines()) - header for path in tmp_path.iterdir()}
        assert lines == {8, 16, 36, 72, 324}


def test_no_folder(refused):
    refused(main, words=["OUT is not set", "make vectors OUT=folder"])


@pytest.mark.parametrize("image", ["-1", "100", "abc", ""])
def test_image(refused, tmp_path, image):
    words = [f"--image is '{image}'", "from 0 to 99"]
    refused(main, "--out", tmp_path / "new", f"--image={image}", words=words)
    assert not (tmp_path / "new").exists()


def test_a_layer_of_more_channels(refused, tmp_path):
    words = ["layer 'features.24' is of 256 to 8 channels", "hold 8 to 8"]
    refused(main, "--out", tmp_path / "new", "--layer", "features.24", words=words)
    assert not (tmp_path / "new").exists()
