"""Compares the speed of the core that cocotb drives with that of the same core without cocotb.

Without cocotb, a bare C++ loop (core_host.cpp) drives the core on Verilator, and a bare Verilog
bench (core_host_clocked with +alone) on Icarus. RTL, host, optimisation and the preloaded stimulus
are the same.
"""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np
from tabulate import tabulate

from pymodel.hardware.core import Layer
from pymodel.support.files import temporary_folder
from tb.host.compile_host import prepare_host
from tb.host.core_program import jobs_of, read_results, write_program
from tb.host.simulate import PROGRAM, simulate
from tb.sim.compilation import Simulation
from tb.sim.errors import BenchError

SQUEEZED = Layer(4, 4, 8, 8)
IMAGES = 10_000  # of the squeezed layer: a little more than a million cycles
ROUNDS = {"verilator": 5, "icarus": 1}  # the median counts; Icarus takes minutes
LEAST_RATIO = 0.8


def measure_speed(simulator: str, images: int = IMAGES) -> dict:
    """Returns the cycles per second with cocotb and without, and their ratio.

    On Icarus both run at the same time, on Verilator one after the other. Raises BenchError if they
    do not give the same sums.
    """
    rng = np.random.default_rng(1)
    layer = replace(SQUEEZED, images=images)
    codes = rng.integers(0, 16, (images, layer.in_channels, layer.height, layer.width), np.int8)
    weights = rng.integers(-7, 8, (layer.out_channels, layer.in_channels, 3, 3), np.int8)
    prepare_host(simulator, PROGRAM)
    alone = prepare_host(simulator)
    rates, sums, cycles = [], [], 0
    for _ in range(ROUNDS[simulator]):
        with ThreadPoolExecutor(2 if simulator == "icarus" else 1) as pool:
            runs = [
                pool.submit(run_cocotb, simulator, codes, weights),
                pool.submit(run_alone, alone, layer, codes, weights),
            ]
        rates.append([run.result()[0] for run in runs])
        sums += [run.result()[1] for run in runs]
        cycles = runs[1].result()[2]
    if not all(np.array_equal(sums[0], other) for other in sums[1:]):
        raise BenchError(f"{simulator}: the sums with cocotb are not those without it")
    cocotb, bare = (median(column) for column in zip(*rates, strict=True))
    return {
        "simulator": simulator,
        "cycles": cycles,
        "cocotb_cycles_per_second": cocotb,
        "bare_cycles_per_second": bare,
        "ratio": cocotb / bare,
    }


def run_cocotb(simulator: str, codes: np.ndarray, weights: np.ndarray) -> tuple[float, np.ndarray]:
    """Runs a layer with cocotb; returns cycles per second, from start to last result, and the sums.

    codes: [N, C_in, H, W]; weights: [C_out, C_in, 3, 3]; sums: int32 [N, C_out, H, W].
    """
    settings = {"out_channels": len(weights), "kernel": 3, "stride": 1, "padding": 1, "mode": 0}
    results, counts = simulate(simulator, [settings | {"pools": 0}], codes, [weights], [None])
    return counts[0]["cycles"] / counts[0]["seconds"], results[0]


def run_alone(
    simulation: Simulation, layer: Layer, codes: np.ndarray, weights: np.ndarray
) -> tuple[float, np.ndarray, int]:
    """Runs the layer without cocotb; returns cycles per second, sums, and the number of cycles.

    codes: [N, C_in, H, W]; weights: [C_out, C_in, k, k]; sums: int32 [N, C_out, H', W'].
    """
    jobs = jobs_of(layer)
    with temporary_folder("speed") as folder:
        write_program(folder, jobs, codes, weights)
        seconds = play(simulation, folder)
        sums, status = read_results(folder, jobs)
    return status.cycles / seconds, sums, status.cycles


def play(simulation: Simulation, folder: Path) -> float:
    """Runs a host without cocotb in `folder`; returns the seconds from "go" to "done".

    Raises BenchError if the simulation ends earlier.
    """
    times = {}
    simulation.run(folder, lambda line: times.setdefault(line.strip(), time.perf_counter()))
    if not times.keys() >= {"go", "done"}:
        raise BenchError(f"the simulation ended early: {' '.join(times)[-200:]}")
    return times["done"] - times["go"]


def speed_table(rows: list[dict]) -> str:
    """Returns the table of speeds as text."""
    lines = [
        [
            row["simulator"],
            f"{row['cycles']:,}",
            f"{row['cocotb_cycles_per_second']:,.0f}",
            f"{row['bare_cycles_per_second']:,.0f}",
            f"{row['ratio']:.2f}",
        ]
        for row in rows
    ]
    columns = ("simulator", "cycles", "cocotb, cycles/s", "alone, cycles/s", "ratio")
    return "\n" + tabulate(lines, columns, tablefmt="simple", disable_numparse=True) + "\n"
