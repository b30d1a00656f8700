"""Without assert statements no bench and no test runs, because a fault would pass."""

import os
import subprocess
import sys

import pytest

from pymodel.support.files import ROOT
from tb.run import check
from tb.sim.simulators import asserts_left_out


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
