"""Compiles the core in its Verilog host for speed."""

import os
from pathlib import Path

from cocotb_test import simulator as cocotb_test

from pymodel.hardware.core import Core
from pymodel.support.errors import InputError
from pymodel.support.files import ROOT
from tb.host.core_program import CORE
from tb.sim.compilation import Simulation, compiled
from tb.sim.errors import BenchError
from tb.sim.files_read import include_folders
from tb.sim.private_verilator import PrivateVerilator
from tb.sim.simulators import (
    RANDOM_VALUES,
    VERILATOR_ROOT,
    check_simulator,
    environment,
    start_values,
)
from tb.sim.sources import RTL, check_sources

HOST_PARAMETERS = {"ACT_WIDTH", "ACT_SIGNED", "WEIGHT_WIDTH", "SUM_WIDTH", "POOL_WIDTH"}
# Options for speed, with cocotb and without
OPTIMISED = ["-O3", *RANDOM_VALUES, "-Wno-lint", "-Wno-style"]
SEED = 1  # of the values that registers and memories begin with; no result may depend on it
OPTIMISED_MAKE = ["CFG_CXXFLAGS_PCH_I=-include", "OPT_FAST=-O3", "-j2"]


def prepare_host(
    simulator: str, module: str | None = None, rtl: Path = RTL, core: Core = CORE
) -> Simulation:
    """Returns the core in its host (core_host.v), compiled for speed.

    `core` may have other bits of activations, weights and sums than the default core, and no other
    sizes.
    The cocotb `module` drives it. Without a module, a bare Verilog bench drives it on Icarus, and a
    bare loop in C++ on Verilator. Raises InputError if the sources do not compile.
    """
    check_simulator(simulator, tested=True)
    host = ROOT / "tb" / "host" / "core_host.v"
    sources = [*check_sources(rtl), host]
    if simulator == "verilator":
        sources.insert(0, host.with_suffix(".vlt" if module else ".cpp"))
    parameters = {
        name.upper(): value for name, value in vars(core).items() if value != getattr(Core(), name)
    }
    assert parameters.keys() <= HOST_PARAMETERS, parameters
    label = f"core_host-{'cocotb' if module else 'alone'}-{simulator}"
    said = []
    with environment(simulator):
        try:
            return compiled(
                label,
                simulator,
                sources,
                lambda build: _host_commands(simulator, module, sources, build, parameters),
                said.append,
                f"Compiling the core in its host for {simulator}",
            )
        except BenchError as error:
            reason = said[0] if said else error
            raise InputError(f"{rtl}: does not compile for {simulator}: {reason}") from None


def _host_commands(
    simulator: str, module: str | None, sources: list[Path], build: Path, parameters: dict[str, int]
) -> tuple[list[list[str]], dict[str, str]]:
    """Returns the commands that compile into `build`, the one that runs, and their environment."""
    if simulator == "verilator" and not module:
        verilate = [
            "perl",
            str(VERILATOR_ROOT / "bin" / "verilator"),
            "-cc",
            "--exe",
            "-Mdir",
            str(build),
            "--top-module",
            "core_host",
            "--no-timing",
            "-Wno-STMTDLY",
            *(f"-G{name}={value}" for name, value in parameters.items()),
            *(f"-I{folder}" for folder in include_folders(sources)),
            *OPTIMISED,
            *map(str, sources),
        ]
        make = ["make", "-C", str(build), "-f", "Vcore_host.mk", *OPTIMISED_MAKE]
        return [verilate, make, [str(build / "Vcore_host"), *start_values(SEED)]], dict(os.environ)
    common = {
        "module": module or "",
        "toplevel": "core_host_clocked",
        "sim_build": str(build),
        "verilog_sources": list(map(str, sources)),
        "includes": list(map(str, include_folders(sources))),
        "python_search": [str(ROOT)],
        "parameters": parameters,
    }
    if simulator == "icarus":
        runner = cocotb_test.Icarus(**common)
    else:
        runner = PrivateVerilator(
            **common,
            make_args=OPTIMISED_MAKE,
            plus_args=start_values(SEED),
            compile_args=[*OPTIMISED, "--timing", "-CFLAGS", "-std=c++20"],
        )
    runner.set_env()
    runner.env.pop("COCOTB_TEST_FILTER", None)  # the filter is meant for benches
    commands = runner.build_command()
    if not module:
        commands[-1] = ["vvp", "-n", commands[-1][-1], "+alone"]
    return commands, runner.env
