"""Modules are what their sources say, and importing the project changes nothing in the process."""

import os
import subprocess
import sys
import time

import pytest

from pymodel.support.files import ROOT

READ = "from edited import VALUE; print(VALUE)"


@pytest.mark.parametrize(
    ("first", "seen"),
    [
        (
            "import sys; from pathlib import Path; "
            "from pymodel.support.fresh import forget_compiled; "
            "forget_compiled(Path(sys.argv[1]))",
            ["1", "2"],
        ),
        ("pass", ["1", "1"]),
    ],
    ids=["a command", "plain Python, which takes the compiled file"],
)
def test_an_edit_within_the_same_second_counts(first, seen, tmp_path):
    """An edit counts although its size is the same and plain Python has compiled the source."""
    room = tmp_path / "tb"
    room.mkdir()
    environment = os.environ | {"PYTHONPATH": os.pathsep.join((str(ROOT), str(room)))}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    found = []
    for value, program in ((1, READ), (2, f"{first}; {READ}")):
        (room / "edited.py").write_text(f"VALUE = {value}\n")
        os.utime(room / "edited.py", (time.time() - 100, 1_700_000_000))
        found.append(
            subprocess.check_output(
                [sys.executable, "-c", program, str(tmp_path)], text=True, env=environment
            ).strip()
        )
    assert found == seen


def test_importing_changes_nothing_in_the_process():
    """A user's program can import the project: that sets no hook, no setting, no variable."""
    program = (
        "import os, sys\n"
        "def state():\n"
        "    return ([*sys.path], [*sys.path_hooks], [*sys.meta_path], dict(os.environ),\n"
        "            sys.dont_write_bytecode, sys.pycache_prefix, sys.excepthook)\n"
        "before = state()\n"
        "import pymodel, tb, training\n"
        "assert state() == before\n"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)
