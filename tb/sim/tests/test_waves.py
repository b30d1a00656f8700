"""Every signal that a GTKWave save file names exists in the array, with the width it states."""

import io
import re

import cocotb
import pytest
from vcd.gtkw import GTKWSave

from pymodel.support.files import ROOT
from tb.run import layer
from tb.sim import waves
from tb.sim.run import run_bench
from tb.sim.sources import faulty_rtl
from tb.sim.waves import trace_array, trace_top
from tb.testplan.modules import SIMULATORS

# Ours by row and column; another array's top module: 9 ports and 4 other signals.
SIGNALS = {"systolic_array": 7 + 8 + 8 + 64 * 7, "load_first_array": 9 + 4}


@cocotb.test()
async def every_signal_exists(dut):
    """Walk the hierarchy to each name in the save file."""
    top = dut._name
    file = io.StringIO()
    if top == "systolic_array":
        trace_array(GTKWSave(file))
    else:
        trace_top(GTKWSave(file), dut, "clk_i")
    names = re.findall(rf"^(?:\+\{{.*\}} )?{top}\.(\S+)$", file.getvalue(), re.MULTILINE)
    assert len(names) == SIGNALS[top]
    for name in names:
        handle = dut
        for part in name.split("."):
            word, high, low = re.fullmatch(r"(\w+)(?:\[(\d+)(?::(\d+))?\])?", part).groups()
            handle = getattr(handle, word)
            if low is not None:
                assert len(handle) == int(high) - int(low) + 1, name
            elif high is not None:
                handle = handle[int(high)]


@pytest.mark.parametrize("top", SIGNALS)
@pytest.mark.parametrize("simulator", SIMULATORS)
def test_save_file(simulator, top):
    run_bench("tb.sim.tests.test_waves", top, simulator=simulator, variant=top)


def test_main_job_keeps_the_waveform_of_a_failing_run_too(command, monkeypatch, tmp_path):
    monkeypatch.setattr(layer, "WAVEFORM", tmp_path / "w.fst")
    monkeypatch.setattr(waves, "WAVEFORM", tmp_path / "w.fst")
    rtl = faulty_rtl(tmp_path, "pe.v", ("<= psum_i + product", "<= psum_i - product"))
    code, _, _ = command(
        layer.main, "--images", 1, "--waves", "--rtl", rtl, "--results", tmp_path / "r.json"
    )
    assert code == 1
    assert (tmp_path / "w.fst").stat().st_size > 0
    assert str(tmp_path / "w.fst") in (tmp_path / "w.gtkw").read_text()


def test_another_arrays_waveform(command, monkeypatch, tmp_path):
    """Copied, and its save file names the signals of that array's top module."""
    monkeypatch.setattr(layer, "WAVEFORM", tmp_path / "w.fst")
    monkeypatch.setattr(waves, "WAVEFORM", tmp_path / "w.fst")
    dut = ROOT / "tb" / "examples" / "dot_engine.py"
    code, _, _ = command(
        layer.main, "--images", 1, "--waves", "--dut", dut, "--results", tmp_path / "r.json"
    )
    assert code == 0
    assert (tmp_path / "w.fst").stat().st_size > 0
    names = (tmp_path / "w.gtkw").read_text().splitlines()
    assert {"dot_engine.clk", "dot_engine.rst_n", "dot_engine.p_data[127:0]"} <= {*names}
