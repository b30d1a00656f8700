"""The one exception that stands for a user's mistake, and how a command reports it."""

import sys
from collections.abc import Callable


class InputError(Exception):
    """Bad input. The message is one line: the file or option, what was found, what was expected."""


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
