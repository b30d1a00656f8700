"""Compiles a simulation once, and keeps what was compiled for as long as nothing changes."""

import json
import logging
import re
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pymodel.support.command import tell
from pymodel.support.errors import InputError
from pymodel.support.files import temporary_folder
from pymodel.support.result_files import file_digest
from tb.sim.errors import BenchError, DesignError
from tb.sim.files_read import files_read
from tb.sim.kept_results import Store, files_digest
from tb.sim.process import succeed
from tb.sim.simulators import VERILATOR_ROOT, check_paths, simulator_identity
from tb.sim.sources import Untouched

BUILDS = Store("sim")
# File in a build: hashes of the files that only the compiler's own run named
ALSO_READ = "also_read.json"
# What Icarus and Verilator print, anywhere in a line since $write may have begun it, where the
# design itself calls $error or $fatal, with words or without, or where one of its asserts fails;
# what a design prints of an error by $display; and what an adapter logs as an error
OWN_ERROR = re.compile(
    r"(?:ERROR|FATAL|\[\d+\] %(?:Error|Fatal)): (.+:\d+:(?: .*|$))"
    r"|^\W*((?:ERROR|Error|FATAL|Fatal|FAIL|Fail|FAILED|Failed|MISMATCH|Mismatch)\b *[:!].*)"
    r"|^ *[-.\d]+\ws +(?:ERROR|CRITICAL) +(?!cocotb\.(?:regression|test|scheduler)|gpi|pygpi)(\S.*)"
)
# Folders of files that come with packages, by whose versions a build is named already
PACKAGES = tuple(str(Path(one).resolve()) for one in (VERILATOR_ROOT, sys.prefix, "/usr"))


@dataclass(frozen=True)
class Simulation:
    """The commands of a compiled simulation; they can be run in any folder."""

    commands: list[list[str]]
    environment: dict[str, str]

    def run(
        self,
        folder: Path,
        heard: Callable[[str], None],
        *plusargs: str,
        limit: float | None = None,
        **variables: str,
    ) -> None:
        """Runs the simulation in `folder`, each command to its end.

        `plusargs` are added to the last command, `variables` to the environment of each command.
        `heard`, `limit` and the errors are those of `tb.sim.process.succeed`. Raises DesignError at
        the end if the design itself reported an error, since a simulator may go on after it.
        """
        *before, last = self.commands
        own: list[str] = []

        def listen(line: str) -> None:
            if found := OWN_ERROR.search(line):
                own.append(found[found.lastindex])
            heard(line)

        try:
            for command in (*before, [*last, *plusargs]):
                succeed(command, folder, self.environment | variables, listen, limit)
        except BenchError as error:
            if own:
                raise DesignError(own[0], str(error)) from None
            raise
        if own:
            raise DesignError(own[0])


# A function that takes a folder. It returns a list of commands, of which the last one runs what the
# others compile into the folder, and the environment of all.
Commands = Callable[[Path], tuple[list[list[str]], dict[str, str]]]


def compiled(
    label: str,
    simulator: str,
    sources: list[Path],
    commands: Commands,
    heard: Callable[[str], None],
    message: str = "",
) -> Simulation:
    """Returns a compiled simulation; unless it is kept, says `message` and compiles it.

    The build is named by a hash of the commands and of all files that they read. The build
    gets this name when it is complete. It is made again if a file changed that only the compiler's
    own run named, such as a module that it found by itself, or a header of C++. `heard` takes each
    line that a compiler says. Raises BenchError if a command fails, and InputError for a path that
    the simulator cannot use, or if a file changes while it is compiled.
    """
    check_paths(simulator, BUILDS.folder, sources)
    with temporary_folder(label, BUILDS.folder) as folder:
        (*compiling, running), environment = prepared(commands, folder)
        files = files_read(simulator, sources, compiling[0]).files
        untouched = Untouched(files)
        identity = {
            "simulator": simulator_identity(simulator),
            "sources": [str(file) for file in files],
            "commands": json.loads(json.dumps(compiling).replace(str(folder), "")),
            "contents": files_digest(files),
        }
        build = BUILDS.path(identity, label)
        if build.exists() and not _is_current(build):
            build.rename(folder.with_suffix(".old.tmp"))
            shutil.rmtree(folder.with_suffix(".old.tmp"))
        if not build.exists():
            if message:
                tell(message)
            for command in compiling:
                logging.getLogger("cocotb").info("Running command: %s", " ".join(command))
                succeed(command, folder, environment, heard)
            if not all(Path(w).exists() for w in running if w.startswith(str(folder))):
                raise BenchError(f"Process {command[0]} left nothing to run")
            for program in folder.glob("*.vvp"):
                check_program(program)
            untouched.check()
            if more := _also_read(folder, files):
                (folder / ALSO_READ).write_text(json.dumps(more))
            BUILDS.adopt(folder, build)
    return Simulation([[word.replace(str(folder), str(build)) for word in running]], environment)


def _also_read(build: Path, known: Sequence[Path]) -> dict[str, str]:
    """Returns the hashes, by path, of more files that the compilers of a new build say they read.

    Verilator and g++ write them as rules for make. Files of packages are left out.
    """
    named = {
        (build / word).resolve()
        for rules in build.glob("*.d")
        for word in re.split(r"[\s:\\]+", rules.read_text(errors="replace"))
        if word
    }
    named -= {file.resolve() for file in known}
    return {
        str(file): file_digest(file)
        for file in sorted(named)
        if file.is_file() and not str(file).startswith((*PACKAGES, str(build.resolve())))
    }


def _is_current(build: Path) -> bool:
    """Returns whether all files that only the compiler's run named are as they were."""
    try:
        more = json.loads((build / ALSO_READ).read_text())
    except FileNotFoundError:
        return True
    return all(Path(f).is_file() and file_digest(f) == digest for f, digest in more.items())


def prepared(commands: Commands, folder: Path) -> tuple[list[list[str]], dict[str, str]]:
    """Returns `commands(folder)`, and restores the signal handlers that cocotb-test replaces.

    Only the main thread may set signal handlers, so they are restored only there.
    """
    numbers = (signal.SIGINT, signal.SIGTERM)
    handlers = {number: signal.getsignal(number) for number in numbers}
    try:
        return commands(folder)
    except AssertionError as error:
        if "Exiting pid" in str(error):  # cocotb-test's handlers report Ctrl-C in this way
            raise KeyboardInterrupt from None
        raise
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in handlers.items():
                signal.signal(number, handler)


def check_program(path: Path) -> None:
    """Raises InputError unless the program that iverilog wrote is whole; it ignores a full disk.

    The last thing in such a program is a list of files, which begins with their number.
    """
    last = re.search(rb'^:file_names (\d+);\n((?:    ".*";\n)*)\Z', path.read_bytes(), re.MULTILINE)
    if not last or last[2].count(b"\n") != int(last[1]):
        raise InputError(
            f"{path.parent.parent}: what iverilog wrote is cut short; is the disk full?"
        )
