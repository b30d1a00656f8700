"""Runs commands in a copy of the checkout that may be harmed, and checks what they leave."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import psutil

from pymodel.support.errors import InputError
from pymodel.support.files import ROOT
from tb.sim.wave_window import check_waveform

# Kinds of harm; "unclear" is an unclear message, a hang, or a process that outlives its run.
HARMS = ("lost", "half-written", "unearned pass", "unclear")
PATIENCE = 300.0  # seconds after which a command hangs
FOLLOW = 10.0  # seconds within which the processes of a command must end after it
FIGURES = ("images", "psums_checked", "psum_mismatches", "outputs_checked", "cycles", "macs")
PSUMS = 9 * 16 * 8  # number of psums of an image in the squeezed layer
# Environment variables that change what a command does: the copy's commands run without them.
CHANGING = ("COCOTB", "SYSTOLIC", "MAKE", "MFLAGS", "PYTEST", "VERILATOR", "PYTHONPATH")
CHANGING += ("PYTHONDONTWRITEBYTECODE", "SIM", "WAVES", "IMAGES", "LAYER", "MODEL", "DUT")

_started: list[subprocess.Popen] = []


class HarmError(Exception):
    """A fault did harm; `kind` is one of HARMS."""

    def __init__(self, kind: str, words: str):
        super().__init__(f"{kind}: {words}")
        self.kind = kind


@dataclass(frozen=True)
class Ended:
    """A command that has ended, with its exit code and all that it said."""

    code: int
    output: str  # standard output and error

    def refused(self) -> str:
        """Returns the one clear line with which the command failed.

        Raises HarmError if the command passed, or if there is no such line, or more than one.
        """
        if self.code == 0:
            raise HarmError("unearned pass", self.output[-300:])
        # The traceback of a failed test does not count: cocotb's log has its own name before it.
        if found := re.search(r"^Traceback.*", self.output, re.MULTILINE | re.DOTALL):
            raise HarmError("unclear", found[0][:1500])
        lines = re.findall(r"^(?:error|FAILED): .*", self.output, re.MULTILINE)
        if len(lines) != 1:
            raise HarmError(
                "unclear", f"{len(lines)} lines say why, expected 1: {self.output[-500:]}"
            )
        return lines[0]


class Checkout:
    """A checkout in `folder`: it runs commands, and its build folder is checked afterwards."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.build = folder / "build"
        self.results = self.build / "results"
        # Seconds that a good run takes: True if its simulation was compiled before, False if not.
        self.seconds = {True: 0.0, False: 0.0}

    @classmethod
    def copied_to(cls, folder: Path) -> "Checkout":
        """Copies the tracked files of this checkout to `folder`, and links its .venv.

        Raises InputError if git lists no files.
        """
        tracked = subprocess.run(
            ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True
        ).stdout.split("\0")
        if not (files := [name for name in tracked if name and (ROOT / name).is_file()]):
            raise InputError(f"{ROOT}: git lists no files, expected a clone")
        for name in files:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
        os.utime(folder / "requirements.txt", (0, 0))  # or setup.sh might install into our .venv
        (folder / ".venv").symlink_to((ROOT / ".venv").resolve())
        return cls(folder)

    def start(
        self, *command: str, limits: Callable[[], None] | None = None, **variables: str
    ) -> subprocess.Popen:
        """Starts a command in a session of its own, with these environment variables.

        The new process calls `limits` before it runs the command.
        """
        kept = {n: value for n, value in os.environ.items() if not n.startswith(CHANGING)}
        process = subprocess.Popen(
            command,
            cwd=self.folder,
            env=kept | variables,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=limits,
        )
        _started.append(process)
        return process

    def end(self, process: subprocess.Popen) -> Ended:
        """Waits for a command; raises HarmError if it hangs or one of its processes outlives it."""
        try:
            output, _ = process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            raise HarmError("unclear", f"still runs after {PATIENCE:g} s") from None
        finally:
            orphans = still_there(process.pid, FOLLOW)
            for orphan in orphans:
                with contextlib.suppress(psutil.Error):
                    orphan.kill()
        if orphans:
            raise HarmError(
                "unclear", f"{orphans[0].name()} goes on without the run that started it"
            )
        return Ended(process.returncode, output)

    def make(self, *arguments: str, **variables: str) -> Ended:
        """Runs `make` with these arguments and environment variables to its end."""
        return self.end(self.start("make", "--no-print-directory", *arguments, **variables))

    def good_run(self, images: int = 1) -> None:
        """Runs the main job; raises HarmError unless it passes with its own figures."""
        began, built = time.monotonic(), self.built()
        ended = self.make(f"IMAGES={images}")
        self.seconds[built] = time.monotonic() - began
        self.check_earned(ended, images)

    def check_earned(self, ended: Ended, images: int = 1) -> None:
        """Raises HarmError unless a run passed and left results of `images` images."""
        if ended.code:
            raise HarmError("lost", f"a good run ends with {ended.code}: {ended.output[-700:]}")
        figures = self.figures()
        if figures is None:
            raise HarmError("lost", "a good run without build/results/layer.json")
        if (figures["images"], figures["psum_mismatches"]) != (images, 0) or (
            figures["psums_checked"] != images * PSUMS
        ):
            raise HarmError(
                "unearned pass", f"figures of another run than {images} images: {figures}"
            )

    def figures(self) -> dict | None:
        """Returns FIGURES of the last run, or None if it left none.

        Raises HarmError if they are damaged.
        """
        path = self.results / "layer.json"
        if not path.exists():
            return None
        try:
            found = json.loads(path.read_text())
            return {name: found[name] for name in FIGURES}
        except (ValueError, KeyError, TypeError) as error:
            raise HarmError("half-written", f"build/results/layer.json: {error!r}") from None

    def check_whole(self) -> None:
        """Raises HarmError unless each file that a run leaves for its user is whole."""
        self.figures()
        for path in (*self.results.glob("*"), *(self.build / "waves").glob("*")):
            if path.name.startswith("."):
                continue  # of a run that was killed; the next one removes it
            try:
                read_whole(path)
            except Exception as error:
                where = path.relative_to(self.folder)
                raise HarmError("half-written", f"{where}: {error!r}") from None

    def check_no_leftovers(self) -> None:
        """Raises HarmError if a temporary file or folder is left."""
        if left := [path for path in self.build.rglob(".*") if ".tmp" in path.name]:
            raise HarmError("lost", f"left behind: {left[0].relative_to(self.folder)}")

    def built(self) -> bool:
        """Returns whether the next run has nothing to compile."""
        return (self.build / "kept" / "sim").exists()

    def forget_builds(self) -> None:
        """Removes what was compiled, so that the next run compiles again."""
        shutil.rmtree(self.build / "kept" / "sim", ignore_errors=True)


def read_whole(path: Path) -> None:
    """Reads a file to its end by the format that its name says; raises what its reader raises."""
    if path.suffix == ".json":
        json.loads(path.read_text())
    elif path.suffix == ".xml":
        ElementTree.parse(path)
    elif path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as arrays:
            dict(arrays)
    elif path.suffix == ".fst":
        check_waveform(path)


def still_there(session: int, patience: float) -> list[psutil.Process]:
    """Returns the processes of a session that are still there after `patience` seconds.

    The leader of the session has ended, and the others have that time to follow it.
    """
    deadline = time.monotonic() + patience
    while True:
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, ProcessLookupError):
                if os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        if not found or time.monotonic() > deadline:
            return found
        time.sleep(0.1)


def wait_for(name: str, process: subprocess.Popen) -> None:
    """Waits until `process` has started a program of this name, or has ended."""
    while process.poll() is None:
        with contextlib.suppress(psutil.Error):
            children = psutil.Process(process.pid).children(recursive=True)
            if any(child.name().startswith(name) for child in children):
                return
        time.sleep(0.02)


def kill(process: subprocess.Popen, part: str, number: signal.Signals) -> None:
    """Sends a signal to all of a command, or only to its children whose names begin with `part`."""
    if part == "all":
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        return
    with contextlib.suppress(psutil.Error):
        for child in psutil.Process(process.pid).children(recursive=True):
            if child.name().startswith(part):
                child.send_signal(number)


def kill_all() -> None:
    """Kills the rest of all commands that were started in any checkout."""
    for process in _started:
        for one in still_there(process.pid, 0):
            one.kill()
