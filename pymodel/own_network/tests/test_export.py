"""The export command writes and prints what it should, and refuses each mistake in one line."""

import json
import logging
import os
import re
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from pymodel.lsq_quantiser import QuantConv2d, QuantLinear, initialise_scales
from pymodel.own_network import export
from pymodel.own_network.factory import BREVITAS, load_model
from pymodel.own_network.fit import fit_layers
from pymodel.own_network.layer_file import load_layers
from pymodel.support.errors import InputError
from pymodel.support.files import ROOT

NETWORK = f"{__name__}:network"
A_MODULE = nn.Conv2d(3, 4, 1)
A_NUMBER = 3


def network() -> nn.Module:
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3, stride=4),
        nn.ReLU(inplace=True),
        QuantConv2d(4, 5, bits=4, kernel_size=3, padding=1),
        nn.ReLU(inplace=True),
        nn.Flatten(),
        QuantLinear(5 * 8 * 8, 2, bits=3),
    )
    initialise_scales(model, torch.rand(2, 3, 32, 32))
    return model


def double() -> nn.Module:
    return network().double()


def one_layer() -> nn.Module:
    layer = QuantConv2d(3, 2, bits=4, kernel_size=1)
    initialise_scales(layer, torch.rand(2, 3, 5, 5))
    return layer


def imports_brevitas() -> nn.Module:
    import brevitas

    return brevitas


def nothing_quantised() -> nn.Module:
    return nn.Conv2d(3, 2, 1)


def no_layer() -> nn.Module:
    return nn.BatchNorm2d(3)


def no_module() -> str:
    return "model"


def raises() -> nn.Module:
    raise RuntimeError("no CUDA device\nthere is none")


def leaves() -> nn.Module:
    sys.exit("goodbye")


def needs_argument(bits: int) -> nn.Module:
    return one_layer()


class NeedsCuda(QuantConv2d):
    def __init__(self):
        super().__init__(3, 2, bits=4, kernel_size=1)

    def forward(self, x):
        raise RuntimeError("Found no NVIDIA driver")


@pytest.fixture(autouse=True)
def results(monkeypatch, tmp_path):
    path = tmp_path / "export.json"
    monkeypatch.setattr(export, "RESULTS_FILE", path)
    return path


@pytest.fixture
def state(tmp_path):
    """Returns a function that writes a state dict and returns its path.

    The state dict is that of a model of `factory`, after `change` has changed it.
    """

    def write(factory=network, change=lambda state: None):
        torch.manual_seed(0)
        model = factory()
        tensors = model.state_dict()
        change(tensors)
        path = tmp_path / "weights.safetensors"
        save_file(tensors, path)
        return path

    return write


@pytest.fixture
def refuses(refused, state, tmp_path):
    """Returns a function that asserts that an export is refused in one line and writes nothing."""

    def run(*arguments, factory=NETWORK, weights=None, words):
        output = tmp_path / "out.safetensors"
        what = () if {"--layer", "--list"} & set(arguments) else ("--all",)
        refused(
            export.main,
            factory,
            "--state",
            weights or state(),
            "--output",
            output,
            "--images",
            1,
            *what,
            *arguments,
            words=words,
        )
        assert not output.exists()

    return run


def test_all(command, state, tmp_path, results):
    output = tmp_path / "deep" / "layers.safetensors"
    code, out, err = command(
        export.main, NETWORK, "--state", state(), "--all", "--images", 2, "--output", output
    )
    assert (code, err) == (0, "")
    assert f"2 of 3 layers on 2 images: {output}" in out
    assert f"make LAYER=2 MODEL={output}" in out
    layers = load_layers(output)
    assert list(layers) == ["2", "5"]
    assert layers["2"].activation_codes.shape == (2, 4, 8, 8)
    rows = json.loads(results.read_text())
    assert [row["fits"] for row in rows] == [False, True, True]
    assert rows[0]["reason"].startswith("its activations are not quantised")
    assert (rows[2]["weight_bits"], rows[1]["weight_bits"]) == (3, 4)
    assert rows[1]["map"] == [8, 8]
    assert rows[1]["max_error_steps"] < 0.01


def test_list_writes_no_layers(command, state, tmp_path):
    output = tmp_path / "layers.safetensors"
    code, out, _ = command(
        export.main, NETWORK, "--state", state(), "--list", "--images", 1, "--output", output
    )
    assert code == 0
    assert (
        "no: its activations are not quantised to 8 bits or fewer: they do not lie on a grid" in out
    )
    assert re.search(r"^2 +QuantConv2d +4 → 5 +3×3, .* 8 × 8 +4, 4 +yes, error ", out, re.M)
    assert not output.exists()


def test_chosen_layers_and_a_network_that_is_one(command, state, tmp_path):
    output = tmp_path / "layers.safetensors"
    command(export.main, NETWORK, "--state", state(), "--layer", "5", "--output", output)
    assert list(load_layers(output)) == ["5"]
    inputs = tmp_path / "inputs.safetensors"
    save_file({"input": torch.rand(2, 3, 5, 5).double()}, inputs)
    code, _, err = command(
        export.main,
        f"{__name__}:one_layer",
        "--state",
        state(one_layer),
        "--all",
        "--input",
        inputs,
        "--output",
        output,
    )
    assert (code, err) == (0, "")
    assert load_layers(output)["0"].activation_codes.shape == (2, 3, 5, 5)


def test_network_of_float64(command, state, tmp_path):
    output = tmp_path / "layers.safetensors"
    code, _, err = command(
        export.main,
        f"{__name__}:double",
        "--state",
        state(double),
        "--all",
        "--images",
        1,
        "--output",
        output,
    )
    assert (code, err) == (0, "")
    assert load_layers(output)["2"].reference.dtype == torch.float32


@pytest.mark.verify
def test_from_the_users_own_folder(state, tmp_path):
    """Modules are found in the user's own folder, in a package or not."""
    package = tmp_path / "models"
    package.mkdir()
    source = "from pymodel.own_network.tests.test_export import network\n"
    source += "class Nets:\n    make = network\n"
    (package / "tiny.py").write_text(source)
    weights = state()
    result = subprocess.run(
        [
            sys.executable,
            "-m",
            "pymodel.own_network",
            "models.tiny:Nets.make",
            "--state",
            weights,
            "--layer",
            "2",
            "--images",
            "1",
        ],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert list(load_layers(tmp_path / "layers.safetensors")) == ["2"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("network", "factory is 'network', expected package.module:factory"),
        (":network", "expected package.module:factory"),
        ("a:", "expected package.module:factory"),
        ("models/tiny.py:network", "no module 'models/tiny' found; run this in the folder"),
        (".tiny:network", ".tiny: does not import: TypeError"),
        ("no_such_module:network", "no module 'no_such_module' found; run this in the folder"),
        ("pymodel.no_such:network", "no module 'pymodel.no_such' found"),
        (f"{__name__}:nothing", "has no 'nothing'"),
        (f"{__name__}:A_MODULE", "is a Conv2d, expected a function or class"),
        (f"{__name__}:A_NUMBER", "is a int, expected a function or class"),
        (f"{__name__}:no_module", "no_module() is a str, expected a torch.nn.Module"),
        (f"{__name__}:raises", "raises(): raises RuntimeError: no CUDA device"),
        (f"{__name__}:leaves", "leaves(): raises SystemExit: goodbye"),
        (f"{__name__}:needs_argument", "missing 1 required positional argument: 'bits'"),
    ],
)
def test_factory(refuses, name, words):
    refuses(factory=name, words=[words])


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (
            "import no_such_package",
            "import: ModuleNotFoundError: No module named 'no_such_package'",
        ),
        ("1 / 0", "does not import: ZeroDivisionError: division by zero"),
        ("def f(:", "does not import: SyntaxError: invalid syntax"),
        ("import sys; sys.exit(3)", "does not import: SystemExit: 3"),
    ],
)
def test_module_that_does_not_import(refuses, monkeypatch, tmp_path, source, words):
    name = f"broken_{abs(hash(source))}"
    (tmp_path / f"{name}.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    refuses(factory=f"{name}:f", words=[name, words])


def test_brevitas_missing(refuses, monkeypatch, tmp_path):
    (tmp_path / "with_brevitas.py").write_text("import brevitas\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "brevitas", None)  # as if it were not installed
    for factory in ("with_brevitas:f", f"{__name__}:imports_brevitas"):
        words = [factory.split(":")[0], "Brevitas is not installed; type: "]
        refuses(factory=factory, words=[*words, "pip install brevitas==0.13.4"])


def test_the_version_of_brevitas_is_the_pinned_one():
    assert BREVITAS in (ROOT / "requirements.txt").read_text().splitlines()


def test_codes_of_one_bit_that_take_two_are_told():
    """Weights of ±a have two levels, and a row says so; those of three levels have 2 bits."""

    def row(low: int) -> dict:
        layer = nn.Linear(20, 6)
        codes = torch.arange(120).reshape(6, 20) % 3 - 1
        layer.weight.data = torch.where(codes == 0, low, codes) * 0.25
        found = fit_layers(nn.Sequential(layer), (torch.rand(4, 20) * 15).round())
        (only,) = export.layer_rows(found)
        return only

    binary, ternary = row(1), row(0)
    assert (binary["one_bit"], binary["weight_bits"]) == (["weights"], 2)
    assert binary["grids_found"]["weights"]["levels"] == 2
    assert "; weights of 1 bit, which take 2" in export.zero_points(binary)
    assert (ternary["one_bit"], ternary["weight_bits"]) == ([], 2)
    assert export.zero_points(ternary) == ""


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda state: state.pop("2.weight"), "not of this model: 1 key missing (2.weight)\n"),
        (lambda state: state.update(x=torch.ones(1)), "not of this model: 1 key unexpected (x)\n"),
        (lambda state: state.update({"0.bias": torch.ones(5)}), "0.bias is [5], expected [4]"),
        (lambda state: state["2.weight"][0, 0].fill_(torch.nan), "2.weight holds NaN or infinity"),
        (lambda state: state.clear(), "holds nothing, expected a state dict"),
    ],
)
def test_state_of_another_model(refuses, state, change, words):
    refuses(weights=state(change=change), words=["weights.safetensors: ", words])


def test_state_that_is_no_safetensors_file(refuses, state, tmp_path):
    refuses(weights=tmp_path / "none", words=["none: not found"])
    refuses(weights=tmp_path, words=["is a folder, expected a file"])
    half = state()
    half.write_bytes(half.read_bytes()[:1000])
    refuses(weights=half, words=["truncated"])


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        ({"x": torch.ones(1, 3, 32, 32)}, "holds x, expected one tensor named images or input"),
        ({"images": torch.ones(1), "input": torch.ones(1)}, "holds images, input, expected one"),
        ({}, "holds nothing"),
        ({"input": torch.ones(1, 3, 32, 32).int()}, "input is torch.int32 [1, 3, 32, 32]"),
        (
            {"input": torch.ones(1, 1, 28, 28).byte()},
            "expected floats [N, …], torch.int64 [N, …] or",
        ),
        ({"input": torch.ones(0, 3, 32, 32)}, "input is torch.float32 [0, 3, 32, 32]"),
        ({"input": torch.full((1, 3, 32, 32), torch.inf)}, "input holds NaN or infinity"),
        ({"input": torch.ones(1, 4, 32, 32)}, "forward pass on float32 [1, 4, 32, 32]: raises"),
        ({"input": torch.tensor(1.0)}, "input is torch.float32 [], expected floats [N, …]"),
    ],
)
def test_inputs(refuses, tmp_path, tensors, words):
    path = tmp_path / "inputs.safetensors"
    save_file(tensors, path)
    refuses("--input", path, words=[words])


def test_inputs_missing(refuses, tmp_path):
    refuses("--input", tmp_path / "none", words=["none: not found"])


class Tokens(nn.Module):
    """Looks up tokens, and multiplies what it finds."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(9, 6)
        self.table.weight.data = torch.arange(54).reshape(9, 6) % 16 * 0.5
        self.fc = nn.Linear(6, 3)
        self.fc.weight.data = (torch.arange(18).reshape(3, 6) % 15 - 7) * 0.25

    def forward(self, x):
        return self.fc(self.table(x))


def test_integers_are_inputs_too(command, state, tmp_path):
    path = tmp_path / "tokens.npy"
    np.save(path, np.arange(10).reshape(2, 5) % 9)
    weights = state(Tokens)
    arguments = (f"{__name__}:Tokens", "--state", weights, "--input", path)
    code, out, _ = command(export.main, *arguments)
    assert (code, "1 of 1 layers fit." in out) == (0, True)


def test_bytes_are_normalised_as_the_shipped_images(tmp_path, images):
    path = tmp_path / "inputs.safetensors"
    save_file({"images": images.images[:5]}, path)
    assert torch.equal(export.load_inputs(path, 3), export.load_inputs(export.SHIPPED, 3))


def test_forward_that_raises(refuses, state):
    refuses(
        factory=f"{__name__}:NeedsCuda",
        weights=state(NeedsCuda),
        words=[
            "forward pass on float32 [1, 3, 32, 32] (the shipped images; name others with",
            "raises RuntimeError: Found no NVIDIA driver",
        ],
    )


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("0", "layer '0' does not fit: its activations are not quantised"),
        ("1", "layer '1' is a ReLU, expected a convolution or linear layer: 0, 2, 5"),
        ("conv", "layer 'conv' is not in the network, expected a convolution"),
        ("", "layer '' is a Sequential"),
    ],
)
def test_layer(refuses, name, words):
    refuses("--layer", "2", "--layer", name, words=[words])


def test_no_layer_fits(refuses, state):
    for factory, words in ((no_layer, "has no convolution"), (nothing_quantised, "no layer fits")):
        refuses(factory=f"{__name__}:{factory.__name__}", weights=state(factory), words=[words])


def test_output_that_cannot_be_written(refused, state, tmp_path):
    (tmp_path / "file").write_text("")
    for output in (tmp_path, tmp_path / "file" / "layers"):
        refused(
            export.main,
            NETWORK,
            "--state",
            state(),
            "--all",
            "--images",
            1,
            "--output",
            output,
            words=[f"{output}: cannot be written ("],
        )


def test_images(refuses):
    refuses("--images", "0", words=["--images is 0, expected 1 or more"])


def test_output_never_overwrites_another_file(refused, state, tmp_path):
    """The state dict, the inputs, and any file that holds no exported layers are left alone."""
    weights, inputs, text = state(), tmp_path / "inputs.safetensors", tmp_path / "notes.txt"
    save_file({"input": torch.rand(1, 3, 32, 32)}, inputs)
    text.write_text("notes")
    for output in (weights, inputs, text):
        before = output.read_bytes()
        options = ("--state", weights, "--input", inputs, "--output", output)
        words = [f"{output}: exists and is no file of exported layers; expected another name"]
        refused(export.main, NETWORK, *options, words=words)
        assert output.read_bytes() == before


def test_layers_of_an_earlier_export_are_overwritten(command, state, tmp_path):
    output = tmp_path / "layers.safetensors"
    for layer in ("2", "5"):
        options = ("--state", state(), "--images", 1, "--layer", layer, "--output", output)
        assert command(export.main, NETWORK, *options)[0] == 0
        assert list(load_layers(output)) == [layer]


def test_the_command_that_is_printed(monkeypatch, tmp_path):
    """The printed command runs in the user's folder, whatever characters the names hold."""
    monkeypatch.chdir(tmp_path)
    path = Path("my layers$.safetensors")
    printed = export.run_command_of("a.$b", path)
    assert printed == f"make -C {ROOT} 'LAYER=a.$$b' 'MODEL={tmp_path}/my layers$$.safetensors'"
    seen = "from pathlib import Path; import sys; Path('seen').write_text('|'.join(sys.argv[1:]))"
    makefile = tmp_path / "Makefile"
    makefile.write_text(f"all:\n\t@{sys.executable} -c \"{seen}\" '$(LAYER)' '$(MODEL)'\n")
    subprocess.run(printed.replace(str(ROOT), str(tmp_path)), shell=True, check=True)
    assert (tmp_path / "seen").read_text() == f"a.$b|{tmp_path}/my layers$.safetensors"
    monkeypatch.chdir(ROOT)
    assert export.run_command_of("2", Path("x")) == "make LAYER=2 MODEL=x"


def with_arguments(channels, bits=4, *, size=1) -> nn.Module:
    layer = QuantConv2d(3, channels, bits=bits, kernel_size=size)
    initialise_scales(layer, torch.rand(2, 3, 5, 5))
    return layer


def test_factory_with_arguments():
    model = load_model(f"{__name__}:with_arguments(7, bits=3, size=3)")
    assert model.weight.shape == (7, 3, 3, 3)


@pytest.mark.parametrize(
    "arguments",
    [
        "(open('x'))",
        "(7",
        "(*[7])",
        "(**{'channels': 7})",
        "(7)(8)",
        "[7](1)",
        "(channels)",
        "() + 1",
    ],
)
def test_arguments_are_literals(arguments):
    with pytest.raises(InputError, match=r"expected package.module:factory"):
        load_model(f"{__name__}:with_arguments{arguments}")


def test_arguments_that_the_factory_refuses():
    with pytest.raises(InputError, match=r"with_arguments\(7, depth=3\): raises TypeError"):
        load_model(f"{__name__}:with_arguments(7, depth=3)")


def test_without_output_only_the_table_is_printed(command, state, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, _ = command(export.main, NETWORK, "--state", state(), "--images", 1)
    assert (code, out.count("yes, error")) == (0, 2)
    assert "2 of 3 layers fit." in out
    assert not (tmp_path / "layers.safetensors").exists()


class Noisy(nn.Module):
    """Warns in each way that libraries do."""

    def __init__(self):
        super().__init__()
        warnings.warn("this is old", stacklevel=1)

    def forward(self, x):
        warnings.warn("this is slow", stacklevel=1)
        logging.getLogger("torchao.x").warning("a library is missing")
        return x


def noisy() -> nn.Module:
    return nn.Sequential(*network(), Noisy())


def test_no_warning_stands_around_the_table(command, state, recwarn, caplog):
    level = logging.getLogger("torchao").level
    code, _, err = command(export.main, f"{__name__}:noisy", "--state", state(), "--images", 1)
    assert (code, err) == (0, "")
    assert not recwarn.list
    assert not caplog.records
    assert logging.getLogger("torchao").level == level
    noisy()(torch.zeros(1, 3, 32, 32))  # elsewhere they are heard
    assert len(recwarn.list) == 2
    assert len(caplog.records) == 1


def test_no_network(refused):
    refused(export.main, "", words=["no network is named, expected package.module:factory"])


def test_no_state(refused):
    refused(export.main, NETWORK, words=["no state dict is named, expected --state FILE"])
