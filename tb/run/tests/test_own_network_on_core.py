"""Each sum of a user's network comes from the core, and a wrong one is named."""

import functools
import importlib
import json
import math
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional

from pymodel.hardware.core import Core
from pymodel.own_network.fit import fit_layers
from pymodel.own_network.networks import load_network
from pymodel.own_network.tests.test_integer_forward import Residual
from pymodel.own_network.tests.zoo import Fake, conv, inputs, net
from pymodel.support.errors import InputError
from pymodel.support.files import ROOT
from tb.run import network, own_network
from tb.run.own_network import core_for, misses, run_shard
from tb.sim.sources import RTL, faulty_rtl
from training.examples import few_steps, mobilenet

NET = "pymodel.own_network.tests.test_integer_forward:Residual"
RIGHT = {
    "sums_checked": 1,
    "sums_not_zero": 1,
    "sum_mismatches": 0,
    "outputs_equal": True,
    "predictions_differing": 0,
    "farthest_from_an_edge": 0.0,
}


class Unsteady(nn.Module):
    """A network of one layer that takes two inputs otherwise than the four on which it is judged.

    `kind` says how: with other weights, another stride, one input alone, or outputs that are no
    numbers for each input.
    """

    def __init__(self, kind: str = ""):
        super().__init__()
        self.kind = kind
        self.quantise, self.layer = Fake(4), conv()

    def forward(self, x):
        weight, stride, kind = self.layer.weight, 1, self.kind if len(x) == 2 else ""
        if kind == "weights":
            weight = weight.flip(0)
        elif kind == "stride":
            stride = 2
        elif kind == "leaves early":
            x = x[:1]
        elif kind == "leaves at once":
            return x
        x = functional.conv2d(self.quantise(x), weight, self.layer.bias, stride)
        if kind == "NaN":
            return x.masked_fill(x == x.max(), torch.nan)
        return "a word" if kind == "words" else x


UNSTEADY = {
    "weights": "its weights or its geometry on these inputs are not those",
    "stride": "its weights or its geometry on these inputs are not those",
    "leaves early": "gave 100 outputs for 2 inputs, expected 200",
    "leaves at once": "gave 0 outputs for 2 inputs, expected 200",
    "NaN": "its output holds NaN, expected numbers",
    "words": "its output holds no numbers, so nothing can be compared",
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Returns the files of a network's state and of its labelled inputs."""
    folder = tmp_path_factory.mktemp("network")
    state, given = folder / "state.safetensors", folder / "inputs.safetensors"
    save_file(Residual().state_dict(), state)
    save_file({"input": inputs(4, 3, 7, 6), "labels": torch.tensor([0, 1, 2, 3])}, given)
    return state, given


def shard(files, rtl=RTL, core=None, name=NET):
    """Returns what two inputs give on the core, and the report."""
    state, given = map(str, files)
    now = own_network.judged(name, state, given, "")
    core = vars(core or core_for(list(now.fits.values())))
    some = inputs(4, 3, 7, 6)[:2].numpy()
    result = run_shard(some, name, state, given, "", now.loaded, "icarus", str(rtl), core)
    return result, json.loads(str(result["report"]))


def test_every_sum_of_every_layer_is_pytorchs(files):
    result, report = shard(files)
    rows = {row["layer"]: row for row in report["rows"]}
    assert list(rows) == ["first.1", "depthwise.1", "tokens", "last"]
    assert all(row["mismatches"] == 0 < row["not_zero"] <= row["sums"] for row in rows.values())
    assert rows["first.1"]["sums"] == 2 * 6 * 7 * 6
    assert rows["depthwise.1"]["lowering"] == "6 groups a tile"
    assert report["same_outputs"]
    assert report["first"] is None
    assert np.array_equal(result["classes"][0], result["classes"][1])


@pytest.mark.parametrize("kind", UNSTEADY)
def test_a_network_that_takes_later_inputs_otherwise(kind, files, tmp_path):
    """What was judged does not hold for them, so they are refused instead of passed over."""
    state = tmp_path / "state.safetensors"
    save_file(Unsteady().state_dict(), state)
    name = f"tb.run.tests.test_own_network_on_core:Unsteady(kind={kind!r})"
    with pytest.raises(InputError, match=re.escape(UNSTEADY[kind])):
        shard((state, files[1]), name=name)
    name = "tb.run.tests.test_own_network_on_core:Unsteady"
    assert shard((state, files[1]), name=name)[1]["rows"][0]["sums"] == 200


class Loop(nn.Module):
    """A network that takes its inputs one after another, so that an export counts them."""

    def __init__(self):
        super().__init__()
        self.quantise, self.layer = Fake(4), conv()

    def forward(self, x):
        return torch.cat([self.layer(self.quantise(one)) for one in x.split(1)])


def test_a_program_for_fewer_inputs_leaves_none_out(tmp_path):
    """A loop over two inputs is exported as two steps, which would leave out all other inputs."""
    path = tmp_path / "loop.pt2"
    torch.export.save(torch.export.export(Loop(), (inputs(2, 3, 7, 6),)), path)
    loaded = load_network(str(path), None)
    fits = loaded.judge(inputs(2, 3, 7, 6))
    assert len(loaded.as_it_is(inputs(2, 3, 7, 6), fits)[0][0]) == 2
    words = r"gives \[\[2, 5, 5, 4\]\], and \[\[4, 5, 5, 4\]\] for 2 inputs at a time"
    with pytest.raises(InputError, match=words):
        loaded.as_it_is(inputs(4, 3, 7, 6), fits)


@pytest.mark.parametrize("name", ["network", "layers", "module of_both"])
def test_a_worker_that_has_loaded_something_else(files, name):
    """The state, the inputs, or a module may have changed since the command or the worker began."""
    now = own_network.judged(NET, *map(str, files), "")
    mine = now.loaded | {"module of_both": "0", "module of_the_worker": "0"}
    loaded = now.loaded | {"module of_both": "0", "module of_the_command": "0"}
    own_network.check_loaded(NET, loaded, mine)
    words = f"has loaded another {re.escape(name)} than the command"
    with pytest.raises(InputError, match=words):
        own_network.check_loaded(NET, loaded, mine | {name: "another"})


def test_a_key_of_a_shard_knows_the_numbers_behind_the_layers(files, tmp_path):
    """The layers of two states are the same, and what follows them is not."""
    state = Residual().state_dict()
    digests = []
    for number, running in enumerate((0.5, 0.5, 0.25)):
        path = tmp_path / f"{number}.safetensors"
        save_file(state | {"norm.running_mean": torch.full((6,), running)}, path)
        digests.append(own_network.judged(NET, str(path), str(files[1]), "").loaded["network"])
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize(
    ("source", "old", "new"),
    [
        # Signs are lost, and the psum of the row above is.
        (
            "core.v",
            ".ACT_SIGNED(ACT_SIGNED), .WEIGHT_WIDTH(WEIGHT_WIDTH), .PSUM_WIDTH",
            ".ACT_SIGNED(0), .WEIGHT_WIDTH(WEIGHT_WIDTH), .PSUM_WIDTH",
        ),
        ("pe.v", "psum_o <= psum_i + product;", "psum_o <= product;"),
    ],
)
def test_a_wrong_sum_is_named_and_its_job_kept(files, source, old, new, tmp_path):
    rtl = faulty_rtl(tmp_path, source, (old, new))
    result, report = shard(files, rtl)
    assert not report["same_outputs"]
    first = report["first"]
    layer = first["words"].split(",")[0]
    (row,) = (row for row in report["rows"] if row["layer"] == layer)
    assert row["mismatches"] > 0
    for word in ("output tile ", "image ", "pixel (", "channel ", "expected "):
        assert word in first["words"]
    assert result["wrong_codes"].shape[0] == first["layer"]["images"] == 1
    settings = {"rtl": str(rtl), "core": vars(core_for([*fits(files)]))}
    assert "again: mismatch: " in own_network.again(first["layer"], result, settings)


def fits(files):
    """Returns the layers of the network of the files, as judged."""
    return own_network.judged(NET, *map(str, files), "").fits.values()


def test_the_build_of_the_core_follows_from_the_layers():
    """Signed activations are taken where that lets all zero points be 0, without more bits."""

    def build(*before):
        layers = [fit_layers(net(conv(), one), inputs())["1"] for one in before]
        return core_for(layers)

    assert build(Fake(4), Fake(3)) == Core()
    assert build(Fake(6)) == Core(sum_width=32, act_width=6)
    assert build(Fake(4, signed=True)) == Core(sum_width=32, act_signed=1)
    assert build(Fake(4, signed=True), Fake(3)) == Core(sum_width=32, act_signed=1)
    # Unsigned codes of 4 bits would need a fifth one in two's complement.
    assert build(Fake(4, signed=True), Fake(4)) == Core()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, None),
        ({"sums_checked": 0, "sums_not_zero": 0}, "nothing was checked"),
        ({"sums_not_zero": 0}, "nothing but zeros"),
        ({"sum_mismatches": 1}, "sums are not those of PyTorch"),
        ({"outputs_equal": False}, "bit for bit"),
        ({"predictions_differing": 1}, "predicts other classes"),
        ({"farthest_from_an_edge": 0.1}, "rounding does not explain it"),
        ({"farthest_from_an_edge": math.nan}, "rounding does not explain it"),
    ],
)
def test_each_requirement_can_be_missed(change, words):
    lines = misses(RIGHT | change)
    assert len(lines) == (words is not None)
    assert not words or words in lines[0]


def test_the_command(files, command, tmp_path):
    """The table has a row for each layer; a second run takes what was kept."""
    state, given = files
    results = tmp_path / "network.json"
    arguments = ("--net", NET, "--state", state, "--input", given, "--images", 2)
    options = ("--sim", "icarus", "--workers", 1, "--results", results)
    code, out, err = command(network.main, *arguments, *options, "--fresh")
    assert code == 0, out + err
    assert "Every sum equals PyTorch's." in out
    assert "6 groups a tile" in out
    first = json.loads(results.read_text())
    assert first["layers"] == len(first["rows"]) == 4
    assert first["sums_checked"] == sum(row["sums"] for row in first["rows"])
    assert first["sum_mismatches"] == first["predictions_differing"] == 0
    assert first["predictions"] == 2
    assert 0 <= first["accuracy_rtl"] <= 1
    code, out, _ = command(network.main, *arguments, *options)
    assert code == 0
    again = json.loads(results.read_text())
    assert again["shards_kept"] == 1
    assert again["rows"] == first["rows"]


def test_what_cannot_be_run_is_refused(files, refused, tmp_path):
    state, _ = files
    refused(network.main, "--net", "a.onnx", words=("a.onnx", "cannot be read as ONNX"))
    refused(network.main, "--net", NET, words=("no state dict is named", "STATE=file"))
    refused(network.main, "--net", "a.pt2", "--state", state, words=("a.pt2", "expected none"))
    wrong = tmp_path / "wrong.safetensors"
    arguments = ("--net", NET, "--state", state, "--input")
    for labels, words in (
        (torch.zeros(4), "labels are torch.float32 [4]"),
        (torch.zeros(4, dtype=torch.bool), "labels are torch.bool [4]"),
        (torch.zeros(5, dtype=torch.int64), "labels are torch.int64 [5], expected a whole number"),
        (torch.tensor([0, 1, -1, 2]), "a label is -1, expected 0 or more"),
    ):
        save_file({"input": inputs(4, 3, 7, 6), "labels": labels}, wrong)
        refused(network.main, *arguments, wrong, words=(str(wrong), words))
    words = (str(files[1]), "holds 4 inputs, expected IMAGES, 5")
    refused(network.main, *arguments, files[1], "--images", 5, words=words)
    for name in ("state", "input"):
        words = (f"--{name} is a.file, but no network is named",)
        refused(network.main, f"--{name}", "a.file", words=words)
    refused(network.main, *arguments, tmp_path / "none.npy", words=("none.npy",))


LAYERS = {"resnet20": 21, "brevitas_cnn": 3, "mlp": 2, "sequence_cnn": 4}


def runs(results, *given) -> dict:
    """Returns the results of a network on two images, which must all be right.

    The command runs in a process of its own, because its memory is measured.
    """
    options = ("--images", 2, "--workers", 1, "--results", results)
    line = [sys.executable, "-m", "tb.run", "network", *map(str, (*given, *options))]
    ended = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    found = json.loads(results.read_text())
    assert found["predictions"] == 2
    assert found["memory_mib"] < 2048
    return found


STOPPABLE = """
import functools, sys
from pathlib import Path
from pymodel.support.command import run_command
from tb.run import network, own_network
from tb.run.sweep import spread
from tb.sim.kept_results import Store

if __name__ == "__main__":
    store = Store("sweep", Path(sys.argv.pop(1)))
    own_network.spread = functools.partial(spread, store=store)
    run_command(network.main)
"""


@pytest.mark.verify
def test_a_run_that_was_killed_goes_on(files, tmp_path):
    """Shards that were finished do not run again; the rest follows, and all results are there."""
    given = tmp_path / "inputs.safetensors"
    save_file({"input": inputs(40, 3, 7, 6)}, given)  # five shards
    (tmp_path / "script.py").write_text(STOPPABLE)
    results = tmp_path / "network.json"
    command = [sys.executable, "script.py", tmp_path / "kept", "--net", NET, "--state", files[0]]
    command += ["--input", given, "--sim", "icarus", "--workers", "1", "--results", results]

    def begin() -> subprocess.Popen:
        return subprocess.Popen(
            [*map(str, command)],
            cwd=tmp_path,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            start_new_session=True,
        )

    first = begin()
    while not [*(tmp_path / "kept").glob("sweep/*.npz")]:
        assert first.poll() is None, first.stderr.read()
        time.sleep(0.02)
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()
    assert not results.exists()
    finished = len([*(tmp_path / "kept").glob("sweep/*.npz")])
    assert 1 <= finished < 5

    again = begin()
    out, errors = again.communicate()
    assert again.returncode == 0, out + errors
    found = json.loads(results.read_text())
    assert found["shards"] == 5
    assert finished <= found["shards_kept"] < 5
    assert found["inputs"] == 40
    assert found["rows"][0]["sums"] == 40 * 6 * 7 * 6


@pytest.mark.verify
@pytest.mark.parametrize("name", LAYERS)
def test_examples_of_factories(name, command, tmp_path):
    """Networks of this project's quantisers and of Brevitas run whole."""
    example = importlib.import_module(f"training.examples.{name}")
    state = tmp_path / "state.safetensors"
    make = functools.partial(few_steps.main, getattr(example, name))
    assert command(make, "--output", state)[0] == 0
    net = f"{example.__name__}:{name}"
    found = runs(tmp_path / "network.json", "--net", net, "--state", state)
    assert found["layers"] == LAYERS[name]


@pytest.mark.verify
def test_the_example_of_pt2e(command, tmp_path):
    """Depthwise layers and signed bottlenecks of 8 bits run whole, from a file of torch.export."""
    path = tmp_path / "mobilenet.pt2"
    assert command(mobilenet.main, "--output", path)[0] == 0
    found = runs(tmp_path / "network.json", "--net", path)
    assert found["layers"] == 11
    assert found["layers_in_pytorch"] == 0


@pytest.mark.verify
@pytest.mark.filterwarnings("ignore")  # the exporter warns
def test_a_qonnx_file_of_brevitas(command, tmp_path):
    import brevitas.export

    from training.examples.brevitas_cnn import brevitas_cnn

    model, _ = few_steps.train(brevitas_cnn, 2)
    path = tmp_path / "brevitas.onnx"
    brevitas.export.export_qonnx(model.eval(), torch.rand(1, 3, 32, 32), str(path))
    assert runs(tmp_path / "network.json", "--net", path)["layers"] == 3
