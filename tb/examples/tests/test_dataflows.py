"""Arrays that add inside, matrix multipliers and whole cores run, and their faults are found."""

import json
import re

import pytest

from pymodel.support.files import ROOT
from tb.components.dataflow_adapters import AccumulatingAdapter, CoreAdapter, MatmulAdapter
from tb.modules.pytest_runs import first_few
from tb.run import check, layer, replay

EXAMPLES = ROOT / "tb" / "examples"
ADDS, MULTIPLIES, CORE = "accumulating_array", "output_stationary", "convolution_core"
SLOW = pytest.mark.verify
# Our core with its other outputs, as an adapter that somebody else might write
OTHER_OUTPUTS = f"""
import numpy as np
from pymodel.hardware.output_thresholds import requantise, thresholds
from pymodel.hardware.core import threshold_vectors
from pymodel.hardware.registers import Mode
from tb.examples.convolution_core import ConvolutionCore

class Mine(ConvolutionCore):
    SOURCES = {[str(path) for path in sorted((ROOT / "rtl").glob("*.v"))]}
    outputs, mode = "{{}}", Mode.{{}}

    def supports(self, layer):
        return super().supports(layer) and layer.code_bits == 4

    def table(self, layer):
        return thresholds(layer.scale, layer.offset, 1.0, self.core.sum_width)

    def requantise(self, sums, layer):
        return requantise(sums, self.table(layer))

    async def run_layer(self, layer):
        if self.outputs == "codes":
            vectors = threshold_vectors(self.table(layer), self.core)
            self.send(self.tables, vectors, self.core.sum_width)
        return await super().run_layer(layer)
"""


@pytest.fixture
def adapter(tmp_path):
    """Returns a function that copies an example, replaces text in it, and returns its adapter."""

    def copied(name, suffix=".py", *replacements):
        for end in (".py", ".v"):
            source = EXAMPLES / f"{name}{end}"
            if source.exists():
                text = source.read_text()
                for old, new in replacements if end == suffix else ():
                    assert text.count(old) == 1, old
                    text = text.replace(old, new)
                (tmp_path / source.name).write_text(text)
        return tmp_path / f"{name}.py"

    return copied


@pytest.fixture
def outputs(tmp_path):
    """Returns a function that writes the adapter of our core with other outputs."""

    def written(kind, *replacements):
        text = OTHER_OUTPUTS.format(kind, kind.upper())
        for old, new in replacements:
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        path = tmp_path / f"{kind}.py"
        path.write_text(text)
        return path

    return written


RUNS = [(ADDS, "icarus"), (MULTIPLIES, "icarus"), (CORE, "icarus")]
RUNS += [(name, "verilator") for name in (ADDS, MULTIPLIES, CORE)]


@pytest.mark.parametrize("run", first_few(RUNS, 2, "-".join))
def test_the_examples_pass_make_check(command, run):
    name, simulator = run
    path = EXAMPLES / f"{name}.py"
    assert command(check.main, "-q", "--dut", path, "--sim", simulator)[0] == 0


LAYERS = [
    (ADDS, "features.27", 2, ()),
    (MULTIPLIES, "features.27", 1, ()),
    (CORE, "features.27", 2, ()),
    (ADDS, "features.29", 1, ("--pixels", 8)),
    (MULTIPLIES, "features.24", 1, ("--pixels", 8)),
]


@pytest.mark.parametrize("run", first_few(LAYERS, 2, lambda run: "-".join(run[:2])))
def test_the_examples_run_a_layer(command, tmp_path, run):
    """Every sum of the layer comes once, whatever the number of its taps."""
    name, chosen, images, options = run
    path, results = EXAMPLES / f"{name}.py", tmp_path / "r.json"
    given = ("--dut", path, "--layer", chosen, "--images", images, "--results", results)
    code, out, _ = command(layer.main, *given, *options)
    assert code == 0
    result = json.loads(results.read_text())
    assert (result["shows"], result["psum_mismatches"]) == ("sum", 0)
    assert result["psums_checked"] >= result["pixels"] * len(result["nonzero_share"])
    assert result["max_abs_error"] < 1e-3
    assert "Every sum equals PyTorch's." in out
    assert re.search(r"sums checked +\d", out)


@pytest.mark.parametrize("kind", first_few(["codes", "relu"], 1))
def test_a_core_that_gives_something_else_than_sums(command, outputs, tmp_path, kind):
    """Every code is the one that the adapter's `requantise` gives for PyTorch's sum."""
    results = tmp_path / "r.json"
    given = ("--images", 1, "--results", results)
    code, out, _ = command(layer.main, "--dut", outputs(kind), *given)
    assert code == 0
    word = {"relu": "ReLU output", "codes": "code"}[kind]
    assert f"Every {word} equals PyTorch's." in out
    result = json.loads(results.read_text())
    assert (result["shows"], result["psums_checked"]) == (word, 16 * 8)
    assert (result["max_abs_error"] is None) == (kind == "codes")
    assert ("largest error" in out) == (kind == "relu")


# What breaks an array or a core of each dataflow, its file, and the text that is replaced
FAULTS = {
    "begins with what was there": (ADDS, ".v", "first_tile ? 24'd0 : ", ""),
    "forgets the tile before": (ADDS, ".v", "first_tile ? 24'd0", "24'd0 != 1 ? 24'd0"),
    "sums of fewer bits": (ADDS, ".v", "sum                 <= next;", "sum <= next & 24'h3ff;"),
    "gives psums too": (ADDS, ".v", "act_valid && last_tile", "act_valid"),
    "a sign is lost": (MULTIPLIES, ".v", "$signed(weight_north)", "$signed({1'b0, weight_north})"),
    "sums that are not cleared": (MULTIPLIES, ".v", "clear ? 24'sd0", "clear ? sum"),
    "more accumulators than there are": (ADDS, ".py", "int(dut.PIXELS.value)", "17"),
    "the first of the tiles is not told": (ADDS, ".py", "int(first)", "0"),
    "the last of the tiles is not told": (ADDS, ".py", "int(last)", "0"),
    "tiles that are not loaded": (ADDS, ".py", "pack(weights,", "pack(0 * weights,"),
    "rows in the wrong order": (
        MULTIPLIES,
        ".py",
        "read_row.value = row",
        "read_row.value = 7 - row",
    ),
    "lanes that are not late": (MULTIPLIES, ".py", "late[lane : lane +", "late[0 : 0 +"),
    "products of fewer taps": (MULTIPLIES, ".py", "skewed(b, cycles)", "skewed(b[:8], cycles)"),
    "a tap is left out": (
        MULTIPLIES,
        ".py",
        "pack(skewed(b, cycles)",
        "pack(skewed(b[1:], cycles)",
    ),
    "another stride": (CORE, ".py", "stride=job.stride", "stride=1"),
    "another padding": (CORE, ".py", "padding=job.padding", "padding=0"),
    "the ReLU of sums, told as sums": (CORE, ".py", "Mode.SUMS", "Mode.RELU"),
}


# The faults that break each claim of an adapter; None: the claim can hide nothing, since what it
# says is compared or only named
CLAIMS = {
    "accumulators": "more accumulators than there are",
    "load": "tiles that are not loaded",
    "stream": "the last of the tiles is not told",
    "matmul": "rows in the wrong order",
    "run_layer": "another stride",
    "outputs": "the ReLU of sums, told as sums",
    "requantise": "what the core does not promise",
    "depth": "products of fewer taps",
    **dict.fromkeys(("shows", "latency", "psum_width", "supports", "limit")),
    **dict.fromkeys(("play", "play_layer", "layer_of_tile", "expected", "promised")),
    **dict.fromkeys(("psums", "arrived")),
}


def test_every_claim_is_broken():
    found = set()
    for base in (AccumulatingAdapter, MatmulAdapter, CoreAdapter):
        found |= {name for name in vars(base) if not name.startswith("_")}
    assert found == CLAIMS.keys()
    assert {fault for fault in CLAIMS.values() if fault} <= {*FAULTS, *CODE_FAULTS}


@pytest.mark.parametrize("fault", first_few(FAULTS, 3))
def test_a_fault_of_another_dataflow_is_no_pass(command, adapter, fault):
    name, suffix, old, new = FAULTS[fault]
    path = adapter(name, suffix, (old, new))
    if name == CORE:
        rtl = [str(path) for path in sorted((ROOT / "rtl").glob("*.v"))]
        path.write_text(path.read_text().replace('sorted(RTL.glob("*.v"))', str(rtl)))
    code, out, _ = command(check.main, "-q", "--dut", path)
    assert code == 1
    assert out.startswith("FAILED: ")


CODE_FAULTS = {
    "other thresholds than the core gets": ("requantise(sums, self", "requantise(sums + 1, self"),
    "sums, told as codes": ("Mode.CODES", "Mode.SUMS"),
    "what the core does not promise": ("(sums, self.table(layer))", "(-sums, self.table(layer))"),
}


@pytest.mark.parametrize("fault", first_few(CODE_FAULTS, 0))
def test_a_core_that_breaks_its_promise_is_no_pass(command, outputs, fault):
    code, out, _ = command(check.main, "-q", "--dut", outputs("codes", CODE_FAULTS[fault]))
    assert (code, out.startswith("FAILED: ")) == (1, True)


@SLOW
def test_a_wrong_sum_is_shown_with_its_channel(command, adapter, tmp_path):
    """Causes that name rows are no causes of sums; those in a column and in all PEs are."""
    sums = "assign rows[r][c*24 +: 24] = sum"
    path = adapter(MULTIPLIES, ".v", (sums, f"{sums} + (c == 3)"))
    given = ("--images", 1, "--results", tmp_path / "r.json")
    code, out, _ = command(layer.main, "--dut", path, *given)
    assert code == 1
    assert "First wrong sum: image 0, all taps, pixel (0, 0), channel 3 (column 3)" in out
    assert "Hint: psums off by +1, in column 3 (explains " in out


def test_an_array_that_gives_sums_runs_tile_files(command, tmp_path):
    """Outputs are compared; files of psums are named; a wrong output is found at its line."""
    from pymodel.tile_files.tests.plain_tiles import PlainTiles

    folder = PlainTiles(4, 4).write(tmp_path / "tiles")
    results = tmp_path / "replay.json"
    given = ("--dir", folder, "--dut", EXAMPLES / f"{ADDS}.py", "--results", results)
    code, out, _ = command(replay.main, *given)
    assert code == 0
    assert re.search(r"not compared: the array gives sums +psum.txt, psum_kij0..8.txt\n", out)
    assert "Every sum equals PyTorch's and the files'" in out
    found = json.loads(results.read_text())
    assert (found["shows"], found["psums_checked"], found["sums_checked"]) == ("sum", 128, 128)
    assert (found["file_psums_checked"], found["file_outputs_checked"]) == (0, 128)
    lines = (folder / "out.txt").read_text().splitlines()
    lines[-1] = lines[-1][:-1] + "01"[lines[-1][-1] == "0"]
    (folder / "out.txt").write_text("\n".join(lines) + "\n")
    code, out, _ = command(replay.main, *given)
    assert code == 1
    assert f"FAILED: {folder}/out.txt, line {len(lines)}: pixel (3, 3), channel 0" in out


def test_a_core_that_gives_codes_runs_no_tile_files(refused, outputs, tmp_path):
    from pymodel.tile_files.tests.plain_tiles import PlainTiles

    folder = PlainTiles(4, 4).write(tmp_path / "tiles")
    words = ["Mine gives codes", "expected an array or a core that gives psums or sums"]
    refused(replay.main, "--dir", folder, "--dut", outputs("codes"), words=words)


@SLOW
def test_the_report_shows_psums_or_sums(refused, outputs, tmp_path):
    from tb.report.report_page import main

    words = ["Mine gives codes", "expected an array or a core that gives psums or sums"]
    given = ("--images", 1, "--output", tmp_path / "page.html")
    refused(main, "--dut", outputs("codes"), *given, words=words)
