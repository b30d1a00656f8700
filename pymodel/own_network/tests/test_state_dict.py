"""State dicts load as people save them, what was changed is said, and no file runs code."""

import argparse
import os
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from pymodel.lsq_quantiser import QuantConv2d
from pymodel.own_network.state_dict import load_state
from pymodel.support.errors import InputError


def network() -> nn.Module:
    return nn.Sequential(
        OrderedDict(conv=QuantConv2d(3, 4, bits=4, kernel_size=3), norm=nn.BatchNorm2d(4))
    )


class Compiled(nn.Module):
    """A network inside of which a part was compiled, which has a name of its own."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Module()
        self.conv._orig_mod = QuantConv2d(3, 4, bits=4, kernel_size=3)
        self.norm = nn.BatchNorm2d(4)


@pytest.fixture
def trained():
    torch.manual_seed(1)
    model = network()
    with torch.no_grad():
        for value in model.parameters():
            value.uniform_(0.5, 1.5)
        model.norm.running_var.fill_(2)
    return model.state_dict()


@pytest.fixture
def loads(tmp_path, trained):
    """Returns a function that saves a value, loads it into a new network and compares all tensors.

    That function returns the lines that the loading says, without the name of the file.
    """

    def run(saved, name="weights.pth", model=None, **options) -> str:
        path = tmp_path / name
        if name.endswith(".safetensors"):
            save_file(saved, path)
        else:
            torch.save(saved, path, **options)
        model = model or network()
        lines = load_state(model, path)
        for value, expected in zip(model.state_dict().values(), trained.values(), strict=True):
            assert torch.equal(value, expected)
        assert all(line.startswith(f"{path}: ") for line in lines)
        return "\n".join(line.removeprefix(f"{path}: ") for line in lines)

    return run


def renamed(state, change):
    return OrderedDict((change(key), value) for key, value in state.items())


@pytest.mark.parametrize("name", ["w.safetensors", "w.pt", "w.pth", "w.pth.tar", "w"])
def test_files(loads, trained, name):
    assert loads(trained, name) == ""


def test_a_file_of_before_version_1_6(loads, trained):
    assert loads(trained, _use_new_zipfile_serialization=False) == ""


@pytest.mark.parametrize("place", ["state_dict", "model", "net", "params"])
def test_nested(loads, trained, place):
    saved = {"epoch": 3, place: trained, "optimizer": {"state": {0: {"step": torch.ones(1)}}}}
    assert loads(saved) == f"read '{place}', and not: epoch, optimizer"


def test_nested_twice(loads, trained):
    assert loads({"a": {"b": trained}}) == "read 'a.b'"


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "model.", "net.", "a.b.", "module.x."])
@pytest.mark.parametrize("name", ["w.safetensors", "w.pt"])
def test_prefixes(loads, trained, prefix, name):
    assert loads(renamed(trained, lambda key: prefix + key), name) == (
        f"stripped the prefix '{prefix}'"
    )


def test_a_checkpoint_of_lightning(loads, trained):
    saved = {
        "pytorch-lightning_version": "2.5.0",
        "state_dict": renamed(trained, lambda key: f"model.{key}") | {"loss.weight": torch.ones(2)},
        "callbacks": {},
    }
    assert loads(saved) == (
        "read 'state_dict', and not: pytorch-lightning_version, callbacks\n"
        "stripped the prefix 'model.'\n"
        "did not read the keys without that prefix: loss.weight"
    )


def test_wrappers_in_the_middle(loads, trained):
    assert loads(renamed(trained, lambda key: key.replace("conv.", "conv._orig_mod."))) == (
        "matched without the parts module and _orig_mod: conv._orig_mod.weight, "
        "conv._orig_mod.weight_quantiser.scale, conv._orig_mod.activation_quantiser.scale"
    )
    assert "matched without" in loads(trained, model=Compiled())


def test_a_name_that_wrappers_use_is_the_models_own(tmp_path):
    """A module named `module` beside one of the same name behind it is no wrapper."""
    model = nn.ModuleDict({"module": nn.ModuleDict({"a": nn.Linear(1, 1)}), "a": nn.Linear(1, 1)})
    path = tmp_path / "weights.pt"
    torch.save(model.state_dict(), path)
    other = nn.ModuleDict({"module": nn.ModuleDict({"a": nn.Linear(1, 1)}), "a": nn.Linear(1, 1)})
    assert load_state(other, path) == []
    for key, value in model.state_dict().items():
        assert torch.equal(other.state_dict()[key], value)


def test_the_state_of_a_training_of_this_project(loads, trained):
    saved = renamed(trained, lambda key: f"model.{key}")
    saved |= {f"momentum.{key}": trained[key].clone() for key in ("conv.weight", "norm.weight")}
    assert loads(saved, "state.safetensors") == (
        "stripped the prefix 'model.'\n"
        "did not read the keys without that prefix: momentum.conv.weight, momentum.norm.weight"
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floats(loads, trained, dtype):
    saved = {k: v.to(dtype) if v.is_floating_point() else v for k, v in trained.items()}
    trained |= {k: v.float() if v.is_floating_point() else v for k, v in saved.items()}
    assert loads(saved) == f"7 of 7 tensors are {dtype} and were converted to torch.float32"


def test_versions_of_modules_are_kept(tmp_path):
    """A BatchNorm of before version 2 lacks num_batches_tracked, which PyTorch then adds itself."""
    state = network().state_dict()
    del state["norm.num_batches_tracked"]
    state._metadata["norm"]["version"] = 1
    saved = renamed(state, lambda key: f"module.{key}")
    saved._metadata = {f"module.{key}": value for key, value in state._metadata.items()}
    torch.save(saved, tmp_path / "old.pt")
    assert load_state(network(), tmp_path / "old.pt")
    saved._metadata["module.norm"]["version"] = 2
    torch.save(saved, tmp_path / "new.pt")
    with pytest.raises(InputError, match=r"1 key missing \(norm.num_batches_tracked\)"):
        load_state(network(), tmp_path / "new.pt")


class Evil:
    """Runs code when it is unpickled."""

    def __reduce__(self):
        return os.mkdir, ("unpickled",)


@pytest.mark.parametrize(
    ("beside", "words"),
    [
        (argparse.Namespace(lr=1), "holds argparse.Namespace beside tensors"),
        (numpy.float64(3), "multiarray.scalar"),
        (Path("data"), "pathlib"),
        (network(), "holds pymodel.lsq_quantiser.QuantConv2d, "),
        (Evil(), "holds posix.mkdir beside tensors"),
    ],
)
@pytest.mark.parametrize("archive", [True, False])
def test_nothing_else_is_unpickled(tmp_path, monkeypatch, trained, beside, words, archive):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "weights.pth.tar"
    saved = {"state_dict": trained, "other": beside}
    torch.save(saved, path, _use_new_zipfile_serialization=archive)
    with pytest.raises(InputError) as refused:
        load_state(network(), path)
    if archive:  # the first of several is named in a file of before version 1.6
        assert words in str(refused.value)
    assert "save tensors alone: torch.save(model.state_dict(), path)" in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "unpickled").exists()


def refusal(path) -> str:
    with pytest.raises(InputError) as refused:
        load_state(network(), path)
    message = str(refused.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message.removeprefix(f"{path}: ")


def test_damaged_and_other_files(tmp_path, trained):
    path = tmp_path / "weights.pt"
    torch.save(trained, path)
    path.write_bytes(path.read_bytes()[:3000])
    assert refusal(path).startswith("truncated, or not of torch.save(")
    assert refusal(tmp_path).startswith("is a folder, expected a file")


def arrays(path):
    with path.open("wb") as file:
        numpy.savez(file, a=numpy.ones(3))


def archive(path):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("readme.txt", "nothing")


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (b"", "is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1", "is a pointer of Git LFS"),
        (b"<!DOCTYPE html>", "is a page of HTML or XML"),
        (pickle.dumps({"a": 1}, protocol=2), "is a pickle, which is not read"),
        (pickle.dumps({"a": 1}), "is a pickle, which is not read"),
        (arrays, "is an archive of NumPy"),
        (archive, "is a zip archive; expected a file of safetensors or torch.save"),
        (lambda path: torch.jit.save(torch.jit.script(nn.Linear(1, 1)), path), "TorchScript"),
    ],
)
def test_files_of_other_kinds_are_called_by_their_name(tmp_path, write, words):
    path = tmp_path / "weights.pt"
    if isinstance(write, bytes):
        path.write_bytes(write)
    else:
        write(path)
    assert words in refusal(path)


@pytest.mark.parametrize("start", [b"<", b"\x80\x02"])
def test_a_safetensors_file_may_begin_with_any_bytes(tmp_path, trained, start):
    """The first bytes are the length of the header, which is filled up with spaces."""
    path = tmp_path / "weights.safetensors"
    save_file(trained, path)
    whole = path.read_bytes()
    size = int.from_bytes(whole[:8], "little")
    wanted = next(
        n for n in range(size, size + 70_000) if n.to_bytes(8, "little")[: len(start)] == start
    )
    header = whole[8 : 8 + size] + b" " * (wanted - size)
    path.write_bytes(wanted.to_bytes(8, "little") + header + whole[8 + size :])
    assert load_state(network(), path) == []


@pytest.mark.parametrize(
    ("saved", "words"),
    [
        (torch.ones(3), "holds a Tensor, expected a state dict"),
        ({}, "holds nothing, expected a state dict"),
        ({"epoch": 3, "lr": 0.1}, "holds epoch, lr, expected a state dict"),
        ({0: torch.ones(3)}, "holds 0, expected a state dict"),
    ],
)
def test_no_state_dict(tmp_path, saved, words):
    torch.save(saved, tmp_path / "weights.pt")
    assert refusal(tmp_path / "weights.pt") == words


@pytest.mark.parametrize("fault", [False, True])
def test_tensors_of_torchao(tmp_path, fault):
    """Quantised tensors are loaded as they are; NaN in what they hold is found."""
    from torchao.quantization import Int8WeightOnlyConfig, quantize_

    def make() -> nn.Module:
        model = nn.Sequential(nn.Linear(12, 8))
        quantize_(model, Int8WeightOnlyConfig())
        return model

    trained, path = make(), tmp_path / "weights.pt"
    if fault:
        trained[0].weight.scale.data.fill_(float("nan"))
    torch.save(trained.state_dict(), path)
    if fault:
        with pytest.raises(InputError, match=r"0\.weight holds NaN or infinity"):
            load_state(make(), path)
        return
    model = make()
    load_state(model, path)
    assert torch.equal(model[0].weight.dequantize(), trained[0].weight.dequantize())


def test_two_state_dicts_that_fit(tmp_path, loads, trained):
    torch.save({"student": trained, "teacher": trained}, tmp_path / "both.pt")
    assert refusal(tmp_path / "both.pt") == (
        "holds tensors of this model under student and teacher, expected one of them"
    )
    assert loads({"ema": trained, "model": trained}) == "read 'model', and not: ema"


def test_missing_and_unexpected_keys(tmp_path, trained):
    torch.save({f"x{n}": torch.ones(1) for n in range(5)}, tmp_path / "weights.pt")
    assert refusal(tmp_path / "weights.pt") == (
        "is not of this model: 7 keys missing (conv.weight, conv.weight_quantiser.scale, "
        "conv.activation_quantiser.scale and 4 more), 5 keys unexpected (x0, x1, x2 and 2 more)"
    )


def test_not_finite(tmp_path, trained):
    trained["conv.weight"][0, 0, 0, 0] = torch.inf
    torch.save(renamed(trained, lambda key: f"module.{key}"), tmp_path / "weights.pt")
    assert refusal(tmp_path / "weights.pt").startswith("module.conv.weight holds NaN or infinity")


def test_what_brevitas_computes_may_be_missing(tmp_path):
    """A scale that Brevitas computes from the weights may be missing, one of activations not."""
    brevitas = pytest.importorskip("brevitas.nn")
    from brevitas.inject.enum import ScalingImplType
    from brevitas.quant import Int8ActPerTensorFloat, Int8WeightPerTensorFloat

    class Weight(Int8WeightPerTensorFloat):
        scaling_impl_type = ScalingImplType.PARAMETER_FROM_STATS

    def layer(**options):
        return brevitas.QuantConv2d(3, 4, 3, bias=False, weight_quant=Weight, **options)

    state = nn.Conv2d(3, 4, 3, bias=False).state_dict()
    torch.save(state, tmp_path / "float.pt")
    model = layer()
    (line,) = load_state(model, tmp_path / "float.pt")
    assert "Brevitas computes from the weights weight_quant.tensor_quant.scaling_impl" in line
    expected = state["weight"].abs().max() / 127
    assert torch.allclose(model.quant_weight().scale, expected)
    with pytest.raises(InputError, match=r"1 key missing \(input_quant"):
        load_state(layer(input_quant=Int8ActPerTensorFloat), tmp_path / "float.pt")
