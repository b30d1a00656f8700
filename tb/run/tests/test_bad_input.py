"""A user's mistake gets one line, exit code 2, and leaves no results behind."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pymodel.checkpoint import SHIPPED
from pymodel.support.files import ROOT
from tb.run import accuracy, layer
from tb.sim import waves


@pytest.mark.parametrize("count", ["0", "-1", "101", "abc", "", "1.5", "1e1"])
def test_images(refused, count, tmp_path):
    results = tmp_path / "r.json"
    refused(
        layer.main,
        f"--images={count}",
        "--results",
        results,
        words=[f"IMAGES is '{count}'", "from 1 to 100"],
    )
    assert not results.exists()


def test_set_up_without_the_right_to_install(tmp_path):
    """Without Icarus and without a package manager, one line says what to type."""
    shutil.copy(ROOT / "setup.sh", tmp_path)
    commands = tmp_path / "bin"
    commands.mkdir()
    for name in ("sh", "env", "id", "dirname"):
        (commands / name).symlink_to(shutil.which(name))
    (commands / "python3").symlink_to(Path(sys.executable).resolve())
    result = subprocess.run(
        ["sh", "setup.sh"],
        cwd=tmp_path,
        env={"PATH": str(commands)},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert "type: sudo apt-get install iverilog" in result.stderr
    assert not (tmp_path / ".venv").exists()


@pytest.mark.parametrize(("name", "missing"), [("questa", "vsim"), ("xcelium", "xrun")])
def test_simulator_that_is_passed_on_is_not_there(refused, name, missing):
    words = [f"SIM={name} needs '{missing}'", "icarus and verilator are free"]
    refused(layer.main, "--sim", name, words=words)


def test_sweeps_take_no_simulator_that_they_are_untested_with(refused):
    refused(accuracy.main, "--sim", "questa", words=["SIM is 'questa', expected icarus or veri"])


def test_questa_is_passed_on_to_cocotb(command, monkeypatch, tmp_path):
    """With commands of Questa that only note their arguments, a run starts, but never passes."""
    calls = tmp_path / "calls"
    for name in ("vlib", "vlog", "vsim"):
        script = tmp_path / name
        script.write_text(f'#!/bin/sh\necho {name} "$@" >> {calls}\n')
        script.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    results = tmp_path / "layer.json"
    code, out, _ = command(layer.main, "--sim", "questa", "--images", 1, "--results", results)
    assert code == 1
    assert "SIM=questa is passed on to cocotb; this project is untested with it" in out
    assert "FAILED: " in out
    assert not results.exists()
    compiled, run = (
        next(line for line in calls.read_text().splitlines() if line.startswith(name))
        for name in ("vlog", "vsim")
    )
    assert str(ROOT / "rtl" / "systolic_array.v") in compiled
    assert " systolic_array.systolic_array " in run
    assert "libcocotbvpi_modelsim" in run


def test_unknown_simulator(refused):
    refused(layer.main, "--sim", "modelsim", words=["SIM is 'modelsim'", "icarus or verilator"])


@pytest.mark.parametrize(("name", "missing"), [("icarus", "iverilog"), ("verilator", "g++")])
def test_simulator_not_installed(refused, monkeypatch, tmp_path, name, missing):
    monkeypatch.setenv("PATH", str(tmp_path))
    refused(layer.main, "--sim", name, words=[f"needs '{missing}'", "apt-get install"])


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("features.99", "not in the network"),
        ("features.0", "a Conv2d"),
        ("", "a VGG16"),
        ("features.39", "last convolution"),
    ],
)
def test_layer(refused, name, found):
    refused(layer.main, "--layer", name, words=[f"layer '{name}'", found, "expected"])


def test_seed(refused, monkeypatch):
    monkeypatch.setenv("COCOTB_RANDOM_SEED", "abc")
    refused(layer.main, words=["COCOTB_RANDOM_SEED is 'abc'", "whole number"])


def test_no_sources(refused, tmp_path):
    refused(layer.main, "--rtl", tmp_path, words=[str(tmp_path), "no Verilog sources"])


def test_checkpoint_missing(refused, tmp_path):
    refused(layer.main, "--model", tmp_path / "none", words=["none: not found"])


def test_checkpoint_truncated(refused, tmp_path):
    path = tmp_path / "half.safetensors"
    path.write_bytes(SHIPPED.read_bytes()[:100_000])
    refused(layer.main, "--model", path, words=["half.safetensors", "truncated"])


def test_waveform_before_it_was_written(refused, monkeypatch, tmp_path):
    monkeypatch.setattr(waves, "WAVES", tmp_path)
    refused(waves.main, words=["layer.fst: not found, there is none", "make WAVES=1"])
    (tmp_path / "core.fst").touch()
    refused(waves.main, "mismatch", words=["mismatch.fst: not found, there is core"])
