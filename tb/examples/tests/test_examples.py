"""What people's Verilog has: macros, include folders, parameters, ports and clocks of all kinds."""

import json
import re
import shutil

import pytest

from pymodel.support.files import ROOT
from tb.modules.module_table import SIMULATORS
from tb.run import check, layer

EXAMPLES = ROOT / "tb" / "examples"
TWO_CLOCKS, STRUCTS = EXAMPLES / "two_clocks.py", EXAMPLES / "struct_array.py"
LOAD_FIRST, DOT_ENGINE = EXAMPLES / "load_first_array.py", EXAMPLES / "dot_engine.py"
SLOW = pytest.mark.verify  # Verilator compiles for seconds


@pytest.mark.parametrize(
    "options",
    [
        (TWO_CLOCKS, "--sim", SIMULATORS[0]),
        (TWO_CLOCKS, "--rows", 16, "--cols", 3),
        (LOAD_FIRST, "--rows", 3, "--cols", 5),
        pytest.param((TWO_CLOCKS, "--sim", "verilator"), marks=SLOW),
        pytest.param((STRUCTS, "--sim", "verilator"), marks=SLOW),
    ],
    ids=lambda options: "-".join(str(getattr(one, "stem", one)) for one in options),
)
def test_the_examples_pass_make_check(command, options):
    """The last line repeats what the user gave."""
    code, out, _ = command(check.main, "--dut", *options)
    assert code == 0
    words = [f"{n}={v}" for n, v in zip(options[1::2], options[2::2], strict=True)]
    words = [w.removeprefix("--").replace("sim=", "SIM=") for w in words if w != "--sim=icarus"]
    wanted = f"make DUT=tb/examples/{options[0].name} {' '.join(words)}".strip()
    assert out.splitlines()[-1].lower().endswith(wanted.lower())


@SLOW
@pytest.mark.parametrize(
    ("options", "size"),
    [
        ((TWO_CLOCKS, "--sim", SIMULATORS[0]), (8, 4)),
        ((TWO_CLOCKS, "--sim", SIMULATORS[0], "--rows", 16, "--cols", 8), (16, 8)),
        ((STRUCTS, "--sim", "verilator"), (8, 8)),
    ],
)
def test_the_examples_run_the_layer(command, tmp_path, options, size):
    results = tmp_path / "r.json"
    code, _, _ = command(layer.main, "--images", 1, "--results", results, "--dut", *options)
    assert code == 0
    result = json.loads(results.read_text())
    assert (result["rows"], result["cols"]) == size
    assert result["psum_mismatches"] == 0
    assert result["psums_checked"] == 9 * 16 * 8


@pytest.mark.parametrize("main", [check.main, layer.main])
def test_a_size_that_the_array_does_not_take_is_no_pass(refused, main):
    """The adapter would drive another number of rows than the array has."""
    words = ["ROWS is 8, but DotEngine.rows is 16", "from which the adapter's __init__ takes it"]
    refused(main, "--dut", DOT_ENGINE, "--rows", 8, words=words)


def test_a_parameter_that_the_module_lacks_is_no_pass(refused, own):
    """Icarus would run another variant of the array than the one that the adapter names."""
    path, replace = own
    replace("two_clocks.py", "    latency = 1", '    PARAMETERS = {"SATURATE": 1}\n    latency = 1')
    words = ["SATURATE is 1, but two_clocks has no such parameter", "whose parameter takes"]
    refused(check.main, "--dut", path, words=words)


@pytest.fixture
def own(tmp_path):
    """Returns a copy of the array with two clocks, and a function that replaces text in it."""
    for name in ("two_clocks.py", "two_clocks.v"):
        shutil.copy(EXAMPLES / name, tmp_path)
    shutil.copytree(EXAMPLES / "include", tmp_path / "include")

    def replace(name, old, new):
        text = (tmp_path / name).read_text()
        assert text.count(old) == 1
        (tmp_path / name).write_text(text.replace(old, new))

    return tmp_path / "two_clocks.py", replace


def test_another_macro_is_another_build(command, own, monkeypatch):
    """A macro, and a file that is included from another folder, are part of what is compiled."""
    monkeypatch.setenv("COCOTB_TEST_FILTER", "extreme")
    path, replace = own
    replace("two_clocks.v", "] <= sum;", "] <= sum `PLUS;")
    replace("include/two_clocks.vh", "`define ACT_BITS", "`define PLUS\n`define ACT_BITS")
    assert command(check.main, "-q", "--dut", path)[0] == 0
    replace("include/two_clocks.vh", "`define PLUS\n", "`define PLUS + 1\n")
    code, out, _ = command(check.main, "-q", "--dut", path)
    assert (code, out[:16]) == (1, "FAILED: mismatch")
    replace("include/two_clocks.vh", "`define PLUS + 1\n", "")
    for value, expected in ((" ", 0), ("+ 1", 1)):
        defines = f'DEFINES = {{"PSUM_BITS": 16, "PLUS": "{value}"}}'
        text = path.read_text()
        path.write_text(re.sub(r"DEFINES = .*", defines, text))
        assert command(check.main, "-q", "--dut", path)[0] == expected
    path.write_text(text.replace("INCLUDES = ", "UNUSED = "))
    code, out, _ = command(check.main, "-q", "--dut", path)
    assert code == 1
    assert "two_clocks.vh" in out


@pytest.mark.parametrize(
    "fault",
    [
        ("two_clocks.py", "ClockCycles(self.clock, 16)", "ClockCycles(self.clock, 15)"),
        ("two_clocks.py", "weights[:, ::-1]", "weights"),
        ("two_clocks.py", "activations[:, ::-1]", "activations"),
        ("two_clocks.py", "in reversed(range(self.cols))", "in range(self.cols)"),
        ("two_clocks.py", '"PSUM_BITS": 16', '"PSUM_BITS": 15'),
        ("include/two_clocks.vh", "WEIGHT_BITS 4", "WEIGHT_BITS 3"),
    ],
    ids=lambda fault: fault[1].strip(),
)
def test_a_wrong_connection_is_no_pass(command, own, fault):
    path, replace = own
    replace(*fault)
    assert command(check.main, "-q", "--dut", path)[0] != 0


@SLOW
def test_an_adapter_of_ports_alone_sees_nothing_else(command, tmp_path):
    """On Verilator the signals inside are not there; the message names file and line."""
    text = LOAD_FIRST.read_text().replace('"../../rtl/', f'"{ROOT}/rtl/')
    path, inside = tmp_path / "mine.py", "        self.dut.g_row[0].g_col[0].pe.weight_o.value\n"
    for ports_only, line, code in ((True, "", 0), (False, inside, 0), (True, inside, 1)):
        body = text.replace("    TOPLEVEL", f"    PORTS_ONLY = {ports_only}\n    TOPLEVEL")
        begin = "    async def reset(self):\n"
        path.write_text(body.replace(begin, begin + line))
        found, out, _ = command(check.main, "-q", "--dut", path, "--sim", "verilator")
        assert found == code
        assert ("mine.py, line " in out) == bool(code)


def test_icarus_names_verilator_where_it_does_not_know_the_language(command):
    code, out, _ = command(check.main, "--dut", STRUCTS)
    assert code == 1
    assert out.endswith("(Icarus supports little of SystemVerilog; SIM=verilator supports it)\n")
