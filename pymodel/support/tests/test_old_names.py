"""Old names in a user's script or adapter go on working, and each prints one note."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pymodel.support.files import ROOT

OLD = sorted(
    f"{package}.{path.stem}"
    for package in ("pymodel", "tb")
    for path in (ROOT / package / "old_names").glob("[!_]*.py")
)


def python(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=environment, capture_output=True, text=True
    )


def test_every_old_name_is_the_new_module(monkeypatch, capsys):
    """Old names give the same classes, so old adapters count as adapters, with a note each."""
    for name in OLD:
        monkeypatch.delitem(sys.modules, name, raising=False)
        module = importlib.import_module(name)
        assert module.__name__ != name
        assert module is sys.modules[module.__name__]
        assert f"note: {name} lives in " in capsys.readouterr().err
    assert len(OLD) > 25


@pytest.mark.parametrize(
    "name",
    [
        "tb.mutate",
        *(
            pytest.param(name, marks=pytest.mark.verify)
            for name in ("pymodel.export", "tb.layer", "tb.bench")
        ),
    ],
)
def test_a_command_runs_by_its_old_name(name):
    done = python("-m", name, "--help")
    assert (done.returncode, done.stderr.count("\n")) == (0, 1), done.stderr
    assert done.stdout.startswith("usage: python -m ")
    assert f"note: {name} lives in " in done.stderr


def test_an_unknown_old_name_is_an_error(tmp_path):
    assert "No module named 'tb.nothing'" in python("-c", "import tb.nothing").stderr
