"""Every psum of a trained layer equals PyTorch's, and the table names dead channels."""

import io
import json
import re
from pathlib import Path

import pytest
import torch
from tqdm import tqdm

from pymodel.checkpoint import save_checkpoint
from pymodel.images import normalise
from pymodel.lsq_quantiser import initialise_scales
from pymodel.vgg import VGG16
from tb.components import array_adapter
from tb.components.array_adapter import adapter_class
from tb.modules.module_table import SIMULATORS
from tb.run import array_run, layer
from tb.run.check import Verdict
from tb.run.layer import LayerJob, result_table
from tb.sim import result_about
from tb.sim.run_bench import run_bench


def test_a_dead_channel_is_reported():
    numbers = (
        "rows",
        "cols",
        "images",
        "pixels",
        "pixels_of_layer",
        "psums_checked",
        "psum_mismatches",
        "outputs_checked",
        "max_abs_error",
        "max_error_steps",
        "max_error_share",
        "act_width",
        "act_signed",
        "weight_width",
        "cycles",
        "macs",
        "utilisation",
        "seconds",
    )
    result = {"simulator": "icarus", "array": "a", "layer": "features.27", "shows": "psum"}
    result |= dict.fromkeys(numbers, 1) | {"variables": {}}

    def table(shares):
        return result_table(result | {"nonzero_share": shares}, Verdict(None, {"a": True}))

    assert "DEAD" not in table([0.5, 0.1])
    assert re.search(r"DEAD CHANNELS +1: zero", table([0.5, 0.0]))
    assert "per channel  20% to 50%\n" in table([0.5, 0.2, 0.3] * 3)
    assert "variables" not in table([0.5])
    result["variables"] = {"MODE": "2bit", "DATAFLOW": "os"}
    assert re.search("^variables +MODE=2bit DATAFLOW=os$", table([0.5]), re.MULTILINE)


def test_a_source_that_changes_while_the_layer_runs_is_refused(refused, monkeypatch, tmp_path):
    """If a source changes, the tiles of make check and the layer are about different RTL."""
    seen = []
    monkeypatch.setattr(
        result_about, "about", lambda *_, **__: seen.append(1) or {"rtl": len(seen)}
    )
    monkeypatch.setattr(layer, "check", lambda *_: Verdict(None, {"a": True}))
    monkeypatch.setattr(layer.ArrayRun, "start", lambda *_: None)
    results = tmp_path / "layer.json"
    refused(layer.main, "--images", 1, "--results", results, words=["there is other RTL than"])
    assert not results.exists()


# One job runs on Verilator whatever SIM is, because Verilator starts registers from random values.
# features.24 has many tiles, and BatchNorm before the next convolution.
JOBS = [("features.27", 1, SIMULATORS[0])]
JOBS += [("features.24", 1, SIMULATORS[0]), ("features.27", 3, "verilator")]


@pytest.mark.parametrize(
    ("name", "images", "simulator"),
    [JOBS[0], *(pytest.param(*job, marks=pytest.mark.verify) for job in JOBS[1:])],
)
def test_layer(name, images, simulator, tmp_path):
    job = LayerJob(simulator, name, images, results=str(tmp_path / "layer.json"))
    run_bench(
        "tb.run.layer_bench",
        "systolic_array",
        simulator=simulator,
        settings=job.settings(),
        variant=f"{name}-{images}",
    )
    result = json.loads(Path(job.results).read_text())
    tiles = {"features.27": 9, "features.24": 9 * 256 // 8}[name]
    assert result["psums_checked"] == images * tiles * 16 * 8
    assert result["psum_mismatches"] == 0
    assert result["outputs_checked"] == images * 16 * 8
    # The first tile's weights, a cycle for each vector of activations, and the array's latency
    assert result["cycles"] == 8 + images * tiles * 16 + 15
    assert result["max_abs_error"] < 1e-3
    assert result["max_error_steps"] < 0.01


TELLS_OFTEN = """
from tb.components import array_adapter
from tb.components.systolic_array_adapter import SystolicArrayAdapter

array_adapter.TELL_SECONDS = 0.0

class TellsOften(SystolicArrayAdapter):
    pass
"""


def test_a_long_run_shows_a_bar(monkeypatch, tmp_path):
    """The bar has the number of all psum vectors as its total, and follows those that came."""
    # The adapter's file is read in this process too, which goes on with the seconds as they were.
    monkeypatch.setattr(array_adapter, "TELL_SECONDS", array_adapter.TELL_SECONDS)
    path = tmp_path / "often.py"
    path.write_text(TELLS_OFTEN)
    bars = []

    class Drawn(tqdm):
        def __init__(self, **options):
            super().__init__(**options | {"file": (out := io.StringIO()), "disable": False})
            bars.append((self, out))

    monkeypatch.setattr(array_run, "tqdm", Drawn)
    job = LayerJob(SIMULATORS[0], images=1, results=str(tmp_path / "layer.json"), dut=str(path))
    dut = adapter_class(path)
    run = array_run.ArrayRun("tb.run.layer_bench", job, job.simulator, dut, path.stem)
    assert run.start(tmp_path) is None
    ((bar, out),) = bars
    assert bar.total == 9 * 16
    assert 0 < bar.n < bar.total
    assert f"on the array: {bar.n * 100 // bar.total:>3}%" in out.getvalue()


@pytest.mark.verify
@pytest.mark.parametrize("bits", [2, 8])
def test_a_checkpoint_of_other_bits(command, images, tmp_path, bits):
    """The array is compiled with the widths of the checkpoint's codes."""
    torch.manual_seed(0)
    model = VGG16(weight_bits=bits, activation_bits=bits).eval()
    initialise_scales(model, normalise(images.images[:8]))
    path, results = tmp_path / "model.safetensors", tmp_path / "layer.json"
    metadata = {"accuracy": "0.1", "seed": "0", "command": "none", "recipe": "{}"}
    save_checkpoint(model, path, metadata)
    arguments = ("--model", path, "--images", 1, "--results", results, "--quiet")
    code, out, _ = command(layer.main, *arguments)
    assert code == 0, out
    result = json.loads(results.read_text())
    assert (result["act_width"], result["weight_width"]) == (max(4, bits), max(4, bits))
    assert result["psums_checked"] == 9 * 16 * 8
