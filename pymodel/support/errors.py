"""Defines the one exception that stands for a user's mistake."""


class InputError(Exception):
    """Bad input. The message is one line: file or option, what was found, what was expected."""
