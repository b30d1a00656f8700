"""The main job fails on each fault in the RTL, with the right exit code and message."""

import json
from xml.etree import ElementTree

import pytest

from tb.modules.module_table import SIMULATORS
from tb.run.layer import main
from tb.sim.sources import faulty_rtl

# Verilog that counts the outputs, for a fault in one of them
COUNTER = """
  reg [31:0] count = 0;
  always @(posedge clk_i) count <= rst_i ? 0 : count + valid_taps[LATENCY];
  assign psum_valid_o = """
VALID = "assign psum_valid_o = "
OUTPUTS = 9 * 16  # psum vectors of one image


@pytest.fixture
def run(command, tmp_path):
    """Returns a function that replaces (old, new) in one source and runs one image.

    The function returns exit code, output and results.
    """

    def run(source, *replacements, simulator="icarus"):
        rtl = faulty_rtl(tmp_path, source, *replacements)
        results = tmp_path / "layer.json"
        code, out, _ = command(
            main, "--quiet", "--rtl", rtl, "--images", 1, "--sim", simulator, "--results", results
        )
        return code, out, json.loads(results.read_text()) if results.exists() else None

    return run


@pytest.mark.verify
def test_mismatch_names_the_place(run, tmp_path):
    width = "PSUM_WIDTH - WEIGHT_WIDTH"
    right, wrong = f"{{({width}){{weight[WEIGHT_WIDTH-1]}}}}", f"{{({width}){{1'b0}}}}"
    code, out, result = run("pe.v", (right, wrong))
    assert code == 1
    assert result["psum_mismatches"] > 0
    # As JUnit, for continuous integration
    (case,) = ElementTree.parse(tmp_path / "results.xml").iter("testcase")
    assert case.get("name") == "every_psum_matches_pytorch"
    assert "mismatch: image 0" in case.find("failure").get("message")
    for word in (
        "mismatch: image 0",
        "kernel position (0, ",
        "pixel (",
        "channel ",
        "cycle ",
        "expected ",
        "got ",
    ):
        assert word in out


@pytest.mark.verify
def test_one_wrong_bit_in_one_psum_of_all_is_found(run):
    """Output 100 of 144 is in tile 6, pixel 4; its column 0 waits 7 cycles at the south edge."""
    code, out, result = run(
        "systolic_array.v",
        (VALID, COUNTER),
        (".data_i(psum_skewed)", ".data_i(psum_skewed ^ (count == 93))"),
    )
    assert code == 1
    assert result["psum_mismatches"] == 1
    assert "image 0, kernel position (2, 0), pixel (1, 0), cycle 123, channel 0: " in out


@pytest.mark.verify
@pytest.mark.parametrize("simulator", SIMULATORS)
def test_missing_output(run, simulator):
    code, out, _ = run(
        "systolic_array.v", (VALID, f"{COUNTER} count < {OUTPUTS - 1} && "), simulator=simulator
    )
    assert code == 1
    assert f"missing output: 1 of {OUTPUTS} did not come, the first is image 0" in out
    assert "kernel position (2, 2), pixel (3, 3)" in out


@pytest.mark.verify
@pytest.mark.parametrize("simulator", SIMULATORS)
def test_extra_output(run, simulator):
    code, out, _ = run(
        "systolic_array.v", (VALID, f"{COUNTER} count == {OUTPUTS} || "), simulator=simulator
    )
    assert code == 1
    assert "extra output at cycle" in out


@pytest.mark.verify
def test_x_in_a_psum(run):
    """A swap that is ignored leaves the weights unknown, and the X in the psums is found."""
    code, out, _ = run("pe.v", ("swap_i ? shadow : active", "active"))
    assert code == 1
    assert "X or Z at cycle" in out


@pytest.mark.verify
def test_x_is_found_whatever_the_environment_resolves_it_to(run, monkeypatch):
    monkeypatch.setenv("COCOTB_RESOLVE_X", "zeros")
    code, out, _ = run("pe.v", ("swap_i ? shadow : active", "active"))
    assert code == 1
    assert "X or Z at cycle" in out


@pytest.mark.verify
def test_z_in_a_psum(run):
    """An output that nothing drives is found."""
    code, out, _ = run("systolic_array.v", (".data_o(psum_o)", ".data_o()"))
    assert code == 1
    assert "X or Z at cycle" in out


@pytest.mark.verify
def test_verilator_starts_from_random_values(run):
    """Verilator has no X, but a valid that no reset clears gives extra or wrong outputs."""
    code, out, _ = run(
        "systolic_array.v",
        ("valid_stages <= rst_i ? {LATENCY{1'b0}} : ", "valid_stages <= "),
        simulator="verilator",
    )
    assert code == 1
    assert "mismatch" in out or "extra output" in out


@pytest.mark.verify
def test_x_on_valid(run):
    code, out, _ = run(
        "systolic_array.v", ("valid_stages <= rst_i ? {LATENCY{1'b0}} : ", "valid_stages <= ")
    )
    assert code == 1
    assert "X or Z at cycle 0: psum_valid_o is X" in out


@pytest.mark.verify
def test_no_output_at_all(run):
    code, out, _ = run("systolic_array.v", (VALID, "assign psum_valid_o = 1'b0 && "))
    assert code == 1
    assert f"missing output: {OUTPUTS} of {OUTPUTS}" in out


@pytest.mark.verify
def test_nothing_compared(run, monkeypatch):
    """A run whose filter leaves no test does not pass."""
    monkeypatch.setenv("COCOTB_TEST_FILTER", "no_such_test")
    code, out, result = run("pe.v")
    assert code == 1
    assert "no cocotb test ran" in out
    assert result is None


def test_a_source_that_does_not_compile(run):
    code, out, _ = run("pe.v", ("endmodule", ""))
    assert code == 1
    assert "FAILED" in out
