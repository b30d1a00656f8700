"""Holds the fixtures that all tests share.

PyTorch is imported only where a test runs: the process that hands tests out, and every collection,
would wait for the import.
"""

import os
import sys
from pathlib import Path

import pytest

import pymodel.support.command as commands
from pymodel.support.command import run_command
from pymodel.support.compiled_files import compile_changed
from tb.sim.simulators import asserts_left_out

# `pytest -n` already runs one process per core; commands that tests start inherit this.
os.environ.setdefault("OMP_NUM_THREADS", "1")
compile_changed()  # an edit just after a run counts, and a simulation starts sooner
# These files stand for modules that moved, and print a note when they are imported.
collect_ignore_glob = ["pymodel/old_names/*", "tb/old_names/*", "tb/run/tests/old_adapter.py"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the option with which make test runs."""
    parser.addoption(
        "--all-must-run",
        action="store_true",
        help="fail unless every test that was collected ran, or was skipped with a reason",
    )


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Fails a run that would pass although tests that it collected did not run."""
    if not session.config.getoption("--all-must-run") or hasattr(session.config, "workerinput"):
        return
    said = session.config.pluginmanager.get_plugin("terminalreporter").stats
    ran = sum(
        getattr(report, "when", "call") == "call" or report.outcome != "passed"
        for outcome in ("passed", "skipped", "failed", "error", "xfailed", "xpassed")
        for report in said.get(outcome, ())
    )
    if exitstatus == pytest.ExitCode.OK and not 0 < session.testscollected == ran:
        print(f"\nFAILED: {ran} of {session.testscollected} tests ran, expected all of them")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_configure(config: pytest.Config) -> None:
    """Refuses to run tests where Python leaves out their assert statements.

    Where all tests must run, no variable leaves out tests of the benches.
    """
    if reason := asserts_left_out():
        raise pytest.UsageError(reason)
    if config.getoption("--all-must-run"):
        if config.rootpath == Path(__file__).parent and config.inipath.name != "pyproject.toml":
            raise pytest.UsageError(
                f"{config.inipath}: pytest takes its settings from this file, expected those of "
                "pyproject.toml, which say where all tests are"
            )
        for name in ("COCOTB_TEST_FILTER", "COCOTB_TESTCASE"):
            if os.environ.pop(name, None):
                print(f"{name} is left out: all tests must run")


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leaves out modules without tests and examples, so that they are not imported for nothing."""
    name = collection_path.name
    if collection_path.suffix != ".py" or name.startswith("test_"):
        return None
    return True if ">>> " not in collection_path.read_text() else None


@pytest.fixture(scope="session")
def shipped():
    """Returns the shipped network, in evaluation mode."""
    from pymodel.checkpoint import load_checkpoint

    return load_checkpoint()[0]


@pytest.fixture(scope="session")
def images():
    """Returns the shipped images, an `ImageSet` of 100."""
    from pymodel.images import load_images

    return load_images()


@pytest.fixture
def command(monkeypatch, capsys):
    """Returns a function that runs a command's `main` with arguments.

    That function returns the exit code, the standard output and the standard error.
    """

    monkeypatch.setattr(commands, "_quiet", False)  # monkeypatch restores it after the test

    def run(main, *arguments):
        monkeypatch.setattr(sys, "argv", ["command", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            run_command(main)
        return stop.value.code, *capsys.readouterr()

    return run


@pytest.fixture
def refused(command):
    """Returns a function that asserts that a command refuses its arguments.

    The command must end with exit code 2 and one line on standard error that holds all of `words`.
    That function returns the line.
    """

    def run(main, *arguments, words):
        code, _, err = command(main, *arguments)
        assert code == 2
        assert err.count("\n") == 1, err
        for word in words:
            assert word in err
        return err

    return run
