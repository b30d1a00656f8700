"""Gives all commands the same help with examples, --quiet and --verbose, colours and exit codes."""

import argparse
import errno
import importlib
import logging
import os
import re
import sys
from collections.abc import Callable, Sequence

from rich.console import Console, RenderableType
from rich.text import Text

from pymodel.support.errors import InputError

PASSED, FAILED, REFUSED, INTERRUPTED = 0, 1, 2, 130  # exit codes
# Error numbers that the user's disk causes and not a mistake in this project: the disk is full or
# read-only, a file is too large or belongs to another user.
UNWRITABLE = {
    errno.EACCES,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EIO,
    errno.ENOSPC,
    errno.EPERM,
    errno.EROFS,
}
_quiet = False


class CommandParser(argparse.ArgumentParser):
    """The parser of one command, which takes its help from the docstring of the module.

    The first line of `doc` is the description, its lines `python -m …` are the examples. Every
    command takes --quiet and --verbose; both hold for the whole process once arguments are parsed.
    """

    def __init__(self, module: str, doc: str):
        examples = re.findall(r"^ *((?:\w+=\w+ )?python -m(?:.*\\\n)*.*)$", doc, re.MULTILINE)
        super().__init__(
            prog=f"python -m {module}",
            description=doc.splitlines()[0],
            epilog="\n".join(["examples:", *(f"  {example}" for example in examples)]),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        how_much = self.add_mutually_exclusive_group()
        how_much.add_argument("-q", "--quiet", action="store_true", help="print only the last line")
        how_much.add_argument(
            "-v", "--verbose", action="store_true", help="print all that cocotb logs"
        )

    def parse_args(self, args: Sequence[str] | None = None, namespace=None) -> argparse.Namespace:
        """Parses arguments as argparse does, and sets how much this process prints."""
        arguments = super().parse_args(args, namespace)
        global _quiet
        _quiet = arguments.quiet
        if _quiet:  # cocotb-test adds a handler that prints, unless there is a handler already
            logging.getLogger().addHandler(logging.NullHandler())
        if arguments.verbose:
            os.environ["COCOTB_LOG_LEVEL"] = "DEBUG"
        return arguments

    def print_help(self, file=None) -> None:
        """Prints the help; raises an error if it cannot be printed, which argparse would ignore."""
        if file is None:
            _print(self.format_help().rstrip("\n"))
        else:
            super().print_help(file)


def whole_number(name: str, text: str, low: int, high: int) -> int:
    """Returns `text` as an integer from `low` to `high`.

    Raises InputError for any other text. The message uses `name` as the name of the number.

    >>> whole_number("IMAGES", "16", 1, 100)
    16
    """
    # The length is checked first because int() refuses very long numbers with an error of its own.
    if not text.isascii() or not text.isdecimal() or len(text) > 9 or not low <= int(text) <= high:
        raise InputError(f"{name} is {text!r}, expected a whole number from {low} to {high}")
    return int(text)


def quiet() -> bool:
    """Returns whether this command was called with --quiet."""
    return _quiet


def tell(*parts: RenderableType) -> None:
    """Prints `parts`, and with --quiet prints nothing. Long lines are not broken."""
    if not _quiet:
        for part in parts:
            _print(part)


def conclude(text: str, *, passed: bool = True) -> int:
    """Prints the last line, in green or red on a terminal, and returns the exit code, 0 or 1."""
    _print(text, style="green" if passed else "bold red")
    return PASSED if passed else FAILED


def run_command(main: Callable[[], int]) -> None:
    """Runs the `main` of a command and exits with what `main` returns: 0 passed, 1 a check failed.

    An InputError, or a file that cannot be written, gives one line on stderr and exit code 2,
    without traceback. Ctrl-C gives exit code 130, as a shell expects. Characters that the output
    cannot show are replaced.
    """
    for stream in (sys.stdout, sys.stderr):  # their encoding is ASCII in a minimal container
        stream.reconfigure(errors="replace")
    try:
        sys.exit(main())
    except InputError as error:
        _print(f"error: {error}", style="bold red", stderr=True)
        sys.exit(REFUSED)
    except OSError as error:
        if error.errno not in UNWRITABLE:
            raise
        where = f"{error.filename}: " if error.filename else ""
        _print(f"error: {where}{error.strerror}", style="bold red", stderr=True)
        sys.exit(REFUSED)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)


def run_room(room: str, commands: dict[str, str] | str) -> None:
    """Runs the command of a room: its only command, or the one that the first argument names.

    `commands` is the module of the only command, or the module of each command by name. The modules
    are imported here, so that worker processes find their functions by the names of the modules.
    With --help the names are printed. An unknown name, or none, gives one line on stderr and exit
    code 2.
    """
    if isinstance(commands, str):
        run_command(importlib.import_module(commands).main)
    names = sys.argv[1:2]
    if names and names[0] in commands:
        module = importlib.import_module(commands[names[0]])
        sys.argv[1:2] = []
        run_command(module.main)
    lines = [f"  python -m {room} {name} --help" for name in commands]
    if names in (["-h"], ["--help"]):
        run_command(lambda: _print("\n".join(["commands of this room:", *lines])) or PASSED)
    found = f"'{names[0]}'" if names else "nothing"
    print(f"error: python -m {room} got {found}, expected {', '.join(commands)}", file=sys.stderr)
    sys.exit(REFUSED)


def _print(part: RenderableType, *, style: str | None = None, stderr: bool = False) -> None:
    """Prints through rich, in colours only on a terminal, and not where NO_COLOR is set."""
    console = Console(stderr=stderr, highlight=False, markup=False, emoji=False)
    try:
        console.print(part, style=style, soft_wrap=isinstance(part, str | Text))
    except OSError as error:  # for example if the output goes to a full disk or to /dev/full
        error.filename = "standard error" if stderr else "standard output"
        raise
