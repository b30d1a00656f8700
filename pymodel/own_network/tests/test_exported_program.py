"""Files of torch.export are read without running anything that they bring."""

import io
import json
import os
import pickle
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from pymodel.own_network import export
from pymodel.own_network.exported_program import graph_of, load_program
from pymodel.own_network.fit import fit_layers
from pymodel.own_network.layer_file import load_layers
from pymodel.own_network.tests import pytorch_networks as networks
from pymodel.support.errors import InputError


class Rounds(nn.Module):
    """A convolution and a linear layer on rounded inputs, which PyTorch can export at once."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2))
        self.fc = nn.Linear(4, 2)
        for layer in (self.conv[0], self.fc):
            layer.weight.data = (layer.weight.data * 30).round().clamp(-7, 7) / 8

    def forward(self, x):
        x = self.conv((x * 4).round().clamp(-8, 7) / 4).mean((2, 3))
        return self.fc((x * 8).round().clamp(0, 15) / 8)


@pytest.fixture(scope="module")
def program(tmp_path_factory) -> Path:
    """Returns a file that torch.export.save wrote, of a program that takes four inputs."""
    path = tmp_path_factory.mktemp("program") / "rounds.pt2"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.export.save(torch.export.export(Rounds().eval(), (networks.inputs(4),)), path)
    return path


def test_layers_are_those_of_the_module(program):
    """Names are those of the modules, and the integers are the same, file or module."""
    found = fit_layers(graph_of(load_program(program)), networks.inputs(4))
    of_module = fit_layers(Rounds(), networks.inputs(4))
    assert list(found) == list(of_module) == ["conv.0", "fc"]
    assert [fit.kind for fit in found.values()] == ["Conv2d", "Linear"]
    for name, fit in of_module.items():
        for part in ("activation_codes", "weight_codes", "reference", "step"):
            assert torch.equal(getattr(found[name].layer, part), getattr(fit.layer, part))


@pytest.fixture
def images(tmp_path) -> Path:
    """Returns a file of six inputs."""
    path = tmp_path / "images.npy"
    np.save(path, networks.inputs(6).numpy())
    return path


def test_export(command, program, images, tmp_path):
    """The command takes as many inputs as the program does, and writes its layers."""
    output = tmp_path / "layers.safetensors"
    code, out, _ = command(export.main, program, "--input", images, "--output", output)
    assert code == 0
    assert f"{program} takes 4 inputs at a time: the first 4 are used." in out
    assert "2 of 2 layers on 4 images" in out
    layers = load_layers(output)
    assert [len(layer.reference) for layer in layers.values()] == [4, 4]


def test_a_program_that_takes_any_number_of_inputs(command, images, tmp_path):
    path = tmp_path / "any.pt2"
    batch = torch.export.Dim("batch", min=2, max=64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        shapes = ({0: batch},)
        program = torch.export.export(Rounds(), (networks.inputs(4),), dynamic_shapes=shapes)
        torch.export.save(program, path)
    code, out, _ = command(export.main, path, "--input", images)
    assert (code, "2 of 2 layers fit." in out, "at a time" in out) == (0, True, False)


@pytest.mark.verify
@pytest.mark.parametrize("qat", [False, True])
def test_a_file_of_pt2e(command, images, tmp_path, qat):
    """A converted network of torchao, saved and read again, has the integers of the network."""
    model = networks.quietly(lambda: networks.pt2e(qat=qat))
    path, output = tmp_path / "pt2e.pt2", tmp_path / "layers.safetensors"
    torch.export.save(torch.export.export(model, (networks.inputs(6),)), path)
    assert command(export.main, path, "--input", images, "--output", output)[0] == 0
    for name, fit in fit_layers(model, networks.inputs(6)).items():
        layer = load_layers(output)[name]
        assert torch.equal(layer.activation_codes, fit.layer.activation_codes)
        assert torch.equal(layer.weight_codes, fit.layer.weight_codes)


def test_what_does_not_go_together(refused, program, images, tmp_path):
    def main(*arguments, words):
        refused(export.main, *arguments, words=words)

    expected = "expected float32 [4, 3, 12, 12]"
    main(program, words=[f"{program}: on float32 [4, 3, 32, 32]", "shipped images", expected])
    main(program, "--input", images, "--images", 3, words=["[3, 3, 12, 12]", expected])
    main(program, "--state", images, words=[f"--state {images} is named, expected none"])
    main(program, "--input", images, "--layer", "x", words=["no layer 'x'", "conv.0, fc"])
    main(tmp_path / "none.pt2", "--input", images, words=["none.pt2: cannot be read: No such file"])
    (tmp_path / "text.pt2").write_text("text")
    main(tmp_path / "text.pt2", "--input", images, words=["text.pt2: is no file of torch.export"])


def parts_of(path: Path) -> dict[str, bytes]:
    """Returns the parts of an archive by name."""
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def written(path: Path, parts: dict[str, bytes]) -> Path:
    """Writes parts to a file as PyTorch does, and returns the file."""
    root = next(iter(parts)).partition("/")[0]
    path = path / f"{root}.pt2"
    writer = torch._C.PyTorchFileWriter(str(path))
    for name, value in parts.items():
        if ".data/" not in name and name != f"{root}/byteorder":
            writer.write_record(name.removeprefix(f"{root}/"), value, len(value))
    writer.write_end_of_file()
    return path


class Evil:
    """Makes a file when it is unpickled."""

    def __init__(self, marker: Path):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


def pickled(marker: Path) -> bytes:
    """Returns a payload that makes a file as PyTorch loads it."""
    buffer = io.BytesIO()
    torch.save(Evil(marker), buffer)
    return buffer.getvalue()


def call(marker: Path) -> str:
    """Returns Python code that makes a folder."""
    return f"__import__('os').mkdir({str(marker)!r})"


def in_json(parts: dict[str, bytes], name: str, change) -> None:
    """Changes a part of JSON."""
    found = json.loads(parts[name])
    change(found)
    parts[name] = json.dumps(found).encode()


MODEL, WEIGHTS = "rounds/models/model.json", "rounds/data/weights/model_weights_config.json"


def evil_weight(parts, marker):
    in_json(parts, WEIGHTS, lambda c: [one.update(use_pickle=True) for one in c["config"].values()])
    for name in parts:
        if "/weights/weight_" in name:
            parts[name] = pickled(marker)


def evil_inputs(parts, marker):
    parts["rounds/data/sample_inputs/model.pt"] = pickled(marker)


def evil_old_weights(parts, marker):
    parts["rounds/data/weights/model.pt"] = pickled(marker)


def evil_constant(parts, marker):
    name = "rounds/data/constants/model_constants_config.json"
    constant = {"path_name": "opaque_obj_0", "is_param": False, "use_pickle": True}
    in_json(parts, name, lambda c: c["config"].update(x=constant | {"tensor_meta": None}))
    parts["rounds/data/constants/opaque_obj_0"] = pickle.dumps(Evil(marker))


def evil_operator(parts, marker):
    def change(found):
        node = found["graph_module"]["graph"]["nodes"][0]
        text = {"name": "", "arg": {"as_string": str(marker)}, "kind": 1}
        node.update(target="torch.os.mkdir", inputs=[text])

    in_json(parts, MODEL, change)


def evil_guard(parts, marker):
    in_json(parts, MODEL, lambda found: found.update(guards_code=[call(marker)]))


def evil_size(parts, marker):
    def change(found):
        values = found["graph_module"]["graph"]["tensor_values"]
        size = {"as_expr": {"expr_str": call(marker), "hint": {"as_int": 4}}}
        next(iter(values.values()))["sizes"][0] = size

    in_json(parts, MODEL, change)


def evil_containers(parts, marker):
    (marker.parent / "evil_module.py").write_text(call(marker))
    leaf = {"type": None, "context": None, "children_spec": []}
    context = {"default_factory_module": "evil_module", "default_factory_name": "x"}
    context = json.dumps(context | {"dict_context": []})
    spec = {"type": "collections.defaultdict", "context": context, "children_spec": [leaf]}

    def change(found):
        found["graph_module"]["module_call_graph"][0]["signature"]["in_spec"] = json.dumps(
            [1, spec]
        )

    in_json(parts, MODEL, change)


def evil_name(parts, marker):
    name = json.loads(parts[MODEL])["graph_module"]["signature"]["input_specs"][0]
    name = name["parameter"]["parameter_name"]
    evil = f'x", {call(marker)}) or getattr(self, "{name}'
    for part in (MODEL, WEIGHTS):
        parts[part] = parts[part].replace(json.dumps(name).encode(), json.dumps(evil).encode())


def evil_code(parts, marker):
    parts["rounds/data/aotinductor/model/model.so"] = b"\x7fELF"


EVIL = {
    evil_weight: "pickled payload (data/weights/weight_0)",
    evil_inputs: None,  # nobody needs the inputs
    evil_old_weights: "a pickled part (data/weights/model.pt)",
    evil_constant: "custom object (data/constants/opaque_obj_0)",
    evil_operator: "operator 'torch.os.mkdir' belongs to no known library, expected one of aten, ",
    evil_guard: None,  # nobody needs the guards
    evil_size: "expr_str is ",
    evil_containers: "are collections.defaultdict, expected tensors",
    evil_name: " is 'x",
    evil_code: "something else (data/aotinductor/model/model.so), expected tensors",
}
# Those that PyTorch's own loader runs, which shows that they would do harm
HARMFUL = (evil_weight, evil_inputs, evil_constant, evil_size)


@pytest.mark.parametrize("change", EVIL, ids=lambda change: change.__name__)
def test_nothing_that_the_file_brings_is_run(program, tmp_path, monkeypatch, change):
    """What could run code is refused in one line, or left out."""
    monkeypatch.syspath_prepend(tmp_path)
    marker, parts = tmp_path / "marker", parts_of(program)
    change(parts, marker)
    path = written(tmp_path, parts)
    if words := EVIL[change]:
        with pytest.raises(InputError) as caught:
            load_program(path)
        assert str(caught.value).startswith(f"{path}: ")
        assert words in str(caught.value)
        assert "\n" not in str(caught.value)
    else:
        graph_of(load_program(path))(networks.inputs(4))
    assert not marker.exists()


@pytest.mark.verify
@pytest.mark.parametrize("change", HARMFUL, ids=lambda change: change.__name__)
def test_the_evil_files_would_do_harm(program, tmp_path, change):
    """PyTorch's own loader runs what these files bring."""
    marker, parts = tmp_path / "marker", parts_of(program)
    change(parts, marker)
    load = f"import torch; torch.export.load({str(written(tmp_path, parts))!r}).module()"
    subprocess.run([sys.executable, "-W", "ignore", "-c", load], capture_output=True, check=False)
    assert marker.exists()


@pytest.mark.parametrize(
    ("part", "value"),
    [
        (MODEL, b"{"),
        (MODEL, b"{}"),
        (MODEL, b"[" * 10**5),
        (MODEL, None),
        (WEIGHTS, b"[]"),
        ("rounds/data/weights/weight_0", b""),
        ("rounds/data/weights/weight_0", b"abc"),
        ("rounds/data/weights/weight_0", None),
        ("rounds/archive_format", b"zip"),
    ],
)
def test_a_damaged_file_is_refused_in_one_line(program, tmp_path, part, value):
    parts = parts_of(program)
    if value is None:
        del parts[part]
    else:
        parts[part] = value
    with pytest.raises(InputError, match=r"^[^\n]*rounds.pt2: [^\n]+$"):
        load_program(written(tmp_path, parts))


def test_a_file_that_is_cut_short_is_refused(program, tmp_path):
    path = tmp_path / "cut.pt2"
    path.write_bytes(program.read_bytes()[:3000])
    with pytest.raises(InputError, match=r"cut.pt2: is no file of torch.export.save"):
        load_program(path)
