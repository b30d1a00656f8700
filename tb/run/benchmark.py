"""Measures the core: its cycles on every quantised layer, and how fast the simulators run it.

python -m tb.run bench                # tables, build/results/core.json and bench.json
python -m tb.run bench --only cycles  # without the minutes that Icarus takes for a million cycles
"""

import os
from dataclasses import replace
from pathlib import Path

import torch
from tabulate import tabulate
from tqdm import tqdm

from pymodel.checkpoint import SHIPPED, load_for_core
from pymodel.hardware.core import Layer, packet_lengths
from pymodel.hardware.cycles import cycles, dense_limit_cycles, limit_cycles
from pymodel.images import load_images, normalise
from pymodel.reference.integer_network import IntegerNetwork, Stage, input_codes
from pymodel.support.command import CommandParser, conclude, quiet, tell
from pymodel.support.files import RESULTS, temporary_folder
from pymodel.support.result_files import remove_results, write_results
from tb.components.scoreboard import compare
from tb.host.compile_host import prepare_host
from tb.host.core_program import CORE, jobs_of, read_results, write_program
from tb.host.simulate import PROGRAM
from tb.host.speed import LEAST_RATIO, measure_speed, play, speed_table
from tb.sim.compilation import Simulation
from tb.sim.errors import BenchError
from tb.sim.result_about import Subject
from tb.sim.simulators import check_simulator

# Number of images of each run, so large that a tile has COLS pixels even where the map is 2 × 2
BATCH = {"features.27": 32, "features.33": 8, "features.36": 8, "features.39": 8}
DEFAULT_BATCH = 4
STREAMS = ("act", "weight", "threshold", "result")


def main() -> int:
    parser = CommandParser("tb.run bench", __doc__)
    parser.add_argument("--model", default=str(SHIPPED), help="checkpoint")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the JSON files")
    parser.add_argument("--only", choices=("cycles", "speed"), help="make one of the two tables")
    arguments = parser.parse_args()
    for simulator in ("verilator", "icarus"):
        check_simulator(simulator)
    load_for_core(arguments.model)  # raises InputError before anything is compiled
    missed = []
    try:
        if arguments.only != "speed":
            missed += measure_cycles(arguments.model, arguments.results / "core.json")
        if arguments.only != "cycles":
            missed += measure_speeds(arguments.results / "bench.json")
    except BenchError as error:
        missed = [str(error)]
    if missed:
        return conclude("\n".join(f"FAILED: {line}" for line in missed), passed=False)
    return conclude(f"All limits are met. Results: {os.path.relpath(arguments.results)}")


def measure_cycles(checkpoint: str, path: Path) -> list[str]:
    """Runs every quantised layer on the core, writes the rows to `path`, and prints their table.

    Returns a line for each limit that was missed. Raises BenchError if a result or a cycle count is
    wrong.
    """
    remove_results(path)  # results of an earlier run
    subject = Subject("tb.run.benchmark", PROGRAM, simulator="verilator", checkpoint=checkpoint)
    simulation = prepare_host("verilator")
    network = IntegerNetwork(load_for_core(checkpoint)[0])
    stages = network.stages
    squeezed = min(stages, key=lambda stage: stage.weights.numel())
    batch = BATCH.get(squeezed.name, 32)
    runs = [(squeezed, 1, 1), (squeezed, batch, 1), (squeezed, 2 * batch, 2)]
    runs += [(s, BATCH.get(s.name, DEFAULT_BATCH), 1) for s in stages if s != squeezed]
    inputs = [*captured(network, max(images for _, images, _ in runs)), None]
    rows = []
    for stage, images, parts in tqdm(runs, unit="layer", disable=quiet() or None):
        given, following = (
            None if codes is None else codes[:images] for codes in inputs[stages.index(stage) :][:2]
        )
        try:
            rows.append(measure(simulation, stage, given, following, parts))
        except BenchError as error:
            raise BenchError(f"{stage.name}: {error}") from None
    missed = misses(rows)
    write_results(path, rows, passed=not missed, about=subject.unchanged())
    tell(result_table(rows))
    return missed


def measure_speeds(path: Path) -> list[str]:
    """Times each simulator with cocotb and without, writes `path`, and prints the table.

    Returns a line for each ratio that was missed.
    """
    remove_results(path)  # results of an earlier run
    subject = Subject("tb.run.benchmark", PROGRAM)
    tell("Running a million cycles with cocotb and without; on Icarus this takes minutes")
    rows = [measure_speed(name) for name in ("verilator", "icarus")]
    missed = [
        f"{row['simulator']}: {row['ratio']:.2f} of the speed without cocotb, expected "
        f"{LEAST_RATIO} or more"
        for row in rows
        if row["ratio"] < LEAST_RATIO
    ]
    write_results(path, rows, passed=not missed, about=subject.unchanged())
    tell(speed_table(rows))
    return missed


@torch.no_grad()
def captured(network: IntegerNetwork, images: int) -> list[torch.Tensor]:
    """Returns the input codes, int8 [N, C_in, H, W], of each stage in the fake-quantised pass."""
    with input_codes(network) as codes:
        network.model(normalise(load_images().first(images).images))
    return codes


def measure(
    simulation: Simulation,
    stage: Stage,
    codes: torch.Tensor,
    following: torch.Tensor | None,
    parts: int = 1,
) -> dict:
    """Runs a stage on its input codes as `parts` batches, each split into jobs that fit the core.

    `codes` are int8 [N, C_in, H, W]. `following` are the codes that the next layer gets in the
    fake-quantised network, None for the last layer. Returns the row of the table. Raises BenchError
    if a result or the number of cycles is wrong.
    """
    if following is None:
        table, expected, compared, differing = None, stage.sums(codes), 0, 0
    else:
        table, expected = stage.table, stage.codes(codes)
        compared = following.numel()
        differing = int((stage.pool(expected) != following).sum())
    settings = {n: value for n, value in stage.settings.items() if n not in ("pool", "pools")}
    images, channels, height, width = codes.shape
    whole = Layer(height, width, channels, images=images, **settings)
    layer = replace(whole, images=images // parts)
    jobs = jobs_of(layer, parts)
    with temporary_folder("bench") as folder:
        beats = write_program(folder, jobs, codes.numpy(), stage.weights.numpy(), table)
        play(simulation, folder)
        got, status = read_results(folder, jobs)
    compare(expected.numpy(), got, whole, CORE)
    total = status.cycles
    model_cycles = sum(cycles(job.layer, CORE) for job in jobs)
    if status.counted - status.stalls != model_cycles:
        raise BenchError(f"{status.counted - status.stalls} cycles, the model says {model_cycles}")
    macs = parts * layer.macs()
    lengths = [packet_lengths(job.layer, CORE) for job in jobs]
    result_width = CORE.sum_width if following is None else 4
    return {
        "layer": stage.name,
        "batch": images,
        "jobs": len(jobs),
        "cycles": total,
        "macs": macs,
        "utilisation": macs / (CORE.rows * CORE.cols * total),
        "dense_limit_cycles": parts * dense_limit_cycles(layer, CORE),
        "limit_cycles": parts * limit_cycles(layer, CORE),
        "model_cycles": model_cycles,
        "codes": compared,
        "codes_differing": differing,
        "stalls": status.stalls,
        "act_bits_per_cycle": beats["act"] * 4 * CORE.rows / total,
        "weight_bits_per_cycle": beats["weight"] * 4 * CORE.rows / total,
        "threshold_bits_per_cycle": beats["threshold"] * CORE.sum_width * CORE.cols / total,
        "result_bits_per_cycle": beats["result"] * result_width * CORE.cols / total,
        "result_beat_bits": result_width * CORE.cols,
        "act_memory_bits": max(needed.acts for needed in lengths) * 4 * CORE.rows,
        "weight_memory_bits": max(needed.weights for needed in lengths) * 4 * CORE.rows,
    }


def misses(rows: list[dict]) -> list[str]:
    """Returns a line for each missed limit; the first three rows are of the squeezed layer."""
    one, batch, two, *others = rows
    limits = [
        (one, one["cycles"] <= 136, "at most 136 cycles for one image"),
        (batch, batch["utilisation"] >= 1.38, "at least 1.38 of the dense rate"),
        (two, two["cycles"] <= 1.02 * two["limit_cycles"], "two batches to lose at most 2 %"),
        *(
            (row, row["limit_cycles"] >= 0.97 * row["cycles"], "at least 0.97 of the taps' limit")
            for row in others
        ),
    ]
    return [
        f"{row['layer']}, {row['batch']} images: {row['cycles']:,} cycles, expected {expected}"
        for row, kept, expected in limits
        if not kept
    ]


def result_table(rows: list[dict]) -> str:
    """Returns the table of all layers and the legend of its columns."""
    columns = (
        "layer",
        "images",
        "cycles",
        "of limit",
        "of dense",
        "acts",
        "weights",
        "thresholds",
        "results",
        "act mem",
        "weight mem",
        "bound by",
    )
    lines = []
    for row in rows:
        use = {
            "array": row["limit_cycles"] / row["cycles"],
            "acts": row["act_bits_per_cycle"] / (4 * CORE.rows),
            "weights": row["weight_bits_per_cycle"] / (4 * CORE.rows),
            "thresholds": row["threshold_bits_per_cycle"] / (CORE.sum_width * CORE.cols),
            "results": row["result_bits_per_cycle"] / row["result_beat_bits"],
        }
        streams = [f"{row[f'{name}_bits_per_cycle']:.2f}" for name in STREAMS]
        memories = [f"{row[f'{name}_memory_bits'] / 1024:,.0f} kbit" for name in ("act", "weight")]
        lines.append(
            [
                row["layer"],
                row["batch"],
                f"{row['cycles']:,}",
                f"{use['array']:.1%}",
                f"{row['utilisation']:.2f}",
                *streams,
                *memories,
                max(use, key=use.get),
            ]
        )
    largest = {row["layer"]: row for row in sorted(rows, key=lambda row: row["batch"])}.values()
    codes, differing = (sum(row[key] for row in largest) for key in ("codes", "codes_differing"))
    return (
        "\n"
        + tabulate(lines, columns, tablefmt="simple", disable_numparse=True)
        + '\n\n"of limit" is the share of the limit of one tap inside the map per cycle,'
        + '\n"of dense" the share of 64 MACs per cycle over all taps.'
        + '\n"acts", "weights", "thresholds" and "results" are bits per cycle on each stream;'
        + '\n"act mem" and "weight mem" are the bits of a bank in use.'
        + f"\n{differing} of {codes:,} codes are not those of the float32 network.\n"
    )
