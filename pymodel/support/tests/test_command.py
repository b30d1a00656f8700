"""All commands have the same help, --quiet, --verbose, colours and exit codes."""

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pymodel.support import command as commands
from pymodel.support.command import CommandParser, conclude, tell
from pymodel.support.errors import InputError
from pymodel.support.files import ROOT

FULL = Path("/dev/full")  # of Linux


def all_commands() -> dict[str, str]:
    """Returns for all that a user can type after `python -m` the module that holds the `main`."""
    found = {}
    for room in ("pymodel", "training", "tb"):
        for path in (ROOT / room).rglob("*.py"):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            if path.name == "__main__.py":
                folder = name.removesuffix(".__main__")
                only = re.search(r'run_room\("[\w.]+", "([\w.]+)"\)', path.read_text())
                commands = {"": only[1]} if only else importlib.import_module(name).COMMANDS
                found |= {f"{folder} {word}".strip(): module for word, module in commands.items()}
            elif "\n    run_command(" in path.read_text() and room == "training":
                found[name] = name
    return found


COMMANDS = all_commands()
DOC = """What it does.

python -m some.module --all \\
    --of it
    X=1 python -m some.module
"""


@pytest.fixture(autouse=True)
def restored_settings(monkeypatch):
    """Undoes after each test what --quiet and --verbose set in the process."""
    monkeypatch.setattr(commands, "_quiet", False)
    monkeypatch.delenv("COCOTB_LOG_LEVEL", raising=False)


def test_all_commands_are_here():
    assert {"tb.run layer", "tb.formal", "training.train", "pymodel.own_network"} <= set(COMMANDS)
    assert len(COMMANDS) > 20


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_an_example(name, command):
    module = COMMANDS[name]
    source = importlib.import_module(module)
    shared = source.main.__module__ == "training.examples.few_steps"  # it takes a factory
    arguments = [getattr(source, module.rpartition(".")[2])] if shared else []
    code, out, err = command(lambda: source.main(*arguments), "--help")
    assert (code, err) == (0, "")
    assert out.startswith(f"usage: python -m {name} ")
    examples = out[out.index("examples:") :]
    assert re.search(rf"^  (\w+=\w+ )?python -m {re.escape(name)}\b", examples, re.MULTILINE)
    for option in ("--quiet", "--verbose"):
        assert option in out


def test_examples_come_from_the_docstring(capsys):
    with pytest.raises(SystemExit):
        CommandParser("some.module", DOC).parse_args(["--help"])
    out = capsys.readouterr().out
    assert "What it does." in out
    assert "  python -m some.module --all \\\n    --of it\n  X=1 python -m some.module\n" in out


def test_quiet_says_only_how_it_ended(command):
    def main():
        CommandParser("some.module", DOC).parse_args()
        tell("a table")
        return conclude("FAILED: why", passed=False)

    assert command(main) == (1, "a table\nFAILED: why\n", "")
    assert command(main, "--quiet") == (1, "FAILED: why\n", "")


def test_verbose_is_cocotbs_debug_level(command):
    def main():
        CommandParser("some.module", DOC).parse_args()
        return conclude(os.environ.get("COCOTB_LOG_LEVEL", "none"))

    assert command(main)[1] == "none\n"
    assert command(main, "-v")[1] == "DEBUG\n"


def test_exit_codes(command):
    def stopped(error):
        def main():
            raise error

        return main

    assert command(lambda: conclude("right"))[0] == 0
    assert command(lambda: conclude("wrong", passed=False))[0] == 1
    assert command(stopped(InputError("a: found b, expected c"))) == (
        2,
        "",
        "error: a: found b, expected c\n",
    )
    assert command(stopped(KeyboardInterrupt())) == (130, "", "interrupted\n")


COLOURED = "from pymodel.support.command import conclude; conclude('[bold]right, 1 of 2')"


@pytest.mark.parametrize(("no_color", "coloured"), [(None, True), ("1", False)])
def test_colours_only_on_a_terminal_and_not_with_no_color(no_color, coloured):
    """Output is coloured on a pseudo-terminal without NO_COLOR, and never through a pipe."""
    variables = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR")}
    variables |= {"TERM": "xterm"} | ({"NO_COLOR": no_color} if no_color else {})
    line = [sys.executable, "-c", COLOURED]
    ours, theirs = os.openpty()
    subprocess.run(line, stdout=theirs, env=variables, cwd=ROOT, check=True)
    os.close(theirs)
    shown = os.read(ours, 1000).decode()
    os.close(ours)
    assert ("\x1b[32m" in shown) == coloured
    assert "[bold]right, 1 of 2" in shown
    piped = subprocess.run(line, capture_output=True, text=True, env=variables, cwd=ROOT)
    assert piped.stdout == "[bold]right, 1 of 2\n"


@pytest.mark.parametrize(("arguments", "code"), [([], 2), (["nothing"], 2), (["--help"], 0)])
def test_a_room_of_several_commands_names_them(arguments, code):
    done = subprocess.run(
        [sys.executable, "-m", "tb.gates", *arguments], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == code
    assert re.search("netlist.*synth", done.stdout + done.stderr, re.DOTALL)
    assert done.stderr.count("\n") == (code != 0)


def test_an_output_that_is_ascii_is_no_traceback():
    program = "run_command(lambda: conclude('an array of 8 × 8, −7'))"
    done = subprocess.run(
        [sys.executable, "-c", f"from pymodel.support.command import *\n{program}"],
        cwd=ROOT,
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "an array of 8 ? 8, ?7\n", "")


@pytest.mark.parametrize(
    "arguments",
    [
        ["-m", "tb.gates", "--help"],
        ["-m", "tb.gates", "synth", "--help"],
        ["-c", "from pymodel.support.command import *; run_command(lambda: conclude('right'))"],
    ],
)
def test_an_output_that_is_full_fails(arguments):
    """A command whose output cannot be written fails, with one line that names the output."""
    with FULL.open("w") as full:
        done = subprocess.run(
            [sys.executable, *arguments], cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert (done.returncode, done.stderr) == (
        2,
        "error: standard output: No space left on device\n",
    )
