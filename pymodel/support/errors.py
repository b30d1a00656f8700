"""Defines the exception for a mistake of the user."""


class InputError(Exception):
    """A mistake of the user. The message is one line: file or option, what was found, expected."""
