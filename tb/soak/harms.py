"""Provokes faults of each kind in a copy of the checkout, and says how each try ended.

A function that provokes a fault takes the copy, a source of random numbers, and the number of the
try among those of its kind. It returns in a few words how the try ended, or raises HarmError.
"""

import contextlib
import functools
import os
import re
import resource
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from random import Random

from pymodel.checkpoint import load_checkpoint
from pymodel.support.errors import InputError
from tb.soak.checkout import PSUMS, Checkout, Ended, HarmError, kill, wait_for

HERE = Path(__file__).parent
SKIPPED = "not tried"  # how a try ends that this machine does not allow


def two_at_once(checkout: Checkout, rng: Random, number: int) -> str:
    """Starts runs of 1 and of 2 images at once, in some of the tries with nothing compiled."""
    if rng.random() < 0.5:
        checkout.forget_builds()
    waves = f"WAVES={rng.randrange(2)}"
    first = checkout.start("make", "IMAGES=1", waves)
    time.sleep(rng.uniform(0, 1.5))
    second = checkout.start("make", "IMAGES=2", waves)
    with ThreadPoolExecutor(2) as pool:  # reads both pipes: a run waits while its pipe is full
        check_both(checkout, list(pool.map(checkout.end, (first, second))))
    return "both passed"


def check_both(checkout: Checkout, ends: list[Ended]) -> None:
    """Raises HarmError unless each run told its own figures, and whole results of one are there."""
    for images, ended in enumerate(ends, 1):
        if ended.code:
            raise HarmError("lost", f"the run of {images} images: {ended.output[-700:]}")
        if not re.search(rf"^psums checked +{images * PSUMS:,}$", ended.output, re.MULTILINE):
            raise HarmError("unearned pass", f"not the figures of {images} images: {ended.output}")
    checkout.check_whole()
    if not (left := checkout.figures()):
        raise HarmError("lost", "no build/results/layer.json after two runs")
    checkout.check_earned(ends[0], left["images"])
    checkout.check_no_leftovers()


def killed(checkout: Checkout, rng: Random, number: int) -> str:
    """Kills a run at a random time, all of it or one of its programs."""
    if rng.random() < 0.5:
        checkout.forget_builds()
    before = checkout.figures()
    kind = rng.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
    part = rng.choice(["all", "all", "python", "vvp"])
    built = checkout.built()
    process = checkout.start("make", "IMAGES=2", "WAVES=1")
    if part == "vvp":  # vvp runs only for a part of the run
        wait_for(part, process)
    time.sleep(rng.uniform(0, 1 if part == "vvp" else checkout.seconds[built]))
    kill(process, part, kind)
    ended = checkout.end(process)
    if ended.code == 0:
        checkout.check_earned(ended, 2)
    elif part == "vvp":  # the run fails, and its results replace those of the run before
        ended.refused()
        before = None
    check_after_kill(checkout, before)
    return f"{part}: {kind.name}" if ended.code else "had ended before"


def check_after_kill(checkout: Checkout, before: dict | None) -> None:
    """Checks that the results `before` the kill are still there, and that the next run passes.

    Raises HarmError if they are lost, if a file is half-written, or if anything is left behind.
    """
    if before and not checkout.figures():
        raise HarmError("lost", "the results of the run before")
    checkout.check_whole()
    checkout.good_run()
    checkout.check_whole()
    checkout.check_no_leftovers()


def write_fails(checkout: Checkout, rng: Random, number: int) -> str:
    """Lets a run write no large files, or gives it a disk that is soon full."""
    if not checkout.figures():
        checkout.good_run()
    before = (checkout.results / "layer.json").read_bytes()
    if rng.random() < 0.5:
        checkout.forget_builds()
    room = int(2 ** rng.uniform(8, 20))
    command = ("make", "--no-print-directory", "IMAGES=2", f"WAVES={rng.randrange(2)}")
    if rng.random() < 0.5:
        return "file size: " + check_failed_write(
            checkout, with_file_size(checkout, command, room), before
        )
    if not private_mounts():
        return f"{SKIPPED}: no right to mount a small disk"
    return "disk: " + check_failed_write(checkout, on_small_disk(checkout, command, room), before)


def with_file_size(checkout: Checkout, command: tuple[str, ...], room: int) -> Ended:
    """Runs a command that may write no file larger than `room` bytes."""

    def limits() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))

    return checkout.end(checkout.start(*command, limits=limits))


def on_small_disk(checkout: Checkout, command: tuple[str, ...], room: int) -> Ended:
    """Runs a command with `room` bytes for what it adds to the build folder."""
    used = int(subprocess.check_output(["du", "-sk", checkout.build]).split()[0])
    saved = checkout.folder / "saved"
    checkout.build.rename(saved)
    checkout.build.mkdir()
    script, size = HERE / "mounts" / "small_disk.sh", str(used + room // 1024)
    ended = checkout.end(checkout.start(*private_mounts(), "sh", str(script), size, *command))
    checkout.build.rmdir()
    saved.rename(checkout.build)
    return ended


def check_failed_write(checkout: Checkout, ended: Ended, before: bytes) -> str:
    """Checks that a run without room passed with its figures, or was refused and lost nothing.

    `before` is the content of build/results/layer.json before the run. Returns how it ended.
    """
    checkout.check_whole()
    if ended.code == 0:
        checkout.check_earned(ended, 2)
        return "there was room"
    line = ended.refused()
    if "FAILED" not in ended.output:
        layer = checkout.results / "layer.json"
        if not layer.exists() or layer.read_bytes() != before:
            raise HarmError("lost", "the results of the run before")
    checkout.good_run()
    checkout.check_no_leftovers()
    reason = re.search(r"\(([^()]+)\)$|(crashed|cut short|whole waveform|without results)|$", line)
    return f"refused, {reason[1] or reason[2] or line[:60]}"


@functools.cache
def private_mounts() -> tuple[str, ...]:
    """Returns the command that runs another one with mounts of its own.

    Returns () if this process has no right to mount.
    """
    for alone in (("unshare", "--mount"), ("unshare", "--map-root-user", "--mount")):
        with contextlib.suppress(OSError):
            probe = [*alone, "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
            if subprocess.run(probe, capture_output=True).returncode == 0:
                return alone
    return ()


# Commands that write files
WRITERS = (
    "make IMAGES=1",
    ".venv/bin/python -m tb.run layer",
    "make vectors OUT=build/x",
    "make test",
    ".venv/bin/python -m tb.run check",
)


def read_only(checkout: Checkout, rng: Random, number: int) -> str:
    """Takes the right to write away: by a read-only mount for root, by permissions for others."""
    command = shlex.split(WRITERS[number % len(WRITERS)])
    if rng.random() < 0.5:
        shutil.rmtree(checkout.build, ignore_errors=True)
    if os.geteuid():
        ended = without_permissions(checkout, command)
    elif private_mounts():
        script = str(HERE / "mounts" / "read_only.sh")
        ended = checkout.end(checkout.start(*private_mounts(), "sh", script, *command))
    else:
        return f"{SKIPPED}: no right to mount, nor a user without rights"
    check_refused_to_write(ended)
    return f"{command[0].rpartition('/')[2]}: refused"


def without_permissions(checkout: Checkout, command: list[str]) -> Ended:
    """Runs a command in a checkout whose files and folders nobody may write to meanwhile."""
    with contextlib.ExitStack() as again:
        for path in (checkout.folder, *checkout.folder.rglob("*")):
            if not path.is_symlink():
                again.callback(path.chmod, path.stat().st_mode)
                path.chmod(path.stat().st_mode & ~0o222)
        return checkout.end(checkout.start(*command))


def check_refused_to_write(ended: Ended) -> None:
    """Raises HarmError unless a command failed with one line that says that it may not write."""
    line = ended.refused()
    if not re.search("Read-only file system|Permission denied|cannot be written", line):
        raise HarmError("unclear", line)


@dataclass(frozen=True)
class Edit:
    """An edit of a file of the checkout that makes the run after it wrong."""

    file: str
    right: str
    wrong: str  # replacement as long as `right`, so that the file keeps its size
    arguments: tuple[str, ...] = ()  # arguments of make


INCLUDING = "tb/soak/including_array"
SUM = "psum_o <= psum_i + product;"
EDITS = (
    Edit("rtl/pe.v", "psum_i + product", "psum_i - product"),
    Edit("tb/components/systolic_array_adapter.py", "if value != old:", "if value == old:"),
    Edit("tb/components/trained_tiles.py", "expected, dim=1", "expected, dim=0"),
    Edit(
        f"{INCLUDING}/sum.inc",
        "psum_i + product",
        "psum_i - product",
        (f"DUT={INCLUDING}/adapter.py",),
    ),
)


def stale_build(checkout: Checkout, rng: Random, number: int) -> str:
    """Edits a file that was built and run, often with the same time stamp, and restores it."""
    element = (checkout.folder / "rtl" / "load_first_pe.v").read_text()
    including = element.replace(SUM, '\n`include "sum.inc"\n')
    if including == element:
        raise InputError(f"rtl/load_first_pe.v: holds no {SUM!r}, expected one to replace")
    (checkout.folder / INCLUDING / "load_first_pe.v").write_text(including)

    edit, same = EDITS[number % len(EDITS)], rng.random() < 0.7
    path = checkout.folder / edit.file
    right, times = path.read_text(), path.stat()
    wrong = right.replace(edit.right, edit.wrong)
    if wrong == right:
        raise InputError(f"{edit.file}: holds no {edit.right!r}, expected one to replace")
    try:
        for content in (right, wrong, right):
            path.write_text(content)
            if same:
                os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
            ended = checkout.make("IMAGES=1", *edit.arguments)
            if content == right:
                checkout.check_earned(ended)
            elif ended.code == 0:
                raise HarmError(
                    "unearned pass", f"{edit.file} is wrong, yet: {ended.output[-500:]}"
                )
    finally:
        path.write_text(right)
    return f"{edit.file}{', same time' if same else ''}: found"


@dataclass(frozen=True)
class Fake:
    """A script of tb/soak/fakes that takes the place of the program that its name begins with."""

    script: str
    words: str  # words that the error line of the refused run must hold
    arguments: tuple[str, ...] = ("IMAGES=1",)  # arguments of make

    @property
    def program(self) -> str:
        """Returns the name of the program."""
        return self.script.partition("_")[0]


SILENT = "4"  # seconds: $SIM_TIMEOUT of a run with a fake that hangs
HUNG = f"had said nothing for {SILENT} s"
FAKES = (
    Fake("vvp_does_nothing.sh", "without results"),
    Fake("vvp_ends_with_an_error.sh", "terminated with error 3"),
    Fake("vvp_crashes.sh", "vvp crashed: it died by SIGSEGV"),
    Fake("vvp_is_killed.sh", "vvp crashed: it died by SIGKILL"),
    Fake("vvp_hangs.sh", HUNG),
    Fake("vvp_closes_its_output_and_hangs.sh", HUNG),
    Fake("vvp_stops_early.sh", "without results"),
    Fake("vvp_crashes_at_the_end.sh", "vvp crashed: it died by SIGSEGV"),
    Fake("vvp_cuts_its_results_short.sh", "are damaged"),
    Fake("vvp_drops_a_test_case.py", "cocotb tests left no result", ("check",)),
    Fake("iverilog_names_no_version.sh", "names no version"),
    Fake("iverilog_crashes_at_the_end.sh", "iverilog crashed"),
    Fake("iverilog_finds_an_error.sh", "error: no"),
    Fake("iverilog_writes_nothing.sh", "left nothing to run"),
    Fake("iverilog_hangs.sh", HUNG),
)


def fake_simulator(checkout: Checkout, rng: Random, number: int) -> str:
    """Lets a compiler or simulator crash, hang, do nothing, or write half of its results."""
    fake = FAKES[number % len(FAKES)]
    if fake.program == "iverilog":
        checkout.forget_builds()
    variables = put_in_place(checkout, fake.program, HERE / "fakes" / fake.script)
    variables |= {"AFTER": f"{rng.uniform(0.05, 1.5):.2f}", "KEPT": str(rng.randrange(300))}
    if fake.words == HUNG:
        variables["SIM_TIMEOUT"] = SILENT
    line = checkout.make(*fake.arguments, **variables).refused()
    if fake.words not in line:
        raise HarmError("unclear", f"expected {fake.words!r}: {line}")
    checkout.check_whole()
    checkout.good_run()
    checkout.check_no_leftovers()
    return f"{fake.program}: {re.sub('^(FAILED|error): ', '', line)[:40]}"


def put_in_place(checkout: Checkout, program: str, script: Path) -> dict[str, str]:
    """Puts a script in the place of a program.

    Returns the environment variables by which a command of the checkout runs the script: its PATH,
    and REAL, the path of the program.
    """
    folder = checkout.folder / "fakes"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    shutil.copy(script, folder / program)
    (folder / program).chmod(0o755)
    return {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}", "REAL": shutil.which(program)}


def damaged_checkpoint(path: Path, rng: Random, whole: bytes) -> str:
    """Writes the checkpoint `whole` to `path` with one to ten bytes flipped, or with another end.

    Returns what was damaged; raises HarmError unless the checkpoint is refused with one clear line.
    """
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
class FaultKind:
    """A kind of fault, and how often it is tried."""

    name: str
    tries: int  # number of tries
    provoke: Callable[[Checkout, Random, int], str]


FAULTS = (
    FaultKind("two runs at once", 6, two_at_once),
    FaultKind("a run killed at any point, and started again", 24, killed),
    FaultKind("a write that fails", 12, write_fails),
    FaultKind("a read-only checkout", len(WRITERS), read_only),
    FaultKind("a stale build", 2 * len(EDITS), stale_build),
    FaultKind("a simulator that crashes or hangs", len(FAKES), fake_simulator),
)
CHECKPOINTS = "a damaged checkpoint"  # tried without a checkout
