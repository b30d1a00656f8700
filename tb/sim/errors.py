"""Defines the one error that means: the device under test is wrong."""


class BenchError(AssertionError):
    """The device under test is wrong, or the check was empty.

    The message is one line with the place.
    """
