"""Measures how the sweep of `make network` scales to two workers, and estimates it up to 1,000.

python -m tb.run scaling           # table, build/results/scaling.json

The estimate plays a sweep of all 10,000 test images with three measured times: the time of a shard,
the time in which a worker loads the network, and the time between two shards.
"""

import heapq
import os
import time
from pathlib import Path

import numpy as np
from distributed import Client
from tabulate import tabulate

from pymodel.checkpoint import SHIPPED
from pymodel.images import load_images
from pymodel.support.command import CommandParser, conclude, tell
from pymodel.support.errors import InputError
from pymodel.support.files import RESULTS, temporary_folder
from pymodel.support.result_files import write_results
from tb.host.compile_host import prepare_host
from tb.host.simulate import PROGRAM
from tb.run.network import SHARD, load_network, on_the_core
from tb.run.sweep import check_arguments, cluster, spread
from tb.sim.errors import BenchError
from tb.sim.result_about import Subject
from tb.sim.sources import RTL

IMAGES = 48  # number of images of the measured sweeps
EMPTY_SHARDS = 1000  # number of shards without work by which the scheduler is measured
WHOLE = 10_000  # number of images of the sweep that the estimate plays
WORKERS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000)
LEAST_SPEEDUP = 1.8  # smallest speedup of two workers that passes


def nothing(inputs: np.ndarray) -> dict[str, np.ndarray]:
    """Returns its input unchanged, as the work of an empty shard; runs in a worker."""
    return {"nothing": inputs}


def start_worker(checkpoint: str) -> None:
    """Loads the network, which each worker has to do once; runs in a worker."""
    load_network(checkpoint)


def play(shards: int, workers: int, seconds: float, start: float, overhead: float) -> float:
    """Returns the seconds that a sweep takes if all workers start at once and share one scheduler.

    A shard takes `seconds`, a worker takes `start` to begin, and the scheduler takes `overhead`
    between two shards; all three are in seconds.

    >>> play(shards=4, workers=2, seconds=10, start=1, overhead=0)
    21
    """
    free = [start] * workers
    given = 0
    for _ in range(shards):
        given = max(given + overhead, heapq.heappop(free))
        heapq.heappush(free, given + seconds)
    return max(free)


def main() -> int:
    parser = CommandParser("tb.run scaling", __doc__)
    parser.add_argument("--results", type=Path, default=RESULTS / "scaling.json", help="JSON file")
    parser.add_argument("--sim", default="verilator", help="verilator or icarus")
    parser.add_argument("--model", default=str(SHIPPED), help="checkpoint")
    parser.add_argument("--rtl", type=Path, default=RTL, help="folder of the Verilog sources")
    arguments = parser.parse_args()
    arguments.workers, arguments.fresh = 2, True
    check_arguments(arguments)
    if (cores := os.cpu_count() or 1) < 2:
        raise InputError(f"this machine has {cores} core, expected 2 or more")
    subject = Subject("tb.run.scaling", simulator=arguments.sim, checkpoint=arguments.model)
    network = load_network(str(Path(arguments.model).absolute()))
    prepare_host(arguments.sim, PROGRAM, arguments.rtl)
    images = load_images().first(IMAGES)
    runs = {}
    try:
        for workers in (1, 2):
            arguments.workers = workers
            with cluster(None, workers) as client:
                start = warm_up(client, str(Path(arguments.model).absolute()))
                runs[workers], reports = on_the_core(client, arguments, network, images)
                overhead = empty_shards(client)
    except BenchError as error:
        return conclude(f"FAILED: {error}", passed=False)
    one, two = (runs[workers]["seconds"] for workers in (1, 2))
    shard = two * 2 / len(reports)
    shards = -(-WHOLE // SHARD)
    alone = play(shards, 1, shard, start, overhead)
    estimate = [
        {
            "workers": workers,
            "seconds": (taken := play(shards, workers, shard, start, overhead)),
            "speedup": alone / taken,
            "efficiency": alone / taken / workers,
        }
        for workers in WORKERS
    ]
    result = {
        "simulator": arguments.sim,
        "images": IMAGES,
        "shards": len(reports),
        "seconds_one_worker": one,
        "seconds_two_workers": two,
        "speedup": one / two,
        "shard_seconds": shard,
        "start_seconds": start,
        "overhead_seconds": overhead,
        "estimate": estimate,
    }
    slow = result["speedup"] < LEAST_SPEEDUP
    write_results(arguments.results, result, passed=not slow, about=subject.unchanged())
    tell(result_table(result))
    if slow:
        words = (
            f"FAILED: two workers are {one / two:.2f} times as fast as one, expected "
            f"{LEAST_SPEEDUP} or more"
        )
        return conclude(words, passed=False)
    return conclude(f"Results: {os.path.relpath(arguments.results)}")


def warm_up(client: Client, checkpoint: str) -> float:
    """Lets every worker load the network, and returns the seconds that this takes."""
    began = time.monotonic()
    client.run(start_worker, checkpoint)
    return time.monotonic() - began


def empty_shards(client: Client) -> float:
    """Returns the seconds that each of many shards without work takes."""
    began = time.monotonic()
    with temporary_folder("scaling") as folder:
        inputs = np.arange(EMPTY_SHARDS)
        for _ in spread(client, nothing, inputs, 1, {}, {}, True, folder):
            pass
    return (time.monotonic() - began) / EMPTY_SHARDS


def result_table(result: dict) -> str:
    """Returns two tables: what was measured, and the estimate."""
    measured = [
        ["images", result["images"]],
        ["shards", result["shards"]],
        ["seconds, one worker", f"{result['seconds_one_worker']:.1f}"],
        ["seconds, two workers", f"{result['seconds_two_workers']:.1f}"],
        ["speedup", f"{result['speedup']:.2f}"],
        ["seconds a shard", f"{result['shard_seconds']:.1f}"],
        ["seconds until a worker is ready", f"{result['start_seconds']:.1f}"],
        ["milliseconds between two shards", f"{1000 * result['overhead_seconds']:.1f}"],
    ]
    estimate = [
        [
            row["workers"],
            f"{row['seconds']:,.0f}",
            f"{row['speedup']:.1f}",
            f"{row['efficiency']:.0%}",
        ]
        for row in result["estimate"]
    ]
    columns = ("workers", "seconds", "speedup", "at work")
    return (
        "\n"
        + tabulate(measured, tablefmt="simple", disable_numparse=True)
        + f"\n\nEstimate for {WHOLE:,} images in {-(-WHOLE // SHARD):,} shards:\n\n"
        + tabulate(estimate, columns, tablefmt="simple", disable_numparse=True)
        + "\n"
    )
