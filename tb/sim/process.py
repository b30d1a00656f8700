"""Runs a compiler or a simulator to its end, and notices every hang, crash and orphan."""

import ctypes
import functools
import os
import re
import selectors
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from pymodel.support.errors import InputError
from tb.sim.errors import BenchError

TIMEOUT = 1800.0  # seconds without a line of output, after which a process is given up

_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1  # <sys/prctl.h>


class SilentError(BenchError):
    """A process said nothing for too long."""


def silence_limit() -> float:
    """Returns $SIM_TIMEOUT, in seconds, by default TIMEOUT.

    Raises InputError if it is no number of seconds above 0.
    """
    text = os.environ.get("SIM_TIMEOUT", "") or str(TIMEOUT)
    if not re.fullmatch(r"\d{1,9}(\.\d{1,9})?", text, re.ASCII) or not float(text):
        raise InputError(f"SIM_TIMEOUT is {text!r}, expected seconds, above 0")
    return float(text)


def succeed(
    command: Sequence[str],
    folder: Path,
    environment: dict[str, str],
    heard: Callable[[str], None],
    limit: float | None = None,
) -> None:
    """Runs a command as `execute` does; raises BenchError also if its exit code is not 0."""
    if code := execute(command, folder, environment, heard, limit):
        raise BenchError(f"Process {command[0]} terminated with error {code}")


def execute(
    command: Sequence[str],
    folder: Path,
    environment: dict[str, str],
    heard: Callable[[str], None],
    limit: float | None = None,
) -> int:
    """Runs a command in `folder`, passes each output line to `heard`, and returns its exit code.

    Raises BenchError if a signal ends the command, SilentError if it says nothing for `limit`
    seconds (by default `silence_limit()`), and InputError if it does not start. An exception from
    `heard` stops the command. The command ends with this process, however this process ends (on
    Linux).
    """
    limit, name = limit or silence_limit(), Path(command[0]).name
    try:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            process_group=0,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            preexec_fn=functools.partial(_end_with, os.getpid()),
        )
    except OSError as error:
        raise InputError(f"{command[0]}: does not start ({error.strerror})") from None
    try:
        for line in _lines(process.stdout, limit):
            heard(line)
        code = process.wait(limit)
    except BaseException as error:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # with all that it started
        process.wait()
        if isinstance(error, TimeoutError | subprocess.TimeoutExpired):
            raise SilentError(
                f"{name} was stopped: it had said nothing for {limit:g} s; if it works that long, "
                "raise SIM_TIMEOUT"
            ) from None
        raise
    finally:
        process.stdout.close()
    number = -code if code < 0 else code - 128  # a shell's way to say it of its own child
    if number in set(signal.Signals):
        reason = signal.Signals(number).name
        if number == signal.SIGXFSZ:
            reason += ", a file was larger than `ulimit -f` allows"
        raise BenchError(f"{name} crashed: it died by {reason}")
    return code


def _lines(pipe, limit: float) -> Iterator[str]:
    """Yields the output lines of a process; TimeoutError if none comes for `limit` seconds."""
    rest = b""
    with selectors.DefaultSelector() as ready:
        ready.register(pipe, selectors.EVENT_READ)
        while True:
            if not ready.select(limit):
                raise TimeoutError
            some = os.read(pipe.fileno(), 1 << 16)
            *lines, rest = (rest + some).split(b"\n")
            for line in lines if some else [rest] * bool(rest):
                yield line.decode(errors="replace").rstrip()
            if not some:
                return


def _end_with(parent: int) -> None:
    """Has this new process killed when `parent` ends, which may have happened already."""
    if hasattr(_LIBC, "prctl"):
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
