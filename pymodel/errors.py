"""The one exception that stands for a user's mistake, and how a command reports it."""

import sys
from collections.abc import Callable


class InputError(Exception):
    """Bad input. The message is one line: the file or option, what was found, what was expected."""


def whole_number(name: str, text: str, low: int, high: int) -> int:
    """`text` as an integer from `low` to `high`; InputError, which calls it `name`, if it is none.

    >>> whole_number("IMAGES", "16", 1, 100)
    16
    """
    # The length first: int() refuses very long ones in words of its own.
    if not text.isascii() or not text.isdecimal() or len(text) > 9 or not low <= int(text) <= high:
        raise InputError(f"{name} is {text!r}, expected a whole number from {low} to {high}")
    return int(text)


def run_command(main: Callable[[], int]) -> None:
    """Run a command's `main`; print an `InputError` as one line and exit with 2, without traceback.

    Ctrl-C exits with 130, as a shell expects.
    """
    try:
        sys.exit(main())
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
