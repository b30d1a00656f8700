"""Runs tests again and again in forks of a process that has loaded the large libraries once.

This is a program of its own, not a module: it runs in a copy of the project, and imports nothing of
the project, so that each fork imports the copy's modules as they are at that moment. Each line of
its input is a JSON list: arguments of pytest, seconds after which the tests are stopped, and the
file for their output. Each line of its output is the exit code of pytest, -1 if it was stopped.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path


def main() -> None:
    """Answers each line of the input."""
    sys.path[0] = str(Path.cwd())
    import _pytest.assertion.rewrite  # noqa: F401
    import cocotb  # noqa: F401
    import numpy  # noqa: F401
    import pytest  # noqa: F401
    import torch  # noqa: F401

    for line in sys.stdin:
        print(run(*json.loads(line)), flush=True)


def run(arguments: list[str], limit: float, log: str) -> int:
    """Returns the exit code of pytest with these arguments, or -1 after `limit` seconds."""
    child = os.fork()
    if child == 0:
        code = 3  # pytest's own code for an internal error
        try:
            os.setsid()
            output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            for stream in (1, 2):
                os.dup2(output, stream)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            import pytest

            code = int(pytest.main(arguments))
        finally:
            sys.stdout.flush()
            os._exit(code)
    end = time.monotonic() + limit
    while time.monotonic() < end:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status) % 256  # a signal is a failure, too
        time.sleep(0.02)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return -1


if __name__ == "__main__":
    main()
