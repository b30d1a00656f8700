"""A bench is refused in surroundings in which it would judge wrongly, or could not be built."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pymodel.support.errors import InputError
from pymodel.support.files import ROOT
from tb.run import check
from tb.sim.errors import BenchError
from tb.sim.run_bench import run_bench
from tb.sim.simulators import (
    NOT_IN_BUILDS,
    NOT_IN_SOURCES,
    SETTING,
    asserts_left_out,
    check_paths,
    environment,
    leave_out_settings,
    simulator_identity,
)
from tb.sim.sources import RTL


@pytest.mark.parametrize("simulator", ["icarus", "verilator"])
def test_a_simulator_is_the_same_inside_the_environment_of_a_run(monkeypatch, simulator):
    """A worker of a sweep inherits that environment; no other Verilator need be on PATH."""
    of = simulator_identity.__wrapped__  # each process remembers what it found first
    folders = os.environ["PATH"].split(os.pathsep)
    without = [one for one in folders if not (Path(one) / "verilator").exists()]
    monkeypatch.setenv("PATH", os.pathsep.join(without))
    outside = of(simulator)
    with environment(simulator):
        assert of(simulator) == outside


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
    changing = ("COCOTB_TRUST_INERTIAL_WRITES", "GPI_LOG_LEVEL", "PLUS_ARGS", "PYTEST_ADDOPTS")
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


@pytest.mark.parametrize("simulator", NOT_IN_BUILDS)
def test_a_path_that_a_simulator_cannot_use_is_refused(simulator):
    good, source = Path("/some/good.folder-1"), Path("/some/pe.v")
    check_paths(simulator, good, [source])
    for character in NOT_IN_BUILDS[simulator]:
        with pytest.raises(InputError, match="cannot use a path with") as raised:
            check_paths(simulator, Path(f"/some/a{character}b"), [source])
        assert f"a path with {character!r}, expected one without" in str(raised.value)
    for character in NOT_IN_SOURCES[simulator]:
        with pytest.raises(InputError, match="cannot use a path with"):
            check_paths(simulator, good, [source, Path(f"/some/a{character}b/pe.v")])


def run_in(folder: Path, simulator: str) -> None:
    """Runs a bench with its source in `folder`, which is made."""
    folder.mkdir(parents=True)
    source = shutil.copy(RTL / "delay.v", folder)
    run_bench(
        "tb.test_delay",
        "delay",
        simulator=simulator,
        parameters={"WIDTH": 8, "CYCLES": 1},
        sources=[Path(source)],
    )


def test_only_what_does_not_work_is_refused(monkeypatch, tmp_path):
    """A source runs in a folder with many odd characters; where it is refused, it would not run."""
    run_in(tmp_path / "a b'#$;*\\%?&é:", "icarus")
    with pytest.raises(InputError, match="cannot use a path with"):
        run_in(tmp_path / 'a"b', "icarus")
    monkeypatch.setitem(NOT_IN_SOURCES, "icarus", "")
    with pytest.raises(BenchError):
        run_in(tmp_path / 'c"d', "icarus")
