"""Faults around the bench: what is lost, half-written, or passes unearned when things go wrong.

python -m tb.soak                                  # all faults; build/results/soak.json
python -m tb.soak --only "killed" --only "stale"   # those whose names hold a word
COCOTB_RANDOM_SEED=7 python -m tb.soak             # other times, places and sizes

Each try harms a copy of the checkout in a temporary folder, and then looks at what is left there.
"""

import contextlib
import functools
import json
import os
import re
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from random import Random
from xml.etree import ElementTree

import numpy as np
import psutil
from tabulate import tabulate
from tqdm import tqdm

from pymodel.checkpoint import SHIPPED, load_checkpoint
from pymodel.support.command import CommandParser, conclude, quiet, tell
from pymodel.support.errors import InputError
from pymodel.support.files import RESULTS, ROOT, temporary_folder, write_json
from tb.sim.simulators import check_simulator, random_seed
from tb.sim.wave_window import check_waveform

AT_ONCE = 2  # tries, each in a copy of its own
SKIPPED = "not tried"  # how a try ends that this machine does not allow
PATIENCE = 300.0  # seconds after which a command hangs
FOLLOW = 10.0  # seconds in which what a run started ends after it
FIGURES = ("images", "psums_checked", "psum_mismatches", "outputs_checked", "cycles", "macs")
PSUMS = 9 * 16 * 8  # of an image of the squeezed layer
DAMAGED = 1000  # checkpoint files
KINDS = ("lost", "half-written", "unearned pass", "unclear")  # of harm; the last: message or hang

started: list[subprocess.Popen] = []


class HarmError(Exception):
    """What a fault did; `kind` is one of KINDS."""

    def __init__(self, kind: str, words: str):
        super().__init__(f"{kind}: {words}")
        self.kind = kind


@dataclass(frozen=True)
class Ended:
    """A command that has ended."""

    code: int
    output: str  # standard output and error

    def refused(self) -> str:
        """That it failed with one clear line; which one. Raises HarmError."""
        if self.code == 0:
            raise HarmError("unearned pass", self.output[-300:])
        # At the beginning of a line: cocotb's log has those of failed tests, after its name.
        if found := re.search(r"^Traceback.*", self.output, re.MULTILINE | re.DOTALL):
            raise HarmError("unclear", found[0][:1500])
        lines = re.findall(r"^(?:error|FAILED): .*", self.output, re.MULTILINE)
        if len(lines) != 1:
            raise HarmError(
                "unclear", f"{len(lines)} lines say why, expected 1: {self.output[-500:]}"
            )
        return lines[0]


class Checkout:
    """A copy of this checkout, tracked files only, whose `make` is run."""

    def __init__(self, folder: Path):
        self.folder = folder
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
        self.build = folder / "build"
        self.results = self.build / "results"
        self.seconds = {True: 0.0, False: 0.0}  # that a run takes, built or not

    def start(
        self, *command: str, limits: Callable[[], None] | None = None, **variables: str
    ) -> subprocess.Popen:
        """Start a command in a session of its own."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("COCOTB", "SYSTOLIC", "MAKE", "MFLAGS", "PYTEST", "VERILATOR"))
            and name
            not in (
                "SIM",
                "WAVES",
                "IMAGES",
                "LAYER",
                "MODEL",
                "DUT",
                "PYTHONPATH",
                "PYTHONDONTWRITEBYTECODE",
            )
        }
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
        started.append(process)
        return process

    def end(self, process: subprocess.Popen) -> Ended:
        """Wait for it; HarmError if it hangs, or leaves processes behind."""
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

    def make(self, *arguments: str, **options) -> Ended:
        """Run `make` with these arguments."""
        return self.end(self.start("make", "--no-print-directory", *arguments, **options))

    def good_run(self, images: int = 1, **options) -> str:
        """A run that must pass, with the figures it must have; HarmError if not."""
        began, built = time.monotonic(), self.built()
        ended = self.make(f"IMAGES={images}", **options)
        self.seconds[built] = time.monotonic() - began
        return self.earned(ended, images)

    def earned(self, ended: Ended, images: int = 1) -> str:
        """That a run passed and its results are those of `images`; HarmError if not."""
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
        return "passed"

    def figures(self) -> dict | None:
        """What the last run found, None if there is nothing."""
        path = self.results / "layer.json"
        if not path.exists():
            return None
        try:
            found = json.loads(path.read_text())
            return {name: found[name] for name in FIGURES}
        except (ValueError, KeyError, TypeError) as error:
            raise HarmError("half-written", f"build/results/layer.json: {error!r}") from None

    def check_whole(self) -> None:
        """That each file that a run leaves for its user is whole; HarmError if not."""
        self.figures()
        for path in (*self.results.glob("*"), *(self.build / "waves").glob("*")):
            try:
                if path.name.startswith("."):
                    continue  # of a run that was killed; the next one removes it
                if path.suffix == ".json":
                    json.loads(path.read_text())
                elif path.suffix == ".xml":
                    ElementTree.parse(path)
                elif path.suffix == ".npz":
                    with np.load(path, allow_pickle=False) as arrays:
                        dict(arrays)
                elif path.suffix == ".fst":
                    check_waveform(path)
            except Exception as error:
                where = path.relative_to(self.folder)
                raise HarmError("half-written", f"{where}: {error!r}") from None

    def check_no_leftovers(self) -> None:
        """That no temporary file or folder is left; HarmError if there is one."""
        if left := [path for path in self.build.rglob(".*") if ".tmp" in path.name]:
            raise HarmError("lost", f"left behind: {left[0].relative_to(self.folder)}")

    def built(self) -> bool:
        """Whether the next run has nothing to compile."""
        return (self.build / "kept" / "sim").exists()

    def forget_builds(self) -> None:
        """So that the next run compiles."""
        shutil.rmtree(self.build / "kept" / "sim", ignore_errors=True)


def still_there(session: int, patience: float) -> list[psutil.Process]:
    """Processes of a session whose leader has ended; they have some seconds to follow it."""
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
    """Until `process` has started a program of this name, or has ended."""
    while process.poll() is None:
        with contextlib.suppress(psutil.Error):
            children = psutil.Process(process.pid).children(recursive=True)
            if any(child.name().startswith(name) for child in children):
                return
        time.sleep(0.02)


# Each fault: harms `checkout`, and says in a few words how that ended. Raises HarmError.


def two_at_once(checkout: Checkout, rng: Random, number: int) -> str:
    """Two runs, of 1 and of 2 images, in some of the tries with nothing built."""
    if rng.random() < 0.5:
        checkout.forget_builds()
    waves = f"WAVES={rng.randrange(2)}"
    first = checkout.start("make", "IMAGES=1", waves)
    time.sleep(rng.uniform(0, 1.5))
    second = checkout.start("make", "IMAGES=2", waves)
    with ThreadPoolExecutor(2) as pool:  # or one would wait for room in its pipe
        ends = list(pool.map(checkout.end, (first, second)))
    for images, ended in enumerate(ends, 1):
        if ended.code:
            raise HarmError("lost", f"the run of {images} images: {ended.output[-700:]}")
        if not re.search(rf"^psums checked +{images * PSUMS:,}$", ended.output, re.MULTILINE):
            raise HarmError("unearned pass", f"not the figures of {images} images: {ended.output}")
    checkout.check_whole()
    if not (left := checkout.figures()):
        raise HarmError("lost", "no build/results/layer.json after two runs")
    checkout.earned(ends[0], left["images"])
    checkout.check_no_leftovers()
    return "both passed"


def killed(checkout: Checkout, rng: Random, number: int) -> str:
    """Kill a run at any time, all of it or a part; nothing is lost, and the next one passes."""
    if rng.random() < 0.5:
        checkout.forget_builds()
    before = checkout.figures()
    kind = rng.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
    part = rng.choice(["all", "all", "python", "vvp"])
    built = checkout.built()
    process = checkout.start("make", "IMAGES=2", "WAVES=1")
    if part == "vvp":  # which is there for a part of the run only
        wait_for(part, process)
    time.sleep(rng.uniform(0, 1 if part == "vvp" else checkout.seconds[built]))
    if part == "all":
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, kind)
    else:
        with contextlib.suppress(psutil.Error):
            for one in psutil.Process(process.pid).children(recursive=True):
                if one.name().startswith(part):
                    one.send_signal(kind)
    ended = checkout.end(process)
    if ended.code == 0:
        checkout.earned(ended, 2)
    elif part == "vvp":  # which is a failed run: its results replace those of the run before
        ended.refused()
        before = None
    check_after_kill(checkout, before)
    return f"{part}: {kind.name}" if ended.code else "had ended before"


def check_after_kill(checkout: Checkout, before: dict | None) -> None:
    """Check that the results `before` the kill are still there, and that the next run passes.

    Raises HarmError if they are lost, if a file is half-written, or if anything is left behind.
    """
    if before and not checkout.figures():
        raise HarmError("lost", "the results of the run before")
    checkout.check_whole()
    checkout.good_run()
    checkout.check_whole()
    checkout.check_no_leftovers()


def write_fails(checkout: Checkout, rng: Random, number: int) -> str:
    """Files may not be larger than so much, or the disk is full after so much (tmpfs)."""
    if not checkout.figures():
        checkout.good_run()
    before = (checkout.results / "layer.json").read_bytes()
    if rng.random() < 0.5:
        checkout.forget_builds()
    room = int(2 ** rng.uniform(8, 20))
    command = ("make", "--no-print-directory", "IMAGES=2", f"WAVES={rng.randrange(2)}")
    alone = private_mounts()
    if rng.random() < 0.5:

        def limits() -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))

        what = "file size"
        ended = checkout.end(checkout.start(*command, limits=limits))
    elif not alone:
        return f"{SKIPPED}: no right to mount a small disk"
    else:
        what = "disk"
        used = int(subprocess.check_output(["du", "-sk", checkout.build]).split()[0])
        saved = checkout.folder / "saved"
        checkout.build.rename(saved)
        checkout.build.mkdir()
        script = (
            f"mount -t tmpfs -o size={used + room // 1024}k tmpfs build && "
            f"cp -a saved/. build && {{ {shlex.join(command)}; code=$?; rm -rf saved/*; "
            "cp -a build/. saved && exit $code; }"
        )
        ended = checkout.end(checkout.start(*alone, "sh", "-c", script))
        checkout.build.rmdir()
        saved.rename(checkout.build)
    checkout.check_whole()
    if ended.code == 0:
        checkout.earned(ended, 2)
        return f"{what}: there was room"
    line = ended.refused()
    if "FAILED" not in ended.output:
        layer = checkout.results / "layer.json"
        if not layer.exists() or layer.read_bytes() != before:
            raise HarmError("lost", "the results of the run before")
    checkout.good_run()
    checkout.check_no_leftovers()
    reason = re.search(r"\(([^()]+)\)$|(crashed|cut short|whole waveform|without results)|$", line)
    return f"{what}: refused, {reason[1] or reason[2] or line[:60]}"


READERS = (
    "make IMAGES=1",
    ".venv/bin/python -m tb.run layer",
    "make vectors OUT=build/x",
    "make test",
    ".venv/bin/python -m tb.run check",
)


def read_only(checkout: Checkout, rng: Random, number: int) -> str:
    """No right to write: mounted read-only for root, by its permissions for others."""
    command = shlex.split(READERS[number % len(READERS)])
    if rng.random() < 0.5:
        shutil.rmtree(checkout.build, ignore_errors=True)
    if os.geteuid():
        with contextlib.ExitStack() as again:
            for path in (checkout.folder, *checkout.folder.rglob("*")):
                if not path.is_symlink():
                    again.callback(path.chmod, path.stat().st_mode)
                    path.chmod(path.stat().st_mode & ~0o222)
            ended = checkout.end(checkout.start(*command))
    else:
        if not private_mounts():
            return f"{SKIPPED}: no right to mount, nor a user without rights"
        mount = 'mount --bind . . && mount -o remount,ro,bind . && cd "$PWD" && '
        script = mount + shlex.join(command)
        ended = checkout.end(checkout.start(*private_mounts(), "sh", "-c", script))
    line = ended.refused()
    if not re.search("Read-only file system|Permission denied|cannot be written", line):
        raise HarmError("unclear", line)
    return f"{command[0].rpartition('/')[2]}: refused"


# Each fault is as long as what it replaces: (file, text, fault, arguments of make).
EDITS = (
    ("rtl/pe.v", "psum_i + product", "psum_i - product", ()),
    ("tb/components/own_array.py", "if value != old:", "if value == old:", ()),
    ("tb/components/tile_run.py", "expected, dim=1", "expected, dim=0", ()),
    ("own/sum.inc", "psum_i + product", "psum_i - product", ("DUT=own/mine.py",)),
)
MINE = """
from tb.examples.load_first_array import LoadFirstArray


class Mine(LoadFirstArray):
    SOURCES = ("../rtl/load_first_array.v", "load_first_pe.v", "../rtl/skew.v")
"""


def stale(checkout: Checkout, rng: Random, number: int) -> str:
    """Edit what was built and run, also within its time stamp, and undo it: both must count."""
    name, text, fault, arguments = EDITS[number % len(EDITS)]
    own = checkout.folder / "own"
    own.mkdir(exist_ok=True)
    (own / "mine.py").write_text(MINE)
    (own / "sum.inc").write_text("    psum_o <= psum_i + product;\n")
    pe = (checkout.folder / "rtl" / "load_first_pe.v").read_text()
    own_pe = pe.replace("    psum_o <= psum_i + product;\n", '`include "sum.inc"\n')
    (own / "load_first_pe.v").write_text(own_pe)

    path = checkout.folder / name
    right, times = path.read_text(), path.stat()
    wrong = right.replace(text, fault)
    if "include" not in own_pe or wrong == right:
        raise InputError(f"{name}: holds no {text!r}, which the fault replaces")
    same = rng.random() < 0.7
    try:
        for content in (right, wrong, right):
            path.write_text(content)
            if same:
                os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
            ended = checkout.make("IMAGES=1", *arguments)
            if content == right:
                checkout.earned(ended)
            elif ended.code == 0:
                raise HarmError("unearned pass", f"{name} is wrong, yet: {ended.output[-500:]}")
    finally:
        path.write_text(right)
    return f"{name}{', same time' if same else ''}: found"


# (what it is for, script, what must be said, arguments of make). REAL is the real program.
DROP = (
    "import os, xml.etree.ElementTree as e; f = os.environ['COCOTB_RESULTS_FILE']; t = e.parse(f); "
    "s = next(t.iter('testsuite')); s.remove(s.findall('testcase')[-1]); t.write(f)"
)
FAKES = (
    ("vvp", "exit 0", "without results", ()),
    ("vvp", "exit 3", "terminated with error 3", ()),
    ("vvp", "kill -SEGV $$", "vvp crashed: it died by SIGSEGV", ()),
    ("vvp", "kill -KILL $$", "vvp crashed: it died by SIGKILL", ()),
    ("vvp", "echo alive; sleep 1000", "had said nothing for 4 s", ()),
    ("vvp", "exec >&- 2>&-; sleep 1000", "had said nothing for 4 s", ()),
    ("vvp", 'timeout -s KILL SECONDS REAL "$@"; exit 0', "without results", ()),
    ("vvp", 'REAL "$@"; kill -SEGV $$', "vvp crashed: it died by SIGSEGV", ()),
    ("vvp", 'REAL "$@"; truncate -s BYTES "$COCOTB_RESULTS_FILE"', "are damaged", ()),
    ("vvp", f'REAL "$@"; .PYTHON -c "{DROP}"', "cocotb tests left no result", ("check",)),
    ("iverilog", "exit 1", "names no version", ()),
    ("iverilog", 'REAL "$@"; [ "$1" = -V ] || kill -SEGV $$', "iverilog crashed", ()),
    ("iverilog", '[ "$1" = -V ] && exec REAL -V; echo "a.v:1: error: no"; exit 2', "error: no", ()),
    ("iverilog", '[ "$1" = -V ] && exec REAL -V; exit 0', "left nothing to run", ()),
    ("iverilog", '[ "$1" = -V ] && exec REAL -V; sleep 1000', "had said nothing for 4 s", ()),
)


def fake(checkout: Checkout, name: str, script: str) -> dict[str, str]:
    """Put a shell script in the place of program `name`, which the script calls REAL.

    Returns the environment variables by which a command of the checkout takes the script.
    """
    fakes = checkout.folder / "fakes"
    shutil.rmtree(fakes, ignore_errors=True)
    fakes.mkdir()
    (fakes / name).write_text(f"#!/bin/sh\n{script.replace('REAL', shutil.which(name))}\n")
    (fakes / name).chmod(0o755)
    return {"PATH": f"{fakes}{os.pathsep}{os.environ['PATH']}"}


def fake_simulator(checkout: Checkout, rng: Random, number: int) -> str:
    """A simulator that crashes, hangs, does nothing, or writes half of its results."""
    name, script, words, arguments = FAKES[number % len(FAKES)]
    if name == "iverilog":
        checkout.forget_builds()
    for word, value in (
        (".PYTHON", sys.executable),
        ("SECONDS", f"{rng.uniform(0.05, 1.5):.2f}"),
        ("BYTES", str(rng.randrange(300))),
    ):
        script = script.replace(word, value)
    variables = fake(checkout, name, script)
    if "sleep" in script:
        variables["SIM_TIMEOUT"] = "4"
    ended = checkout.make(*(arguments or ("IMAGES=1",)), **variables)
    if words not in (line := ended.refused()):
        raise HarmError("unclear", f"expected {words!r}: {line}")
    checkout.check_whole()
    checkout.good_run()
    checkout.check_no_leftovers()
    return f"{name}: {re.sub('^(FAILED|error): ', '', line)[:40]}"


def damaged_checkpoint(path: Path, rng: Random, whole: bytes) -> str:
    """Write a checkpoint, one to ten bytes flipped or its end elsewhere; it must be refused."""
    how = rng.choice(["flipped", "flipped in the header", "cut short", "too long"])
    data = bytearray(whole)
    if how == "cut short":
        del data[rng.randrange(len(data)) :]
    elif how == "too long":
        data += rng.randbytes(rng.randint(1, 1000))
    else:
        header = 8 + int.from_bytes(whole[:8], "little")
        size = header if "header" in how else len(data)
        for place in rng.sample(range(size), rng.choice([1, 2, 10])):
            data[place] ^= rng.randint(1, 255)
    path.write_bytes(data)
    try:
        load_checkpoint(path)
    except InputError as error:
        if "\n" in str(error) or str(path) not in str(error):
            raise HarmError("unclear", f"{how}: {error}") from None
        return f"{how}: refused"
    except Exception as error:
        raise HarmError("unclear", f"{how}: {error!r}") from None
    raise HarmError("unearned pass", f"{how}: taken for a checkpoint")


@dataclass(frozen=True)
class Fault:
    """A kind of fault, and how often it is tried."""

    name: str
    tries: int
    provoke: Callable[[Checkout, Random, int], str]  # the last: which of the tries it is


FAULTS = (
    Fault("two runs at once", 6, two_at_once),
    Fault("a run killed at any point, and started again", 24, killed),
    Fault("a write that fails", 12, write_fails),
    Fault("a read-only checkout", len(READERS), read_only),
    Fault("a stale build", 2 * len(EDITS), stale),
    Fault("a simulator that crashes or hangs", len(FAKES), fake_simulator),
)
CHECKPOINTS = "a damaged checkpoint"


@functools.cache
def private_mounts() -> tuple[str, ...]:
    """The command that runs another one with mounts of its own; () without the right to."""
    for alone in (("unshare", "--mount"), ("unshare", "--map-root-user", "--mount")):
        with contextlib.suppress(OSError):
            probe = [*alone, "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
            if subprocess.run(probe, capture_output=True).returncode == 0:
                return alone
    return ()


@dataclass
class Row:
    """What came of all tries of one fault."""

    name: str
    tries: int = 0
    skipped: int = 0
    ends: Counter = field(default_factory=Counter)
    harms: list[HarmError] = field(default_factory=list)

    def add(self, end: str | HarmError) -> None:
        """Count a try, or one that was not."""
        if isinstance(end, HarmError):
            self.harms.append(end)
        else:
            self.ends[end] += 1
            if end.startswith(SKIPPED):
                self.skipped += 1
                return
        self.tries += 1


def soak(seed: str, wanted: Callable[[str], bool]) -> list[Row]:
    """Try the faults whose names are `wanted`, `AT_ONCE` at a time."""
    tries = [
        (fault, number) for fault in FAULTS if wanted(fault.name) for number in range(fault.tries)
    ]
    damaged = DAMAGED if wanted(CHECKPOINTS) else 0
    rows = {fault.name: Row(fault.name) for fault, _ in tries}
    with (
        temporary_folder("soak") as folder,
        tqdm(total=len(tries) + damaged, unit="try", disable=quiet() or None) as bar,
        ThreadPoolExecutor(AT_ONCE) as pool,
    ):
        copies = SimpleQueue()

        def attempt(fault: Fault, number: int) -> str | HarmError:
            checkout = copies.get()
            try:
                return fault.provoke(checkout, Random(f"{seed} {fault.name} {number}"), number)
            except HarmError as harm:
                harm.add_note(f"{fault.name}, try {number}")
                return harm
            finally:
                copies.put(checkout)

        try:
            if tries:
                bar.set_description("copies of the checkout")
                for number in range(AT_ONCE):
                    checkout = Checkout(folder / str(number))
                    for _ in range(2):  # the first one compiles
                        checkout.good_run()
                    copies.put(checkout)
            futures = {pool.submit(attempt, *one): one[0] for one in tries}
            for future in as_completed(futures):
                name = futures[future].name
                bar.set_description(name)
                rows[name].add(future.result())
                bar.update()
                bar.set_postfix(failed=sum(len(row.harms) for row in rows.values()))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in started:
                for one in still_there(process.pid, 0):
                    one.kill()
            raise
        if damaged:
            rows[CHECKPOINTS] = Row(CHECKPOINTS)
            bar.set_description(CHECKPOINTS)
            whole, rng = SHIPPED.read_bytes(), Random(f"{seed} checkpoints")
            for _ in range(damaged):
                try:
                    end = damaged_checkpoint(folder / "damaged.safetensors", rng, whole)
                except HarmError as harm:
                    end = harm
                rows[CHECKPOINTS].add(end)
                bar.update()
    return list(rows.values())


def main() -> int:
    parser = CommandParser("tb.soak", __doc__)
    parser.add_argument(
        "--only", action="append", default=[], help="faults whose names hold this; repeatable"
    )
    parser.add_argument("--results", type=Path, default=RESULTS / "soak.json", help="JSON file")
    arguments = parser.parse_args()
    check_simulator("icarus")
    seed = random_seed()
    names = [*(fault.name for fault in FAULTS), CHECKPOINTS]
    chosen = {n for n in names if not arguments.only or any(w in n for w in arguments.only)}
    for word in arguments.only:
        if not any(word in name for name in names):
            raise InputError(f"--only: no fault holds '{word}', expected of {', '.join(names)}")
    tell(f"COCOTB_RANDOM_SEED={seed}")
    rows = soak(seed, chosen.__contains__)
    refused = sum(row.tries - len(row.harms) for row in rows if row.name == CHECKPOINTS)
    tries, skipped = sum(row.tries for row in rows), sum(row.skipped for row in rows)
    failed = sum(len(row.harms) for row in rows)
    write_json(
        arguments.results,
        {
            "faults": [
                {
                    "name": row.name,
                    "tries": row.tries,
                    "skipped": row.skipped,
                    "failed": len(row.harms),
                    "ends": dict(row.ends),
                    "harms": [str(harm) for harm in row.harms],
                }
                for row in rows
            ],
            "tries": tries,
            "skipped": skipped,
            "failed": failed,
            "seed": int(seed),
            "checkpoints_refused": refused,
        },
    )
    tell(report(rows))
    for row in rows:
        for harm in row.harms:
            tell(
                f"{' '.join(harm.__notes__) if hasattr(harm, '__notes__') else row.name}: {harm}\n"
            )
    if failed:
        return conclude(
            f"FAILED: {failed} of {tries} tries did harm, with seed {seed}", passed=False
        )
    where = os.path.relpath(arguments.results)
    words = f"; {skipped} not tried, which this machine does not allow" if skipped else ""
    return conclude(
        f"Nothing lost, nothing half-written, no unearned pass{words}. Results: {where}"
    )


def report(rows: Sequence[Row]) -> str:
    """The closing table."""
    lines = []
    for row in rows:
        kinds = Counter(harm.kind for harm in row.harms)
        counts = [str(kinds[kind]) for kind in KINDS]
        ends = [f"{count:,} {end}" for end, count in sorted(row.ends.items())]
        first = [row.name, f"{row.tries:,}", ends[0] if ends else "", *counts]
        lines += [first, *(["", "", end] for end in ends[1:])]
    columns = ("fault", "tries", "how it ended", *KINDS)
    return "\n" + tabulate(lines, columns, tablefmt="simple", disable_numparse=True) + "\n"
