"""A checkpoint gives back the model bit for bit, and anything damaged is refused in one line."""

import re
import shutil
from pathlib import Path

import pytest
import torch

from pymodel.checkpoint import (
    SHIPPED,
    architecture,
    load_checkpoint,
    load_for_core,
    pack_codes,
    save_checkpoint,
    unpack_codes,
)
from pymodel.images import ImageSet, load_images, normalise, save_images
from pymodel.layer_capture import capture
from pymodel.lsq_quantiser import initialise_scales
from pymodel.own_network.layer_file import save_layers
from pymodel.own_network.tests.random_layer import random_layer
from pymodel.reference.layer_data import layer_data
from pymodel.support.checksummed_tensors import read_sealed, write_sealed
from pymodel.support.errors import InputError
from pymodel.vgg import VGG16

METADATA = {"accuracy": "0.5", "seed": "1", "command": "test", "recipe": "{}"}


@pytest.fixture(scope="module")
def model(images):
    torch.manual_seed(0)
    model = VGG16().eval()
    initialise_scales(model, normalise(images.images[:8]))
    return model


@pytest.fixture(scope="module")
def saved_once(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "model.safetensors"
    save_checkpoint(model, path, METADATA)
    return path


@pytest.fixture
def saved(saved_once, tmp_path):
    """Returns a checkpoint of the model that a test may change."""
    return Path(shutil.copy(saved_once, tmp_path))


def refusal(path, load=load_checkpoint) -> str:
    with pytest.raises(InputError) as error:
        load(path)
    message = str(error.value)
    assert str(path) in message
    assert "\n" not in message
    return message


def resealed(path, change, metadata=None):
    """Changes tensors of a checkpoint and seals it again, so that only the content is wrong."""
    tensors, old = read_sealed(path)
    change(tensors)
    write_sealed(tensors, old | (metadata or {}), path)
    return path


def test_codes_survive_packing():
    codes = torch.arange(-8, 7, dtype=torch.int8).reshape(3, 5)  # an odd count
    packed = pack_codes(codes)
    assert packed.shape == (8,)
    assert packed[0] == 0x98  # −8 in the low nibble, −7 in the high one
    assert torch.equal(unpack_codes(packed, codes.shape), codes)


def test_same_logits_bit_for_bit(model, saved, images):
    loaded, metadata = load_checkpoint(saved)
    with torch.no_grad():
        inputs = normalise(images.images[:16])
        assert torch.equal(loaded(inputs), model(inputs))
    assert metadata.items() >= METADATA.items()


def test_saving_again_changes_nothing(saved, tmp_path):
    loaded, _ = load_checkpoint(saved)
    save_checkpoint(loaded, tmp_path / "again", METADATA)
    first, second = read_sealed(saved)[0], read_sealed(tmp_path / "again")[0]
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_shipped_file_is_small_and_says_where_it_comes_from():
    assert SHIPPED.stat().st_size < 10_000_000
    _, metadata = load_checkpoint()
    assert float(metadata["accuracy"]) > 0.90
    assert metadata["command"].startswith("python -m training.train")
    assert metadata["weight_bits"] == metadata["activation_bits"] == "4"


def test_missing(tmp_path):
    assert "not found" in refusal(tmp_path / "none")
    refusal(tmp_path)  # a folder


@pytest.mark.parametrize("keep", [0, 5, 1000, 100_000, -1])
def test_truncated(saved, keep):
    saved.write_bytes(saved.read_bytes()[:keep])
    assert "truncated" in refusal(saved)


@pytest.mark.parametrize("position", [0.3, 0.6, 0.999999])
def test_one_bit_altered(saved, position):
    data = bytearray(saved.read_bytes())
    data[int(len(data) * position)] ^= 1
    saved.write_bytes(data)
    assert "altered" in refusal(saved)


def test_metadata_altered(saved):
    data = saved.read_bytes()
    assert data.count(b'"accuracy":"0.5"') == 1
    saved.write_bytes(data.replace(b'"accuracy":"0.5"', b'"accuracy":"0.9"'))
    assert "altered" in refusal(saved)


def test_a_file_without_a_seal_is_refused(saved, tmp_path):
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(1)}, tmp_path / "plain")
    assert "sha256" in refusal(tmp_path / "plain")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("architecture", "resnet20"),
        ("architecture", architecture(0)),
        ("architecture", architecture(8).replace("S", "8")),
        ("weight_bits", "9"),
        ("weight_bits", "1"),
        ("activation_bits", "0"),
        ("activation_bits", "9"),
        ("format", "x"),
        ("accuracy", "good"),
    ],
)
def test_another_architecture(saved, key, value):
    resealed(saved, lambda tensors: None, {key: value})
    message = refusal(saved)
    assert f"{key} is '{value}', expected" in message


@pytest.mark.parametrize(
    ("weight_bits", "activation_bits", "squeeze"),
    [
        (2, 2, 8),
        (8, 8, 8),
        (4, 2, 16),
        *(pytest.param(*one, marks=pytest.mark.verify) for one in ((3, 3, 8), (5, 1, 1))),
    ],
)
def test_other_widths(weight_bits, activation_bits, squeeze, images, tmp_path):
    """A network of other widths has the same logits bit for bit; the core refuses its file."""
    torch.manual_seed(0)
    model = VGG16(weight_bits=weight_bits, activation_bits=activation_bits, squeeze=squeeze).eval()
    inputs = normalise(images.images[:8])
    initialise_scales(model, inputs)
    path = tmp_path / "model.safetensors"
    save_checkpoint(model, path, METADATA)
    loaded, metadata = load_checkpoint(path)
    assert metadata["weight_bits"] == str(weight_bits)
    assert metadata["activation_bits"] == str(activation_bits)
    assert f" M {squeeze} S 512 M " in metadata["architecture"]
    with torch.no_grad():
        assert torch.equal(loaded(inputs), model(inputs))
    layer = layer_data(capture(loaded, images.images[:2]))
    assert (layer.activation_bits, layer.weight_bits) == (activation_bits, weight_bits)
    assert layer.weight_codes.shape == (squeeze, squeeze, 3, 3)
    assert layer.activation_codes.min() >= 0
    assert layer.agrees(layer.sums())
    assert not layer.agrees(layer.sums() + 1)
    widths = f"weights of {weight_bits} and activations of {activation_bits} bits"
    assert f"has {widths}, expected 4 and 4, which the core takes" in refusal(path, load_for_core)


def test_exported_layers_are_no_checkpoint(tmp_path):
    save_layers(tmp_path / "layers", {"a": random_layer("a")}, "test")
    assert "holds exported layers alone, expected a checkpoint of the whole" in refusal(
        tmp_path / "layers"
    )


def test_tensor_renamed(saved):
    resealed(saved, lambda t: t.update({"classifier.w": t.pop("classifier.weight")}))
    assert "'classifier.w' is unknown" in refusal(saved)


def test_tensor_missing(saved):
    resealed(saved, lambda t: t.pop("features.28.weight", None) or t.pop("features.1.weight"))
    assert "features.1.weight is missing" in refusal(saved)


def test_wrong_shape(saved):
    resealed(saved, lambda t: t.update({"classifier.bias": torch.zeros(11)}))
    assert "classifier.bias is torch.float32 [11], expected torch.float32 [10]" in refusal(saved)


def test_wrong_dtype(saved):
    resealed(saved, lambda t: t.update({"classifier.bias": torch.zeros(10).double()}))
    assert "torch.float64" in refusal(saved)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("name", ["features.0.weight", "features.27.weight_quantiser.scale"])
def test_not_finite(saved, name, bad):
    resealed(saved, lambda t: t[name].view(-1)[3].fill_(bad))
    assert f"{name} holds NaN or infinity" in refusal(saved)


def test_code_out_of_range(saved):
    resealed(saved, lambda t: t["features.27.weight_codes"][5].fill_(0x80))
    message = refusal(saved)
    assert re.search(r"features.27.weight_codes holds -8..\d, expected -7..7", message)


@pytest.mark.parametrize("scale", [0.0, -1.0])
def test_scale_not_positive(saved, scale):
    resealed(saved, lambda t: t["features.27.activation_quantiser.scale"].fill_(scale))
    assert "expected scales of at least" in refusal(saved)


def test_negative_variance(saved):
    resealed(saved, lambda t: t["features.1.running_var"][3].fill_(-1))
    assert "features.1.running_var holds -1, expected 0 or more" in refusal(saved)


def test_scale_that_makes_infinite_weights(saved):
    resealed(saved, lambda t: t["features.27.weight_quantiser.scale"].fill_(3e38))
    assert "too large" in refusal(saved)


def test_odd_names_and_dtypes_still_get_one_line(saved):
    resealed(saved, lambda t: t.update({"two\nlines": torch.zeros(3, dtype=torch.float8_e4m3fn)}))
    refusal(saved)


def test_a_model_that_is_not_finite_is_not_written(tmp_path):
    model = VGG16()
    model.classifier.bias.data[0] = float("nan")
    with pytest.raises(InputError, match=r"classifier\.bias"):
        save_checkpoint(model, tmp_path / "m", METADATA)
    assert not list(tmp_path.iterdir())


def test_a_network_that_is_not_squeezed_is_not_written(tmp_path):
    with pytest.raises(InputError, match="the network is not squeezed"):
        save_checkpoint(VGG16(squeeze=None), tmp_path / "m", METADATA)
    assert not list(tmp_path.iterdir())


def test_shipped_images(images):
    assert images.images.shape == (100, 3, 32, 32)
    assert torch.bincount(images.labels).tolist() == [10] * 10
    assert len(set(images.indices.tolist())) == 100


def test_files_that_hold_no_images_are_refused(saved, tmp_path):
    refusal(saved, load_images)
    wrong = ImageSet(
        torch.zeros(1, 3, 8, 8, dtype=torch.uint8), torch.zeros(1).long(), torch.zeros(1).long()
    )
    save_images(wrong, tmp_path / "i")
    refusal(tmp_path / "i", load_images)


@pytest.mark.parametrize("blank", [b"\t", b"\n", b"\r"])
def test_another_blank_in_the_header_is_refused(blank, tmp_path):
    """Another blank changes no value, yet the file is not the one that was written."""
    whole = SHIPPED.read_bytes()
    header = 8 + int.from_bytes(whole[:8], "little")
    assert whole[header - 1 : header] == b" "
    path = tmp_path / "model.safetensors"
    path.write_bytes(whole[: header - 1] + blank + whole[header:])
    assert "a control character in the header" in refusal(path)
