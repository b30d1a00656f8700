"""Runs the benches that count under Verilator with coverage, and keeps what each reached."""

import argparse
import logging
import multiprocessing
import os
import shutil
import signal
import sys
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tqdm import tqdm

from pymodel.support.command import quiet, tell
from pymodel.support.errors import InputError
from pymodel.support.files import temporary_folder
from tb.modules.module_table import TABLE, Run
from tb.sim.errors import BenchError
from tb.sim.kept_results import Store, code
from tb.sim.run_bench import COVERAGE_ARGUMENTS, runtime_arguments
from tb.sim.simulators import random_seed, simulator_identity
from tb.sim.sources import RTL, Untouched, check_sources, rtl_digest

SIMULATOR = "verilator"
STORE = Store("coverage")
# Each module of rtl/ has its bench; the core has these besides.
MORE_BENCHES = ("core_packets", "core_random", "core_states")
# Arrays of more PEs take minutes to compile, and have no line that these lack.
LARGEST = 64
ARRAYS = ("core", "systolic_array", "load_first_array", "reconfigurable_array")


def label(run: Run) -> str:
    """Returns a run's name, without what must not stand in the name of a file."""
    return f"{run.bench.rpartition('test_')[2].removeprefix('tb.run.')}-{run}"


def build(run: Run) -> str:
    """Returns a text that names the build of a run; runs with the same text share a build."""
    return f"{run.toplevel} {dict(run.parameters)}"


def size(run: Run) -> int:
    """Returns the number of PEs of a run's array, or 0 for a module that holds no array."""
    if run.toplevel not in ARRAYS:
        return 0
    return run.parameters.get("ROWS", 8) * run.parameters.get("COLS", 8)


def identity(run: Run) -> dict[str, Any]:
    """Returns all that the coverage of a run follows from."""
    return {
        "run": asdict(run),
        "simulator": simulator_identity(SIMULATOR),
        "seed": random_seed(),
        "arguments": COVERAGE_ARGUMENTS,
        "rtl": rtl_digest(),
        "code": code("tb.sim.run_bench", run.bench),
    }


def suite(only: Sequence[str] = ()) -> list[Run]:
    """Returns the runs whose coverage counts: all of them, or those that `only` names.

    A name is that of a module, or one of MORE_BENCHES. Raises InputError for an unknown name.
    """
    names = [source.stem for source in check_sources(RTL)] + list(MORE_BENCHES)
    for name in only:
        if name not in names:
            raise InputError(f"--only {name}: expected some of {', '.join(names)}")
    found = []
    for run in (run for module in TABLE for run in module.runs):
        if run.measured and (not run.simulators or SIMULATOR in run.simulators):
            bench = run.bench.removeprefix("tb.test_")
            if not only or (bench if bench in MORE_BENCHES else run.toplevel) in only:
                found.append(run)
    return found


def run_all(runs: Sequence[Run], arguments: argparse.Namespace) -> list[Path]:
    """Measures each run, as many at a time as there are cores; returns the folders of results.

    The result of a run is kept, and used again unless `arguments.fresh`. Raises BenchError if a
    test fails.
    """
    untouched = Untouched.of(RTL)
    folders = {STORE.path(identity(run), label(run)): run for run in runs}
    missing = [folder for folder in folders if arguments.fresh or not folder.exists()]
    groups = defaultdict(list)  # by build
    for folder in missing:
        groups[build(folders[folder])].append(folder)
    by_size = sorted(groups.values(), key=lambda g: ("ROWS" in str(folders[g[0]]), len(g)))
    progress = tqdm(
        total=len(runs), initial=len(runs) - len(missing), unit="run", disable=quiet() or None
    )
    if missing:
        tell(
            f"{len(runs)} runs of {len({run.bench for run in runs})} benches, "
            f"{len(runs) - len(missing)} of them are kept from before"
        )
        runtime_arguments()
    workers = os.cpu_count() or 1
    pool = ProcessPoolExecutor(
        workers, multiprocessing.get_context("spawn"), prepare_worker, [arguments.verbose]
    )
    try:
        waiting = [
            pool.submit(measure, [(folder, folders[folder]) for folder in group], untouched)
            for group in by_size[::-1]  # the largest first
        ]
        for done in as_completed(waiting):
            progress.update(done.result())
    finally:
        progress.close()
        pool.shutdown(cancel_futures=True)
    return list(folders)


def prepare_worker(verbose: bool) -> None:
    """Ignores Ctrl-C, which the worker's simulation gets too; silences cocotb and the compilers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if not verbose:
        logging.getLogger().addHandler(logging.NullHandler())
        with Path(os.devnull).open("w") as nothing:  # cocotb-test complains after Ctrl-C
            os.dup2(nothing.fileno(), sys.stderr.fileno())


def measure(runs: Sequence[tuple[Path, Run]], untouched: Untouched) -> int:
    """Makes the runs of one build, one after another; returns their number.

    Each run comes with the folder that keeps its result. Raises BenchError, with the run's name, if
    a test fails, and InputError if a source was touched since the folders got their names.
    """
    for place, run in runs:
        with temporary_folder(label(run), place.parent) as folder:
            try:
                run.on(SIMULATOR, waves=False, coverage=folder / "reached")
            except BenchError as error:
                raise BenchError(f"{label(run)}: {error}") from None
            untouched.check()
            shutil.rmtree(place, ignore_errors=True)  # of a run before this one, with --fresh
            STORE.adopt(folder, place)
    return len(runs)
