"""The one error that says: the device under test is wrong."""

from pathlib import Path


class BenchError(AssertionError):
    """The device under test is wrong, or the check was empty. One line that says where."""

    build: Path | None = None  # the folder of the run, where there was one
