"""Arrays and core as gates pass their own benches, and gates that are wrong do not.

These tests run a part of the benches; `make netlist` runs all.
"""

import json
import random
import re
import shutil

import pytest

from pymodel.support.errors import InputError
from pymodel.support.files import ROOT, temporary_folder
from tb.gates import benches_on_gates
from tb.gates.benches_on_gates import DESIGNS, Netlist, run, synthesise, wrapper
from tb.gates.synthesis import yosys
from tb.sim.kept_results import Store
from tb.sim.simulators import random_seed
from tb.sim.sources import RTL, faulty_rtl

CORE, ARRAY = (next(d for d in DESIGNS if d.name == n) for n in ("core 4x4", "systolic_array 2x3"))
SOME = r"\.(largest_sums_are_exact|kept_packets_serve_again)$"  # of the core's bench


@pytest.fixture
def make(command, tmp_path):
    """Returns a function that runs the command; it returns exit code, output and results."""

    def make(*arguments):
        results = tmp_path / "netlist.json"
        code, out, _ = command(benches_on_gates.main, "--results", results, *arguments)
        return code, out, json.loads(results.read_text())

    return make


def changed(made: Netlist, folder, gate: str, old: str, new: str) -> Netlist:
    """Returns a copy of a netlist in which one gate that `gate` matches is another gate.

    The seed draws the gate.
    """
    shutil.copytree(made.folder, folder / "gates")
    path = folder / "gates" / "gates.v"
    text = path.read_text()
    found = random.Random(random_seed()).choice(list(re.finditer(gate, text, re.MULTILINE)))
    print(found[0])
    path.write_text(text[: found.start()] + found[0].replace(old, new) + text[found.end() :])
    return Netlist(path.parent, made.gates)


def test_an_array_and_one_gate_of_it_changed(tmp_path):
    """The gates pass the bench that the RTL passes; with an OR instead of any AND they fail."""
    made = synthesise(ARRAY)
    assert made.gates > 500
    bench = "tb.test_systolic_array"
    tests = (ROOT / "tb" / "test_systolic_array.py").read_text().count("@cocotb.test(")
    right = run(ARRAY, made, bench, fresh=True)
    assert (right.tests, right.failed) == (tests, 0)
    wrong = changed(made, tmp_path, r"^  assign .+ = [^&|^?\n]+ & [^&|^?\n]+;$", " & ", " | ")
    outcome = run(ARRAY, wrong, bench)
    assert outcome.failed > 0
    assert "tile" in outcome.message


@pytest.fixture
def in_build():
    """Yields a folder below build/, since Yosys as WebAssembly sees this project alone."""
    with temporary_folder("netlist-test", ROOT / "build") as folder:
        yield folder


def test_no_netlist_is_kept_of_rtl_that_changed_meanwhile(tmp_path, in_build, monkeypatch):
    """Its gates could be of other RTL than its key, also if the RTL is the same in the end."""
    rtl, kept = shutil.copytree(RTL, tmp_path / "rtl"), Store("netlist", in_build / "kept")

    def change(*arguments):
        yosys(*arguments)
        (rtl / "pe.v").write_text((rtl / "pe.v").read_text())

    monkeypatch.setattr(benches_on_gates, "NETLISTS", kept)
    monkeypatch.setattr(benches_on_gates, "yosys", change)
    with pytest.raises(InputError, match=r"pe\.v: changed while the command ran"):
        synthesise(ARRAY, rtl)
    assert not list(kept.folder.iterdir())
    monkeypatch.setattr(benches_on_gates, "yosys", yosys)
    assert synthesise(ARRAY, rtl).folder.parent == kept.folder


@pytest.mark.verify
def test_the_core_and_one_gate_of_it_changed(tmp_path):
    """The core as gates, with memories as they are, passes; one changed gate makes it fail.

    The changed gate is one of the ANDs that clear the sums.
    """
    made = synthesise(CORE)
    assert made.gates > 15_000
    text = (made.folder / "gates.v").read_text()
    assert re.search(r"reg \[15:0\] \\act_ram.ram.words +\[239:0\];", text)
    right = run(CORE, made, "tb.test_core", only=SOME, fresh=True)
    assert (right.tests, right.failed) == (2, 0)
    clearing = r"^  assign \\accumulator\.sums\.write_data_i \[\d+\] = [^&\n]+ & [^&\n]+;$"
    wrong = changed(made, tmp_path, clearing, " & ", " | ")
    outcome = run(CORE, wrong, "tb.test_core", only=SOME)
    assert outcome.failed > 0
    where = r"(mismatch|X or Z on m_axis_tdata): output tile \d, image \d, pixel .*, channel \d"
    assert re.match(where, outcome.message)


@pytest.mark.verify
def test_the_command(make, tmp_path):
    """The command writes its results and keeps what passed; faulty RTL makes gates that fail."""
    some = ("--only", "2x3", "--workers", 1)
    code, out, result = make(*some, "--fresh")
    assert code == 0, out
    arrays = ("systolic_array", "load_first_array", "reconfigurable_array")
    assert list(result["gates"]) == [f"{name} 2x3" for name in arrays]
    assert min(result["gates"].values()) > 500
    assert (result["tests"], result["failed"], result["psums_checked"]) == (3, 0, 0)
    assert make(*some)[2] == result

    sign = "{(PSUM_WIDTH - WEIGHT_WIDTH){weight[WEIGHT_WIDTH-1]}}"
    dropped = sign.replace("weight[WEIGHT_WIDTH-1]", "1'b0")
    rtl = faulty_rtl(tmp_path, "pe.v", (sign, dropped))
    code, out, result = make(*some, "--rtl", rtl)
    assert code == 1
    assert "FAILED: systolic_array 2x3, tb.test_contract: diagram 0, cycle " in out
    assert (result["tests"], result["failed"]) == (3, 1)  # the other arrays have other PEs


def test_a_wrapper_has_the_parameters_and_ports_of_the_rtl():
    """The wrapper also connects each of the ports to the gates."""
    for top in {design.top for design in DESIGNS}:
        text = wrapper(top)
        ports = re.findall(r"^ +(?:in|out)put .*?(\w+),?$", text, re.MULTILINE)
        assert {"clk_i", "rst_i"} < {*ports}
        assert re.findall(r"^    \.(\w+)\(\1\)", text, re.MULTILINE) == ports


def test_bad_input(refused, tmp_path):
    refused(benches_on_gates.main, "--rtl", tmp_path, words=["holds no Verilog sources"])
    refused(benches_on_gates.main, "--only", "9x9", words=["--only is '9x9'", "core 4x4"])
    refused(benches_on_gates.main, "--workers", 0, words=["--workers is 0"])
    for design in DESIGNS:
        (tmp_path / f"{design.top}.v").write_text("module m (input wire clk_i;\nendmodule\n")
    refused(benches_on_gates.main, "--rtl", tmp_path, words=["syntax error"])
