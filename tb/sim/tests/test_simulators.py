"""Without assert statements no bench and no test runs, because a fault would pass."""

import os
import subprocess
import sys

import pytest

from pymodel.support.files import ROOT
from tb.run import check
from tb.sim.simulators import SETTING, asserts_left_out, leave_out_settings


@pytest.mark.parametrize("value", ["1", "2", "yes"])
def test_a_bench_is_refused(refused, monkeypatch, value):
    monkeypatch.setenv("PYTHONOPTIMIZE", value)
    refused(check.main, words=[f"PYTHONOPTIMIZE is '{value}'", "unset it"])


@pytest.mark.parametrize("value", ["", "0", None])
def test_a_variable_that_does_nothing_is_no_reason(monkeypatch, value):
    monkeypatch.delenv("PYTHONOPTIMIZE", raising=False)
    if value is not None:
        monkeypatch.setenv("PYTHONOPTIMIZE", value)
    assert asserts_left_out() is None


def pytest_said(*options: str, **variables: str) -> tuple[int, str]:
    """Returns the exit code of pytest on one test of a bench, and what it said of an error."""
    command = [sys.executable, *options, "-m", "pytest", "-q", "tb/test_delay.py", "--collect-only"]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | variables, capture_output=True, text=True
    )
    return done.returncode, done.stderr


def test_pytest_is_refused():
    code, err = pytest_said(PYTHONOPTIMIZE="1")
    assert (code, err.strip()) == (
        pytest.ExitCode.USAGE_ERROR,
        "ERROR: PYTHONOPTIMIZE is '1': benches would judge without their asserts; unset it",
    )


@pytest.mark.verify
def test_pytest_is_refused_with_the_option_of_python():
    code, err = pytest_said("-O")
    assert (code, "Python was started with -O" in err) == (pytest.ExitCode.USAGE_ERROR, True)
    assert pytest_said()[0] == 0


def test_variables_that_change_a_bench_are_left_out_where_results_are_kept(monkeypatch, capsys):
    """Only the seed, the filter, and what changes how text is written stay."""
    for name in list(os.environ):
        if SETTING.fullmatch(name):
            monkeypatch.delenv(name)
    changing = ("COCOTB_TRUST_INERTIAL_WRITES", "GPI_LOG_LEVEL", "PLUS_ARGS", "PYTHONWARNINGS")
    staying = ("COCOTB_RANDOM_SEED", "PYTHONUNBUFFERED", "CIFAR10_ROOT", "SIMULATION", "HOME")
    for name in (*changing, *staying):
        monkeypatch.setenv(name, "1")
    leave_out_settings()
    assert not set(changing) & set(os.environ)
    assert set(staying) <= set(os.environ)
    said = f"Left out, because results are kept: {', '.join(sorted(changing))}\n"
    assert capsys.readouterr().out == said
    leave_out_settings()
    assert capsys.readouterr().out == ""
