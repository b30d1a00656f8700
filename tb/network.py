"""Runs the whole network through the core: twelve convolutions, codes handed from each to the next.

python -m tb.network --images 100       # table, build/results/network.json

The host does what is not a quantised convolution: the first convolution, max pools (on codes), and
the classifier. Every code of every layer is compared with the integer network (pymodel/integer.py),
and that, in software and on all test images at hand, with the fake-quantised one.
"""

import argparse
import functools
import json
import os
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from tabulate import tabulate
from tqdm import tqdm

from pymodel.checkpoint import load_checkpoint
from pymodel.errors import InputError, run_command
from pymodel.files import RESULTS, replacing
from pymodel.images import ImageSet
from pymodel.integer import IntegerNetwork, compare_with_fake_quantised
from tb.core_host import CORE
from tb.observe import explain
from tb.scoreboard import BenchError, Place, first_difference
from tb.simulator import prepare_host
from tb.sweep import (
    PROGRAM,
    add_arguments,
    check_arguments,
    cluster,
    hardware_identity,
    simulate,
    software_identity,
    spread,
)
from training.data import load_test_images
from training.evaluate import EDGE_STEPS

SHARD = 8  # images that go through the core together; the host's memories hold 31
SOFTWARE_SHARD = 100
ACCURACY_TOLERANCE = 0.0005  # between the integer network and the fake-quantised one


@functools.cache
def load_network(checkpoint: str) -> IntegerNetwork:
    """The integer network of a checkpoint; a worker loads it once."""
    torch.set_num_threads(1)
    return IntegerNetwork(load_checkpoint(checkpoint)[0])


def run_hardware(
    inputs: np.ndarray, simulator: str, checkpoint: str, rtl: str
) -> dict[str, np.ndarray]:
    """In a worker: uint8 images [n, 3, 32, 32] through all layers on the core, every code checked.

    `report` is JSON: cycles, MACs, seconds (of the simulation, its start included); per layer how
    much was checked and is wrong; the first wrong layer and `Place`; what failed otherwise.
    """
    network = load_network(checkpoint)
    codes = network.first_codes(torch.from_numpy(inputs))
    failure, counts = "", []
    began = time.monotonic()
    try:
        results, counts = simulate(
            simulator, [stage.settings for stage in network.stages], codes.numpy(),
            [stage.weights.numpy() for stage in network.stages],
            [stage.table for stage in network.inner] + [None], Path(rtl),
        )  # fmt: skip
    except BenchError as error:
        results, failure = error.results, str(error)
    seconds = time.monotonic() - began

    predictions = np.full((2, len(inputs)), -1)
    checked, mismatches, first = [], [], None
    for number, (expected, got) in enumerate(zip(network.outputs(codes), results, strict=False)):
        place = first_difference(expected.numpy(), got, CORE)
        checked.append(got.size)
        mismatches.append(place.differing if place else 0)
        if place and not first:
            first = [number, asdict(place)]
        if number == len(network.stages) - 1:
            for row, sums in enumerate((torch.from_numpy(got), expected)):
                predictions[row] = network.logits(sums).argmax(1).numpy()
    report = {
        "cycles": sum(count["cycles"] for count in counts),
        "macs": sum(count["macs"] for count in counts), "seconds": seconds, "checked": checked,
        "mismatches": mismatches, "first": first, "failure": failure,
    }  # fmt: skip
    return {"predictions": predictions, "report": np.array(json.dumps(report))}


def run_software(inputs: np.ndarray, checkpoint: str) -> dict[str, np.ndarray]:
    """In a worker: predictions of the integer and the fake-quantised network; the differences."""
    integer, fake, differences = compare_with_fake_quantised(
        load_network(checkpoint), torch.from_numpy(inputs)
    )
    return {"predictions": np.stack((integer, fake)), "differences": np.array(differences)}


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tb.network", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--images", default="100", help="how many test images, the first ones")
    parser.add_argument("--results", type=Path, default=RESULTS / "network.json", help="JSON file")
    add_arguments(parser)
    arguments = parser.parse_args()
    check_arguments(arguments)
    checkpoint, rtl = str(Path(arguments.model).absolute()), str(arguments.rtl.absolute())
    network = load_network(checkpoint)
    test_set = load_test_images(arguments.data)
    if not arguments.images.isdecimal() or not 1 <= int(arguments.images) <= len(test_set):
        raise InputError(
            f"IMAGES is '{arguments.images}', expected a whole number from 1 to {len(test_set)}"
        )
    images = test_set.first(int(arguments.images))
    prepare_host(arguments.sim, PROGRAM, arguments.rtl)
    with cluster(arguments.scheduler, arguments.workers) as client:
        settings = {"simulator": arguments.sim, "checkpoint": checkpoint, "rtl": rtl}
        decided = software_identity(checkpoint) | hardware_identity(arguments.sim, arguments.rtl)
        began = time.monotonic()
        predictions, hardware, kept = collect(
            "core", spread(client, run_hardware, images.images.numpy(), SHARD, settings, decided,
                           arguments.fresh), images,
        )  # fmt: skip
        elapsed = time.monotonic() - began
        reports = {start: json.loads(str(result["report"])) for start, result in hardware.items()}
        if failed := first_failure(network, images, reports, arguments.rtl):
            print(f"FAILED: {failed}")
            return 1
        in_software, software, _ = collect(
            "software", spread(client, run_software, test_set.images.numpy(), SOFTWARE_SHARD,
                               {"checkpoint": checkpoint}, software_identity(checkpoint),
                               arguments.fresh), test_set,
        )  # fmt: skip
    rows = list(reports.values())
    saved = sum(rows[n]["seconds"] for n, start in enumerate(reports) if start in kept)
    differences = np.concatenate([part["differences"] for part in software.values()])
    codes, differing, distances, in_the_end = differences.T
    labels = test_set.labels.numpy()
    cycles, macs = (sum(row[key] for row in rows) for key in ("cycles", "macs"))
    result = {
        "simulator": arguments.sim, "images": len(images), "layers": len(network.stages),
        "codes_checked": sum(sum(row["checked"]) for row in rows),
        "code_mismatches": sum(sum(row["mismatches"]) for row in rows),
        "predictions_differing": int((predictions[0] != predictions[1]).sum()),
        "accuracy_rtl": float((predictions[0] == images.labels.numpy()).mean()),
        "cycles": cycles, "utilisation": macs / (CORE.rows * CORE.cols * cycles),
        "seconds": elapsed + saved / arguments.workers,
        "shards": len(rows), "shards_kept": len(kept),
        "accuracy_images": len(test_set),
        "accuracy_integer": float((in_software[0] == labels).mean()),
        "accuracy_fake_quantised": float((in_software[1] == labels).mean()),
        "fake_predictions_differing": int((in_software[0] != in_software[1]).sum()),
        "fake_codes": int(codes.sum()), "fake_codes_differing": int(differing.sum()),
        "fake_codes_differing_in_the_end": int(in_the_end.sum()),
        "farthest_from_an_edge": float(distances.max()),
    }  # fmt: skip
    with replacing(arguments.results) as temporary:
        temporary.write_text(json.dumps(result, indent=2) + "\n")
    print(report(result))
    missed = misses(result)
    for line in missed:
        print(f"FAILED: {line}")
    if not missed:
        print(f"Every code equals the reference's. Results: {os.path.relpath(arguments.results)}")
    return 1 if missed else 0


def collect(
    title: str, parts, images: ImageSet
) -> tuple[np.ndarray, dict[int, dict[str, np.ndarray]], set[int]]:
    """What `spread` yields: predictions [2, N], results by first image, which were kept before."""
    predictions = np.full((2, len(images)), -1)
    results, kept = {}, set()
    with tqdm(total=len(images), unit="image", desc=title, disable=None) as bar:
        for start, result, was_kept in parts:
            count = result["predictions"].shape[1]
            predictions[:, start : start + count] = result["predictions"]
            results[start] = result
            kept |= {start} if was_kept else set()
            bar.update(count)
            known = predictions[0] >= 0
            right = predictions[0] == images.labels.numpy()
            bar.set_postfix(accuracy=f"{right[known].mean():.2%}" if known.any() else "none")
    return predictions, dict(sorted(results.items())), kept


def first_failure(
    network: IntegerNetwork, images: ImageSet, reports: dict[int, dict], rtl: Path
) -> str | None:
    """What went wrong first, and what full observation says of it; None if nothing did."""
    for start, row in sorted(reports.items()):
        if row["first"]:
            number, place = row["first"]
            place = Place(**place)
            codes = network.first_codes(images.images[start + place.image :][:1])
            for stage in network.inner[:number]:
                codes = stage.pool(stage.codes(codes))
            stage = network.stages[number]
            wrong = ", ".join(
                f"{stage.name} {count:,}"
                for stage, count in zip(network.stages, row["mismatches"], strict=False)
            )
            more = explain(stage, codes, place, rtl)
            return f"{stage.name}: {place.describe(CORE, start)}\nwrong: {wrong}\n{more}"
        if row["failure"]:
            stage = network.stages[len(row["checked"])]
            return f"{stage.name}, images from {start}: {row['failure']}"
    return None


def misses(result: dict) -> list[str]:
    """What does not hold, a line each."""
    off = abs(result["accuracy_integer"] - result["accuracy_fake_quantised"])
    far = result["farthest_from_an_edge"]
    return [
        line
        for wrong, line in (
            (not result["codes_checked"], "nothing was checked"),
            (result["predictions_differing"], "the RTL predicts other classes than the reference"),
            (off > ACCURACY_TOLERANCE, f"integer and fake-quantised accuracy are {off:.2%} apart"),
            (far > EDGE_STEPS, f"a code differs {far:.1e} step from an edge: not by rounding"),
        )
        if wrong
    ]


def report(result: dict) -> str:
    """The closing table."""
    rows = [
        ["simulator", result["simulator"]],
        ["images through the core", f"{result['images']:,}"],
        ["quantised layers", result["layers"]],
        ["codes checked", f"{result['codes_checked']:,}"],
        ["code mismatches", result["code_mismatches"]],
        ["predictions that differ from the reference's", result["predictions_differing"]],
        ["accuracy of the RTL on them", f"{result['accuracy_rtl']:.2%}"],
        ["cycles", f"{result['cycles']:,}"],
        ["dense MACs per PE and cycle", f"{result['utilisation']:.2f}"],
        ["seconds of simulation", f"{result['seconds']:.0f}"],
        ["", ""],
        ["images in software", f"{result['accuracy_images']:,}"],
        ["accuracy, integer network", f"{result['accuracy_integer']:.2%}"],
        ["accuracy, fake-quantised network", f"{result['accuracy_fake_quantised']:.2%}"],
        ["predictions that differ between the two", result["fake_predictions_differing"]],
        ["codes", f"{result['fake_codes']:,}"],
        ["… that differ, from the same input", f"{result['fake_codes_differing']:,}"],
        ["… and lie at most so far from an edge", f"{result['farthest_from_an_edge']:.1e} step"],
        ["… that differ in the end", f"{result['fake_codes_differing_in_the_end']:,}"],
    ]
    return "\n" + tabulate(rows, tablefmt="simple", disable_numparse=True) + "\n"


if __name__ == "__main__":
    # Workers find functions by their module, which must not be "__main__".
    from tb import network

    run_command(network.main)
