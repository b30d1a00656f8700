"""Every signal that the GTKWave save file names exists in the array, with the width it states."""

import io
import re

import cocotb
import pytest

from tb import layer, waves
from tb.simulator import run_bench
from tb.testing import SIMULATORS, faulty_rtl
from tb.waves import write_save_file


@cocotb.test()
async def every_signal_exists(dut):
    """Walk the hierarchy to each name in the save file."""
    file = io.StringIO()
    write_save_file(file)
    names = re.findall(r"^(?:\+\{.*\} )?systolic_array\.(\S+)$", file.getvalue(), re.MULTILINE)
    assert len(names) == 7 + 8 + 8 + 64 * 7
    for name in names:
        handle = dut
        for part in name.split("."):
            word, high, low = re.fullmatch(r"(\w+)(?:\[(\d+)(?::(\d+))?\])?", part).groups()
            handle = getattr(handle, word)
            if low is not None:
                assert len(handle) == int(high) - int(low) + 1, name
            elif high is not None:
                handle = handle[int(high)]


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_save_file(simulator):
    run_bench("tb.test_waves", "systolic_array", simulator=simulator)


def test_main_job_keeps_the_waveform_of_a_failing_run_too(command, monkeypatch, tmp_path):
    monkeypatch.setattr(layer, "WAVEFORM", tmp_path / "w.fst")
    monkeypatch.setattr(waves, "WAVEFORM", tmp_path / "w.fst")
    monkeypatch.setattr(waves, "SAVE_FILE", tmp_path / "w.gtkw")
    rtl = faulty_rtl(tmp_path, "pe.v", ("psum_i + ", "psum_i - "))
    code, _, _ = command(
        layer.main, "--images", 1, "--waves", "--rtl", rtl, "--results", tmp_path / "r.json"
    )  # fmt: skip
    assert code == 1
    assert (tmp_path / "w.fst").stat().st_size > 0
    assert str(tmp_path / "w.fst") in (tmp_path / "w.gtkw").read_text()
