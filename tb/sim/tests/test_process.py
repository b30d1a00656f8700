"""A process that hangs, crashes or cannot start gives one line, and never outlives its parent."""

import os
import selectors
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from pymodel.support.errors import InputError
from pymodel.support.files import ROOT
from tb.sim import process
from tb.sim.errors import BenchError
from tb.sim.process import execute, silence_limit, succeed


def run(script: str, heard=print) -> int:
    return execute(["sh", "-c", script], Path(), dict(os.environ), heard)


def test_lines_and_exit_code():
    """The lines of both outputs come in order, also the last one without a line end."""
    lines = []
    assert run("echo one; echo two >&2; printf three; exit 3", lines.append) == 3
    assert lines == ["one", "two", "three"]
    with pytest.raises(BenchError, match="Process sh terminated with error 3"):
        succeed(["sh", "-c", "exit 3"], Path(), dict(os.environ), print)


@pytest.mark.parametrize(
    ("script", "name"),
    [
        ("kill -SEGV $$", "SIGSEGV"),
        ("kill -KILL $$", "SIGKILL"),
        ("sh -c 'kill -XFSZ $$'; exit $?", "SIGXFSZ, a file was larger than `ulimit -f` allows"),
    ],
)
def test_a_crash(script, name):
    """The process itself crashes, or a process that a shell script started."""
    with pytest.raises(BenchError, match=f"^sh crashed: it died by {name}$"):
        run(script)


@pytest.mark.parametrize(
    "script",
    ["exec sleep 1000", "sleep 1000 & echo a line; wait", "exec >&- 2>&-; sleep 1000"],
    ids=["at once", "its child", "after closing its output"],
)
def test_a_hang(script, monkeypatch):
    """A process that would never end is stopped; the test does not look at how long that takes."""
    monkeypatch.setenv("SIM_TIMEOUT", "0.3")
    with pytest.raises(
        BenchError, match=r"sh was stopped: it had said nothing for 0.3 s; .*SIM_TI"
    ):
        run(script)


def test_what_is_stopped_takes_its_children_with_it():
    """An exception from `heard` stops the process and its children, as silence does."""
    children = []

    def heard(line):
        children.append(psutil.Process(int(line)))
        raise InputError("enough")

    with pytest.raises(InputError, match="enough"):
        run("sleep 1000 & echo $!; wait", heard)
    assert not psutil.wait_procs(children, timeout=300)[1]


def test_each_line_gives_the_whole_limit_anew(monkeypatch):
    """Work that says a line now and then is no hang, however long it takes."""
    limits = []

    class Patient(selectors.DefaultSelector):
        """Waits without a limit, and notes the limit that it was given."""

        def select(self, timeout=None):
            limits.append(timeout)
            return super().select()

    monkeypatch.setattr(process.selectors, "DefaultSelector", Patient)
    monkeypatch.setenv("SIM_TIMEOUT", "5")
    lines = []
    assert run("for i in 1 2 3; do echo $i; done", lines.append) == 0
    assert lines == ["1", "2", "3"]
    assert set(limits) == {5.0}


@pytest.mark.parametrize("text", ["0", "-1", "abc", "1e3", "nan", " 1", "0.0"])
def test_a_limit_that_is_none(text, monkeypatch):
    monkeypatch.setenv("SIM_TIMEOUT", text)
    with pytest.raises(InputError, match=r"SIM_TIMEOUT is .*, expected seconds, above 0"):
        silence_limit()


def test_what_does_not_start(tmp_path):
    with pytest.raises(InputError, match=r"none: does not start \(No such file or directory\)"):
        execute([str(tmp_path / "none")], tmp_path, {}, print)


def test_a_process_ends_with_the_process_that_started_it():
    """The parent is killed, so that it has no time to clean up."""
    code = "from tb.sim.process import *; import os; from pathlib import Path; "
    code += "execute(['sh', '-c', 'echo $$; sleep 1000'], Path(), dict(os.environ), "
    code += "lambda line: print(line, flush=True))"
    parent = subprocess.Popen(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        text=True,
        stdout=subprocess.PIPE,
    )
    child = psutil.Process(int(parent.stdout.readline()))
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    child.wait(timeout=300)
