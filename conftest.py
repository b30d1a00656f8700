"""Fixtures for all tests."""

import sys

import pytest
import torch

import pymodel.support.command as commands
from pymodel.checkpoint import load_checkpoint
from pymodel.images import load_images
from pymodel.support.command import run_command
from pymodel.support.fresh import forget_compiled

forget_compiled()  # or an edit just after a run might go unseen
# They stand for modules that moved, and say so when they are imported.
collect_ignore_glob = ["pymodel/moved/*", "tb/moved/*", "tb/run/tests/old_adapter.py"]


@pytest.fixture(autouse=True)
def _one_thread():
    """pytest -n runs a process per core; more threads than that only get in each other's way."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def shipped():
    """The shipped network."""
    return load_checkpoint()[0]


@pytest.fixture(scope="session")
def images():
    """The shipped images."""
    return load_images()


@pytest.fixture
def command(monkeypatch, capsys):
    """Run a command's `main` with arguments; its exit code, standard output and standard error."""

    monkeypatch.setattr(commands, "_quiet", False)  # and back after the test

    def run(main, *arguments):
        monkeypatch.setattr(sys, "argv", ["command", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            run_command(main)
        return stop.value.code, *capsys.readouterr()

    return run


@pytest.fixture
def refused(command):
    """Assert that a command refuses its arguments with one line that holds all of `words`."""

    def run(main, *arguments, words):
        code, _, err = command(main, *arguments)
        assert code == 2
        assert err.count("\n") == 1, err
        for word in words:
            assert word in err
        return err

    return run
