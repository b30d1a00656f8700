"""Every shipped array passes the checks through its adapter, and docs/own-array.md is right.

make check DUT=my_adapter.py runs the same bench on another array (tb/run/check.py).
"""

import itertools
import json
import re
from pathlib import Path

import pytest

from pymodel.checkpoint import SHIPPED_2BIT
from pymodel.support.files import ROOT
from tb.components.array_adapter import OWN, SIZES, adapter_class
from tb.components.random_tiles import extremes
from tb.components.systolic_array_adapter import SystolicArrayAdapter
from tb.modules.module_table import SIMULATORS
from tb.modules.pytest_runs import first_few
from tb.run import check as tb_check
from tb.run.array_bench import largest, rows_at_once
from tb.run.layer import main
from tb.sim.sources import RTL, check_sources, faulty_rtl

SHIPPED = [
    OWN,
    ROOT / "tb" / "examples" / "load_first_array.py",
    ROOT / "tb" / "examples" / "dot_engine.py",
]
GUIDE = ROOT / "docs" / "own-array.md"


@pytest.mark.parametrize("simulator", SIMULATORS)
@pytest.mark.parametrize(
    "path",
    [SHIPPED[0], pytest.param(SHIPPED[2], marks=pytest.mark.verify)],
    ids=lambda path: path.stem,
)
def test_array(path, simulator):
    """The second array has the same bench among its runs (tb/modules)."""
    verdict = tb_check.check(path, simulator)
    assert verdict.failure is None
    assert len(verdict.passed) == 5
    assert all(verdict.passed.values())


RECONFIGURABLE = ROOT / "tb" / "components" / "reconfigurable.py"
MODES = list(itertools.product(("4bit", "2bit"), ("ws", "os")))


@pytest.mark.parametrize(
    "mode", [pytest.param(m, marks=[pytest.mark.verify] * (m != MODES[-1])) for m in MODES]
)
def test_each_mode_of_the_reconfigurable_array(mode, command, monkeypatch):
    """The variables that the adapter reads choose the mode, and the last line repeats them."""
    for name, value in zip(("MODE", "DATAFLOW"), mode, strict=True):
        monkeypatch.setenv(name, value)
    code, out, _ = command(tb_check.main, "--dut", RECONFIGURABLE)
    assert code == 0
    assert "All checks passed" in out
    assert "DUT=tb/components/reconfigurable.py MODE={} DATAFLOW={}".format(*mode) in out


def test_a_mode_that_is_not_there_is_refused(refused, monkeypatch):
    monkeypatch.setenv("MODE", "3bit")
    words = ["MODE is '3bit', expected 4bit or 2bit"]
    refused(tb_check.main, "--dut", RECONFIGURABLE, words=words)


# Faults that the trained layer does not show, and the test that finds each
_SUM = "psum_o <= psum_i + product;"
_WEIGHT = "swap_i ? shadow : active"
_HOPS = "wire [HOPS_WIDTH-1:0] hops ="
# The column that a weight is for, counted instead of read; no reset sets it back.
_COUNT = """
  reg [2:0] column = 7;
  always @(posedge clk_i) column <= column - weight_valid_i;
"""
EXTREMES = "extreme psums are exact"
FAULTS = {
    "psums above 700 are cut": (
        "pe.v",
        [(_SUM, "psum_o <= psum_i + product > 700 ? 700 : psum_i + product;")],
        EXTREMES,
    ),
    "a reset does not end a load": (
        "systolic_array.v",
        [(_HOPS, _COUNT + _HOPS), ("weight_col_i} + 1'b1", "column} + 1'b1")],
        "reset at any cycle leaves nothing behind",
    ),
    "-8 reads as 7": (
        "pe.v",
        [
            (
                "swap_i ? shadow : active;",
                "(swap_i ? shadow : active) == -8 ? 7 : swap_i ? shadow : active;",
            )
        ],
        EXTREMES,
    ),
    "15 times -8 is wrong": (
        "pe.v",
        [(_SUM, "psum_o <= psum_i + product + (product == -120);")],
        EXTREMES,
    ),
}


@pytest.mark.parametrize("name", first_few(list(FAULTS)[1:], 1))
def test_make_check_finds_a_fault(name, tmp_path):
    """The test of make check that is for the fault fails."""
    source, replacements, test = FAULTS[name]
    sources = check_sources(faulty_rtl(tmp_path, source, *replacements))
    verdict = tb_check.check(OWN, "icarus", adapter_class(OWN).changed(SOURCES=sources))
    assert verdict.failure
    assert not verdict.passed[test]


@pytest.mark.parametrize("name", first_few(FAULTS, 1))
def test_a_fault_that_the_layer_does_not_show(name, tmp_path, command):
    """The layer's psums are right; the tiles of make check before the layer find the fault."""
    source, replacements, test = FAULTS[name]
    rtl, results = faulty_rtl(tmp_path, source, *replacements), tmp_path / "r.json"
    code, out, _ = command(main, "--rtl", rtl, "--images", 1, "--results", results)
    assert code == 1
    assert re.search(f"tiles of make check +FAILED: .*{test}", out)
    assert "Every psum of the layer is right." in out
    assert "FAILED: tiles of make check: mismatch: tile " in out
    assert json.loads(results.read_text())["psum_mismatches"] == 0


NARROW = """
from tb.examples.dot_engine import DotEngine

class Narrow(DotEngine):
    SOURCES = ("{folder}/dot_engine.v",)
    psum_width = {width}

    def psums(self):
        found = super().psums()
        bits = 2**self.psum_width
        return found and [None if value is None else int(value) % bits for value in found]
"""


def test_an_array_of_narrow_psums_gets_the_tiles_that_it_can_take(tmp_path, command):
    """The array has −128 · −128 in one of its 16 rows at a time, and a line says so."""
    path = tmp_path / "narrow.py"
    path.write_text(NARROW.format(folder=SHIPPED[2].parent, width=16))
    code, out, _ = command(tb_check.main, "--dut", path)
    assert code == 0
    words = "psum_width 16 holds fewer than 16 products -128 · -128, so 1 row has them at a time"
    assert re.search(f"limits +{words}\n", out)


class OfAnySize(SystolicArrayAdapter):
    """An adapter without an array."""

    def __init__(self, **sizes):
        vars(self).update(sizes)


@pytest.mark.parametrize("signed", [False, True], ids=["unsigned", "signed"])
@pytest.mark.parametrize("psum_width", range(3, 22))
def test_no_tile_is_too_large_for_the_psums(psum_width, signed):
    """Whatever the widths, the products fit, and codes are given up only where one is too much."""

    def fits(codes, rows):
        acts, weights = codes[:2], codes[2:]
        sums = [rows * act * weight for act, weight in itertools.product(acts, weights)]
        return -(2 ** (psum_width - 1)) <= min(sums) and max(sums) < 2 ** (psum_width - 1)

    for act_width, weight_width, rows in itertools.product((1, 4, 8), (2, 4, 8), (1, 3, 16)):
        array = OfAnySize(
            rows=rows,
            act_width=act_width,
            act_signed=signed,
            weight_width=weight_width,
            psum_width=psum_width,
        )
        for wanted in (1, rows):
            codes = largest(array, wanted)
            assert codes.weight_high == -codes.weight_low - 1
            fit = rows_at_once(array, codes, rows)
            assert 1 <= fit <= rows
            assert fits(codes, fit)
            assert fit == rows or not fits(codes, fit + 1)
        assert (largest(array, 1) == extremes(array)) == fits(extremes(array), 1)


@pytest.mark.verify
def test_a_register_that_nothing_sets_is_found_on_verilator(tmp_path):
    """It is right by chance with one half of the values that it may begin with."""
    rtl = faulty_rtl(
        tmp_path,
        "systolic_array.v",
        ("assign psum_north = {PSUM_WIDTH{1'b0}};", "assign psum_north = spare;"),
        ("genvar r;", "reg spare; always @(posedge clk_i) spare <= spare;\n  genvar r;"),
    )
    dut = adapter_class(OWN).changed(SOURCES=check_sources(rtl))
    assert tb_check.check(OWN, "verilator", dut).failure


@pytest.mark.parametrize(
    ("codes", "words"),
    [
        ((), ""),
        ((0, 15, -8, 7), ""),
        ((0, 15, -7, 7), ""),
        ((-16, 15, -128, 127), ""),
        ((0, 3, -8, 7), "those with activations 0 to 3 and weights -8 to 7; the shipped network's"),
        ((-8, 7, -8, 7), "those with activations -8 to 7 and weights -8 to 7; the shipped"),
        ((0, 15, -4, 3), "those with activations 0 to 15 and weights -4 to 3; the shipped"),
    ],
)
def test_which_layers_a_narrow_array_can_run(codes, words):
    found = tb_check.too_narrow(codes)
    assert found.startswith(words)
    assert bool(found) == bool(words)


NARROW_ADAPTER = """
from tb.examples.load_first_array import LoadFirstArray

class Narrow(LoadFirstArray):
    SOURCES = {sources}
    PARAMETERS = {{"ACT_WIDTH": 2}}
"""


def test_a_narrow_array_is_told_its_layers(command, tmp_path):
    """The hint at the end is not to run the shipped layer, which the array could not."""
    sources = [str(RTL / f"{name}.v") for name in ("load_first_array", "load_first_pe", "skew")]
    path = tmp_path / "narrow.py"
    path.write_text(NARROW_ADAPTER.format(sources=sources))
    code, out, _ = command(tb_check.main, "--dut", path)
    assert code == 0
    assert re.search(r"layers +those with activations 0 to 3 and weights -8 to 7; the shipped", out)
    fits = "narrow.py MODEL=training/shipped/vgg16_w4a2.safetensors"
    assert out.splitlines()[-1].endswith(fits)
    given = ("--dut", path, "--images", 1, "--results", tmp_path / "layer.json")
    code, out, err = command(main, *given)
    assert (code, "is too narrow: activations are 0 to 10 in this run" in err) == (2, True)
    assert out.splitlines()[-1].startswith("A trained layer that fits: make DUT=")
    assert out.splitlines()[-1].endswith(fits)


@pytest.mark.verify
def test_a_narrow_array_runs_the_layer_of_two_bits(command, tmp_path):
    sources = [str(RTL / f"{name}.v") for name in ("load_first_array", "load_first_pe", "skew")]
    path = tmp_path / "narrow.py"
    path.write_text(NARROW_ADAPTER.format(sources=sources))
    given = ("--dut", path, "--images", 1, "--results", tmp_path / "layer.json")
    assert command(main, *given, "--model", SHIPPED_2BIT)[0] == 0


LONG_TILES = """
from tb.examples.load_first_array import LoadFirstArray

class Short(LoadFirstArray):
    SOURCES = {sources}

    async def stream(self, activations):
        activations[{most}:] = 0
        await super().stream(activations)
"""


@pytest.mark.parametrize("most", [25, 256])
def test_an_array_that_is_wrong_in_long_tiles_alone(command, tmp_path, monkeypatch, most):
    """Its buffer has too few places; tiles of the shipped layer have 16 vectors."""
    monkeypatch.setenv("COCOTB_TEST_FILTER", "random_tiles")
    sources = [str(RTL / f"{name}.v") for name in ("load_first_array", "load_first_pe", "skew")]
    path = tmp_path / "short.py"
    path.write_text(LONG_TILES.format(sources=sources, most=most))
    code, out, _ = command(tb_check.main, "-q", "--dut", path)
    assert code == 1
    assert f"FAILED: mismatch: tile 8, pixel {most}, " in out


LOGS = """
from tb.examples.load_first_array import LoadFirstArray

class Logs(LoadFirstArray):
    SOURCES = {sources}

    async def load(self, weights):
        {line}
        await super().load(weights)
"""


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("self.dut._log.error('the array reports an error')", 1),
        ("self.dut._log.warning('the array reports an error')", 0),
    ],
)
def test_an_error_that_an_adapter_logs_is_no_pass(command, tmp_path, monkeypatch, line, code):
    monkeypatch.setenv("COCOTB_TEST_FILTER", "tiles_of_one_pixel")
    sources = [str(RTL / f"{name}.v") for name in ("load_first_array", "load_first_pe", "skew")]
    path = tmp_path / "logs.py"
    path.write_text(LOGS.format(sources=sources, line=line))
    found, out, _ = command(tb_check.main, "-q", "--dut", path)
    assert found == code
    assert ("the array reports an error" in out) == bool(code)


def test_rtl_that_changes_while_make_check_runs_is_refused(refused, tmp_path, monkeypatch):
    """Its words would be about a file that is no longer there; what a source hides is told."""
    rtl = faulty_rtl(tmp_path, "pe.v", ("endmodule", "`ifdef VERILATOR\n`endif\nendmodule"))
    dut = adapter_class(OWN).changed(SOURCES=check_sources(rtl))
    monkeypatch.setattr(tb_check, "sized", lambda *given: dut)

    def check(*given):
        (rtl / "pe.v").touch()
        return tb_check.Verdict(None, {"one": True})

    monkeypatch.setattr(tb_check, "check", check)
    refused(tb_check.main, words=["pe.v: changed while the command ran"])


def test_make_check_names_what_a_simulation_does_not_show(command, tmp_path, monkeypatch):
    rtl = faulty_rtl(tmp_path, "pe.v", ("endmodule", "`ifdef VERILATOR\n`endif\nendmodule"))
    dut = adapter_class(OWN).changed(SOURCES=check_sources(rtl))
    monkeypatch.setattr(tb_check, "sized", lambda *given: dut)
    monkeypatch.setattr(tb_check, "check", lambda *given: tb_check.Verdict(None, {"one": True}))
    assert "note: pe.v depends on VERILATOR" in command(tb_check.main)[1]


def test_check_says_which_test_failed(command, tmp_path):
    """An array that never gives a psum fails, and the tests that failed are named."""
    path = tmp_path / "mute.py"
    text = SHIPPED[1].read_text().replace('"../../rtl/', f'"{ROOT}/rtl/')
    body = text[text.index("    def psums(") :]
    path.write_text(text.replace(body, "    def psums(self):\n        return None\n"))
    code, out, _ = command(tb_check.main, "--dut", path)
    assert code == 1
    assert re.search(r"reset at any cycle leaves nothing behind +FAILED", out)
    assert "FAILED: missing output: " in out
    assert "mute.py IMAGES=1" in out


def test_checks_that_a_filter_leaves_out_are_told(command, monkeypatch):
    """A run of some of the tests never says that all checks passed."""
    monkeypatch.setenv("COCOTB_TEST_FILTER", "extreme|one_pixel")
    code, out, _ = command(tb_check.main)
    assert code == 0
    assert "All checks passed" not in out
    assert out.endswith("No failure, but 2 tests passed; COCOTB_TEST_FILTER leaves out 3.\n")


def test_the_guide_shows_the_adapter_that_is_tested():
    assert f"```python\n{SHIPPED[1].read_text()}```" in GUIDE.read_text()


@pytest.mark.verify
def test_the_guides_array_without_valid(command, tmp_path):
    """The guide's adapter of an array without a valid output runs the layer too."""
    blocks = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    (block,) = (block for block in blocks if "class NoValid" in block)
    path = tmp_path / "no_valid.py"
    path.write_text(block)
    results = tmp_path / "r.json"
    code, _, _ = command(main, "--dut", path, "--images", 1, "--results", results)
    assert code == 0
    assert json.loads(results.read_text())["psums_checked"] == 9 * 16 * 8


def test_a_third_array_takes_less_than_100_lines_of_what_the_guide_tells():
    """The guide has every import of the third adapter, and every attribute of an adapter."""
    lines = SHIPPED[2].read_text().splitlines()
    assert len(lines) < 100
    guide = GUIDE.read_text()
    for line in lines:
        if line.startswith("from tb."):
            assert line in guide
    for name in ("TOPLEVEL", "SOURCES", "PARAMETERS", "INCLUDES", "DEFINES", "CLOCK", *SIZES):
        assert f"`{name}`" in guide


@pytest.mark.verify
@pytest.mark.parametrize("path", SHIPPED[1:], ids=lambda path: path.stem)
def test_layer_on_another_array(path, command, tmp_path):
    """The trained layer, its table and its results; the table counts the PEs of that array."""
    results = tmp_path / "r.json"
    arguments = "--dut", path, "--images", 2, "--results", results, "--sim", SIMULATORS[0]
    code, out, _ = command(main, *arguments)
    assert code == 0
    result = json.loads(results.read_text())
    rows, cols = {"load_first_array": (8, 8), "dot_engine": (16, 4)}[path.stem]
    assert (result["array"], result["rows"], result["cols"]) == (path.stem, rows, cols)
    assert result["psums_checked"] == 2 * 9 * 16 * 8
    assert result["psum_mismatches"] == 0
    assert f"{path.stem}, {rows} × {cols}" in out
    assert f" of {rows * cols}\n" in re.sub(" +\n", "\n", out)


def test_links_of_the_guide():
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", GUIDE.read_text())
    assert len(links) >= 5
    for link in links:
        assert (GUIDE.parent / link).exists(), link


@pytest.mark.verify
def test_an_adapter_by_the_old_guide(command, tmp_path):
    """An adapter of version 0.1 runs, though its imports and relative sources are old paths."""
    (tmp_path / "rtl").symlink_to(ROOT / "rtl")
    path = tmp_path / "mine" / "old_adapter.py"
    path.parent.mkdir()
    path.write_text(Path(__file__).with_name("old_adapter.py").read_text())
    assert "from tb.adapter import" in path.read_text()
    code, out, _ = command(tb_check.main, "--dut", path)
    assert code == 0, out


@pytest.mark.parametrize("name", ["array.py", "load_first_array.py"])
def test_an_adapter_of_ours_by_its_old_path(name, capsys):
    assert adapter_class(ROOT / "tb" / name) is not None
    assert capsys.readouterr().err.startswith(f"note: tb/{name} lives in tb/")
