"""Defines the one error that means: the device under test is wrong."""

from pathlib import Path


class BenchError(AssertionError):
    """The device under test is wrong, or the check was empty.

    The message is one line with the place.
    """

    build: Path | None = None  # the folder of the run, where there was one
