"""Builds and runs cocotb benches on Icarus or Verilator.

A build appears when it is whole, under the hash of all that it follows from, and every run has a
folder of its own. So several runs may go on side by side, and any of them may be killed.
cocotb-test knows the simulators' commands.
"""

import logging
import os
import re
import secrets
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import MappingProxyType

from cocotb_test import simulator as cocotb_test

from pymodel.support.command import tell
from pymodel.support.errors import InputError
from pymodel.support.files import ROOT, temporary_folder
from tb.sim.compilation import BUILDS, Commands, Simulation, compiled, prepared
from tb.sim.errors import BenchError, DesignError
from tb.sim.files_read import include_folders, macros
from tb.sim.private_verilator import PrivateVerilator, write_ports
from tb.sim.results_xml import first_failure
from tb.sim.simulators import (
    RANDOM_VALUES,
    UNTESTED,
    VERILATOR_ROOT,
    check_simulator,
    environment,
    random_seed,
    simulator_identity,
    start_values,
)
from tb.sim.sources import RTL, check_sources
from tb.sim.waves import WAVES

RESULTS_XML = "results.xml"  # cocotb's, in the folder of a run


# What Icarus says of SystemVerilog that it does not know; and what to do then
SYSTEM_VERILOG = re.compile("syntax error|sorry|malformed|not supported", re.IGNORECASE)
ICARUS_HINT = " (Icarus supports little of SystemVerilog; SIM=verilator supports it)"

# Environment variable of a bench whose run measures coverage: run_bench's `coverage`
COVERAGE = "SYSTOLIC_COVERAGE"
# The widest vector of the design has 576 bits. Memories have more: their words are data.
COVERAGE_ARGUMENTS = ["--coverage-line", "--coverage-toggle", "--coverage-max-width", "640"]


def run_bench(
    module: str,
    toplevel: str,
    *,
    simulator: str,
    parameters: dict[str, int] | None = None,
    sources: list[Path] | None = None,
    includes: Sequence[Path] = (),
    defines: Mapping[str, str | int] = MappingProxyType({}),
    settings: dict[str, str] | None = None,
    waves: bool | None = None,
    coverage: Path | None = None,
    toggles: Path | None = None,
    variant: str = "",
    folder: Path | None = None,
    heard: Callable[[str], None] = lambda line: None,
    start: str = "random values",
    ports_only: bool = False,
) -> None:
    """Runs the cocotb tests of `module` ("tb.test_pe") on the Verilog module `toplevel`.

    `sources` are Verilog files, by default all of `rtl/`; `settings` are environment variables for
    the bench. `includes` are folders in which sources find what they include, before their own
    folders, and `defines` are macros. The usual cocotb variables work. The compiled simulation
    is kept for the next run.

    The simulation runs in `folder`, by default a temporary one. Afterwards `folder` holds
    `RESULTS_XML` and, with `waves` (by default $WAVES), the waveform `toplevel`.fst. Without
    `folder`, the waveform goes to build/waves, named by bench, `variant`, simulator and parameters.
    Sources find what they include in their folders; sources without a timescale get 1 ns / 1 ps.
    `heard` is called with each line that compiler and simulation print. `start` says with what
    registers begin on Verilator, one of STARTS. With `ports_only` cocotb sees only the top module's
    own signals there, which is faster. With `coverage`, a path
    without suffix, the run measures coverage, and writes it to files with this path and the
    suffixes .dat and .yml (tb/coverage). With `toggles`, a path, Verilator counts there, in SAIF,
    how often each net toggles; registers begin with zeros.

    Raises BenchError with the first failure: a test failed, not all tests ran, the design itself
    called $error (Icarus would go on), a source did not compile (the message says what the compiler
    said), or the simulator crashed or hung. Raises InputError if the simulator or the sources are
    missing, or if a test raised one.
    """
    waves = os.environ.get("WAVES", "") not in ("", "0") if waves is None else waves
    check_simulator(simulator, waves)
    if simulator in UNTESTED:
        tell(f"SIM={simulator} is passed on to cocotb; this project is untested with it")
    sources = sources or check_sources(RTL)
    seed, parameters = random_seed(), parameters or {}
    values = start_values(int(seed), start)
    options = _options(simulator, toplevel, values, waves, coverage, toggles)
    commands = _bench_commands(
        simulator,
        module,
        toplevel,
        sources,
        parameters,
        includes=includes,
        defines=macros(defines),
        waves=waves,
        ports_only=ports_only and simulator == "verilator",
        **options,
    )
    # With coverage there is one build for all benches of a module.
    names = [module.rpartition("test_")[2], variant, simulator]
    names = [toplevel, "coverage"] if coverage else names
    label = "-".join(filter(None, [*names, *(f"{k}{v}" for k, v in parameters.items())]))
    with ExitStack() as stack:
        run = folder or stack.enter_context(temporary_folder(label, BUILDS.folder))
        # No source can know this name, and write results of its own.
        written = run / f"{secrets.token_hex(8)}.xml"
        variables = {
            "COCOTB_RESULTS_FILE": str(written),
            "COCOTB_RANDOM_SEED": seed,
            COVERAGE: str(coverage or ""),
        }
        with environment(simulator, **variables | (settings or {})):
            failure, own = _simulate(simulator, label, sources, commands, run, heard)
            (run / RESULTS_XML).unlink(missing_ok=True)
            if written.exists():
                written.rename(run / RESULTS_XML)
            failure = _verdict(failure, run, module)
        if own:
            failure = "; ".join(filter(None, [f"the design itself reports: {own}", failure]))
        if waves and not folder and (waveform := run / f"{toplevel}.fst").exists():
            WAVES.mkdir(parents=True, exist_ok=True)
            waveform.replace(WAVES / f"{label}.fst")
    if failure:
        raise BenchError(failure)


def keep_logs_quiet() -> None:
    """Keeps cocotb's logs of the runs that follow from the terminal, unless --verbose asked."""
    if not logging.getLogger().handlers and os.environ.get("COCOTB_LOG_LEVEL") != "DEBUG":
        logging.getLogger().addHandler(logging.NullHandler())


def _options(
    simulator: str,
    toplevel: str,
    plus_args: list[str],
    waves: bool,
    coverage: Path | None,
    toggles: Path | None = None,
) -> dict[str, list[str]]:
    """Returns what a simulator gets besides the sources: arguments by cocotb-test's names."""
    if simulator != "verilator":
        return {}
    # The linter looks for warnings, and somebody else's array may have some.
    # Of two modules of one name Verilator would take the first, and hide the other.
    compile_args = [*RANDOM_VALUES, "-Wno-fatal", "-Werror-MODDUP"]
    # The package was configured without g++'s flag for its precompiled header.
    make_args = ["CFG_CXXFLAGS_PCH_I=-include", "-j2"]
    if waves:
        plus_args = [*plus_args, "--trace", "--trace-file", f"{toplevel}.fst"]
    if coverage:
        compile_args += COVERAGE_ARGUMENTS
        make_args += runtime_arguments()
        # Registers begin with zeros, so that no random initial value counts as a toggle.
        plus_args = [f"+verilator+coverage+file+{coverage}.dat"]
    if toggles:
        # Nets of a netlist have names such as _12_, which are not traced by default.
        compile_args += ["--trace-saif", "--trace-underscore"]
        plus_args = ["--trace", "--trace-file", str(toggles)]
    return {"compile_args": compile_args, "make_args": make_args, "plus_args": plus_args}


def _simulate(
    simulator: str,
    label: str,
    sources: list[Path],
    commands: Commands,
    folder: Path,
    listener: Callable[[str], None],
) -> tuple[str | None, str]:
    """Compiles what is not compiled yet, and runs it in `folder`.

    Returns how it failed, with the first line that the tools said of an error, or None if it ended;
    and the first error that the design itself reported, or "".
    """
    said = []

    def heard(line: str) -> None:
        logging.getLogger("cocotb").info(line)
        listener(line)
        if re.search("error|sorry|not found", line, re.IGNORECASE):
            said.append(line)

    compiles = True
    try:
        if simulator in UNTESTED:
            simulation = Simulation(*prepared(commands, folder))
        else:
            simulation = compiled(label, simulator, sources, commands, heard)
        compiles = False
        simulation.run(folder, heard)
    except DesignError as error:
        return ": ".join([error.ended, *said[:1]]) if error.ended else None, error.report
    except BenchError as error:
        if compiles and simulator == "icarus" and SYSTEM_VERILOG.search("".join(said)):
            said[0] += ICARUS_HINT
        return ": ".join([str(error), *said[:1]]), ""
    return None, ""


def _verdict(failure: str | None, folder: Path, module: str) -> str | None:
    """Returns the first failure of a run: by its results if there are any, else its `failure`."""
    if failure and not (folder / RESULTS_XML).exists():
        return failure
    return first_failure(folder / RESULTS_XML, module) or failure


def runtime_arguments() -> list[str]:
    """Returns arguments for make by which builds with coverage share Verilator's run-time library.

    The library takes four fifths of the time that the build of a small module takes. Raises
    InputError if it does not compile.
    """
    identity = {
        "verilator": str(VERILATOR_ROOT),
        "version": simulator_identity("verilator"),
        "arguments": COVERAGE_ARGUMENTS,
    }

    def compile_runtime(folder: Path) -> None:
        verilate = [
            "perl",
            str(VERILATOR_ROOT / "bin" / "verilator"),
            "-cc",
            "--vpi",
            "-Mdir",
            str(folder),
            "--prefix",
            "Vtop",
            *COVERAGE_ARGUMENTS,
            str(RTL / "delay.v"),
        ]
        make = ["make", "-j2", "-C", str(folder), "-f", "Vtop.mk", "-f", "-", "runtime"]
        objects = "runtime: $(VK_GLOBAL_OBJS)\n"
        with environment("verilator"):
            for command in (verilate, [*make, "CFG_CXXFLAGS_PCH_I=-include"]):
                done = subprocess.run(command, input=objects, capture_output=True, text=True)
                if done.returncode:
                    reason = (done.stderr or done.stdout).strip().splitlines()[0]
                    raise InputError(f"Verilator's run-time library: {reason}")

    runtime = BUILDS.make(identity, "runtime-coverage", compile_runtime)
    objects = " ".join(map(str, sorted(runtime.glob("verilated*.o"))))
    return ["VM_GLOBAL_FAST=", "VM_GLOBAL_SLOW=", f"LOADLIBES={objects}"]


def prepare_bench(
    module: str, toplevel: str, sources: list[Path], parameters: dict[str, int], label: str
) -> Simulation:
    """Returns the cocotb tests of `module` on `toplevel`, compiled for Icarus, for many runs.

    Tests of `toplevel` in other modules run with it too, chosen by $COCOTB_TEST_MODULES. The build
    is kept under `label` and a hash. Raises InputError with what the compiler said if a source does
    not compile. Several threads must not call this function at once.
    """
    said = []
    with environment("icarus"):
        try:
            commands = _bench_commands("icarus", module, toplevel, sources, parameters)
            return compiled(label, "icarus", sources, commands, said.append)
        except BenchError as error:
            raise InputError(f"{toplevel} does not compile: {said[0] if said else error}") from None


def _bench_commands(
    simulator: str,
    module: str,
    toplevel: str,
    sources: list[Path],
    parameters: dict[str, int],
    includes: Sequence[Path] = (),
    ports_only: bool = False,
    **options,
) -> Commands:
    """Returns the commands by which cocotb-test compiles and runs the tests of `module`."""

    def commands(build: Path) -> tuple[list[list[str]], dict[str, str]]:
        kind = getattr(cocotb_test, simulator.capitalize())
        control = []
        if ports_only:
            kind, control = PrivateVerilator, [write_ports(build, toplevel)]
        runner = kind(
            module=module,
            toplevel=toplevel,
            verilog_sources=[*control, *sources],
            parameters=parameters,
            python_search=[str(ROOT)],
            sim_build=str(build),
            includes=include_folders(sources, includes),
            timescale="1ns/1ps",
            **options,
        )
        runner.set_env()
        return runner.build_command(), runner.env

    return commands
