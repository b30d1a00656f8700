"""Runs the whole network on the core: twelve convolutions, each of which hands codes to the next.

python -m tb.run network --images 100       # table, build/results/network.json

The host does what the core does not: the first convolution, pools that follow another pool, and
the classifier. Every code of every layer is compared with the integer network (pymodel/reference).
The integer network is compared in software, on all test images at hand, with the fake-quantised
one.
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
from distributed import Client
from tabulate import tabulate
from tqdm import tqdm

from pymodel.checkpoint import load_for_core
from pymodel.images import ImageSet
from pymodel.reference.integer_network import IntegerNetwork, Stage, compare_with_fake_quantised
from pymodel.support.command import CommandParser, conclude, quiet, tell, whole_number
from pymodel.support.errors import InputError
from pymodel.support.files import RESULTS
from pymodel.support.result_files import remove_results, write_results
from tb.components.scoreboard import ZEROS, Difference, first_difference
from tb.host.compile_host import prepare_host
from tb.host.core_program import CORE
from tb.host.simulate import PROGRAM, simulate
from tb.run.observe import explain
from tb.run.own_network import layer_table, run_own_network
from tb.run.sweep import (
    PeakMemory,
    add_arguments,
    check_arguments,
    cluster,
    hardware_identity,
    kept_for_nothing,
    seconds_or_kept,
    software_identity,
    spread,
    tls_files,
)
from tb.sim.errors import BenchError
from tb.sim.kept_results import code, digest
from tb.sim.result_about import Subject
from training.data import load_test_images
from training.evaluate import EDGE_STEPS

SHARD = 8  # images that go through the core together; the host's memories hold 11
SOFTWARE_SHARD = 50
CODE = code("tb.run.network", PROGRAM)  # hash of the code that this process has loaded
# Largest difference between the accuracies of the integer and the fake-quantised network
ACCURACY_TOLERANCE = 0.0005


def load_network(checkpoint: str) -> IntegerNetwork:
    """Returns the integer network of a checkpoint, which each process loads only once.

    Raises InputError if the file is no checkpoint.
    """
    try:
        return _load_network(checkpoint, digest(Path(checkpoint).read_bytes()))
    except OSError:
        return IntegerNetwork(load_for_core(checkpoint)[0])  # raises InputError with the reason


@functools.cache
def _load_network(checkpoint: str, content: str) -> IntegerNetwork:
    """Returns the integer network; `content` is the file's hash, so that an edit is seen."""
    torch.set_num_threads(1)
    return IntegerNetwork(load_for_core(checkpoint)[0])


def run_hardware(
    inputs: np.ndarray, simulator: str, checkpoint: str, rtl: str
) -> dict[str, np.ndarray]:
    """Runs uint8 images [n, 3, 32, 32] through all layers on the core; runs in a worker.

    Every code is checked. Returns `predictions`, int64 [2, n], of the RTL and of the integer
    network, and `report`, which is JSON: seconds (of the simulation with its start); the numbers of
    jobs, cycles and MACs, and of checked and of wrong codes, of each layer; the number of codes
    that should not be zero; the first wrong layer and its `Difference`. Raises BenchError if the
    simulation fails although no code that came is wrong.
    """
    network = load_network(checkpoint)
    codes = network.first_codes(torch.from_numpy(inputs))
    failure, counts = "", []
    began = time.monotonic()
    try:
        results, counts = simulate(
            simulator,
            [stage.settings for stage in network.stages],
            codes.numpy(),
            [stage.weights.numpy() for stage in network.stages],
            [stage.table for stage in network.inner] + [None],
            Path(rtl),
        )
    except BenchError as error:
        results, failure = error.results, str(error)
    seconds = time.monotonic() - began

    predictions = np.full((2, len(inputs)), -1)
    checked, mismatches, not_zero, first = [], [], 0, None
    for number, (expected, got) in enumerate(zip(network.outputs(codes), results, strict=False)):
        place = first_difference(expected.numpy(), got, CORE)
        checked.append(got.size)
        mismatches.append(place.differing if place else 0)
        not_zero += int(expected.count_nonzero())
        if place and not first:
            first = [number, asdict(place)]
        if number == len(network.stages) - 1:
            for row, sums in enumerate((torch.from_numpy(got), expected)):
                predictions[row] = network.logits(sums).argmax(1).numpy()
    if failure and not first:
        raise BenchError(f"{network.stages[len(results)].name}: {failure}")
    report = {
        "images": len(inputs),
        "jobs": [count["jobs"] for count in counts],
        "cycles": [count["cycles"] for count in counts],
        "macs": [count["macs"] for count in counts],
        "seconds": seconds,
        "checked": checked,
        "mismatches": mismatches,
        "not_zero": not_zero,
        "first": first,
    }
    return {"predictions": predictions, "report": np.array(json.dumps(report))}


def run_software(inputs: np.ndarray, checkpoint: str) -> dict[str, np.ndarray]:
    """Compares the integer network with the fake-quantised one on images; runs in a worker.

    inputs: uint8 [n, 3, 32, 32]. Returns `predictions`, int64 [2, n], of the integer network and of
    the fake-quantised one, and the `differences` of their codes.
    """
    integer, fake, differences = compare_with_fake_quantised(
        load_network(checkpoint), torch.from_numpy(inputs)
    )
    return {"predictions": np.stack((integer, fake)), "differences": np.array(differences)}


def main() -> int:
    parser = CommandParser("tb.run network", __doc__)
    parser.add_argument("--images", help="number of test images, by default 100; or of inputs")
    parser.add_argument(
        "--net",
        metavar="package.module:factory",
        help="another network, or a file of torch.export; its layers take their sums from the core",
    )
    parser.add_argument("--state", metavar="FILE", help="state dict of that network")
    parser.add_argument("--input", type=Path, metavar="FILE", help="inputs of that network")
    parser.add_argument("--results", type=Path, help="JSON file")
    add_arguments(parser)
    arguments = parser.parse_args()
    check_arguments(arguments)
    name = "own_network.json" if arguments.net else "network.json"
    arguments.results = arguments.results or RESULTS / name
    if arguments.net:
        given = arguments.images
        count = None if given is None else whole_number("IMAGES", given, 1, 10**6)
        return run_own_network(arguments, count)
    for name in ("state", "input"):
        if given := getattr(arguments, name):
            raise InputError(
                f"--{name} is {given}, but no network is named, expected "
                "NET=package.module:factory or NET=file"
            )
    network = load_network(str(Path(arguments.model).absolute()))
    test_set = load_test_images(arguments.data)
    given = "100" if arguments.images is None else arguments.images
    images = test_set.first(whole_number("IMAGES", given, 1, len(test_set)))
    prepare_host(arguments.sim, PROGRAM, arguments.rtl)
    subject = Subject(
        "tb.run.network",
        PROGRAM,
        rtl=arguments.rtl,
        simulator=arguments.sim,
        checkpoint=arguments.model,
    )
    try:
        with (
            PeakMemory() as memory,
            cluster(arguments.scheduler, arguments.workers, tls_files(arguments)) as client,
        ):
            hardware, reports = on_the_core(client, arguments, network, images)
            software = in_software(client, arguments, test_set)
    except BenchError as error:
        remove_results(arguments.results)  # results of an earlier run
        return conclude(f"FAILED: {error}", passed=False)
    result = {"simulator": arguments.sim, **hardware, **software, "memory_mib": memory.mib}
    lines = [f"FAILED: {line}" for line in misses(result)]
    if wrong := first_mismatch(network, images, reports, arguments.rtl):
        lines.append(wrong)
    write_results(arguments.results, result, passed=not lines, about=subject.unchanged())
    tell(layer_table([row | {"sums": row["checked"]} for row in result["rows"]]))
    tell(result_table(result))
    if lines:
        return conclude("\n".join(lines), passed=False)
    where = os.path.relpath(arguments.results)
    return conclude(f"Every code equals the reference's. Results: {where}")


def on_the_core(
    client: Client, arguments: argparse.Namespace, network: IntegerNetwork, images: ImageSet
) -> tuple[dict, dict[int, dict]]:
    """Runs images through the core.

    Returns the entries for network.json, and the report of each shard by the number of its first
    image.
    """
    checkpoint = str(Path(arguments.model).absolute())
    settings = {
        "simulator": arguments.sim,
        "checkpoint": checkpoint,
        "rtl": str(arguments.rtl.absolute()),
    }
    fixed = software_identity(checkpoint, CODE) | hardware_identity(arguments.sim, arguments.rtl)
    fixed |= {"layers": [stage.name for stage in network.stages]}
    fixed |= kept_for_nothing(arguments.sim, arguments.rtl)
    began = time.monotonic()
    parts = spread(
        client, run_hardware, images.images.numpy(), SHARD, settings, fixed, arguments.fresh
    )
    predictions, results, kept = collect("core", parts, images)
    elapsed = time.monotonic() - began
    reports = {start: json.loads(str(result["report"])) for start, result in results.items()}
    rows = reports.values()
    cycles, macs = (sum(map(sum, (row[key] for row in rows))) for key in ("cycles", "macs"))
    result = {
        "images": len(images),
        "layers": len(network.stages),
        "codes_checked": sum(sum(row["checked"]) for row in rows),
        "code_mismatches": sum(sum(row["mismatches"]) for row in rows),
        "codes_not_zero": sum(row["not_zero"] for row in rows),
        "predictions_differing": int((predictions[0] != predictions[1]).sum()),
        "accuracy_rtl": float((predictions[0] == images.labels.numpy()).mean()),
        "cycles": cycles,
        "utilisation": macs / (CORE.rows * CORE.cols * cycles) if cycles else 0.0,
        "seconds": None if kept else elapsed,
        "shards": len(rows),
        "shards_kept": len(kept),
        "rows": layer_rows(network.stages, list(rows)),
    }
    return result, reports


def layer_rows(stages: list[Stage], reports: list[dict]) -> list[dict]:
    """Returns a row for each layer, of the reports of all shards; one that failed may lack some."""
    rows = []
    for number, stage in enumerate(stages):
        row = {"layer": stage.name, "operation": type(stage.layer).__name__, "lowering": ""}
        row |= {"weight_bits": CORE.weight_width, "activation_bits": CORE.act_width}
        for key in ("jobs", "cycles", "macs", "checked", "mismatches"):
            row[key] = sum(report[key][number] for report in reports if number < len(report[key]))
        cycles = CORE.rows * CORE.cols * row["cycles"]
        rows.append(row | {"utilisation": row["macs"] / cycles if cycles else 0.0})
    return rows


def in_software(client: Client, arguments: argparse.Namespace, test_set: ImageSet) -> dict:
    """Compares integer and fake-quantised network; returns entries for network.json."""
    checkpoint = str(Path(arguments.model).absolute())
    parts = spread(
        client,
        run_software,
        test_set.images.numpy(),
        SOFTWARE_SHARD,
        {"checkpoint": checkpoint},
        software_identity(checkpoint, CODE),
        arguments.fresh,
    )
    (integer, fake), results, _ = collect("software", parts, test_set)
    codes, differing, distances, in_the_end = np.concatenate(
        [result["differences"] for result in results.values()]
    ).T
    labels = test_set.labels.numpy()
    return {
        "accuracy_images": len(test_set),
        "accuracy_integer": float((integer == labels).mean()),
        "accuracy_fake_quantised": float((fake == labels).mean()),
        "fake_predictions_differing": int((integer != fake).sum()),
        "fake_codes": int(codes.sum()),
        "fake_codes_differing": int(differing.sum()),
        "fake_codes_differing_in_the_end": int(in_the_end.sum()),
        "farthest_from_an_edge": float(distances.max()),
    }


def collect(
    title: str, parts, images: ImageSet
) -> tuple[np.ndarray, dict[int, dict[str, np.ndarray]], set[int]]:
    """Collects the `parts` that `spread` yields.

    Returns the predictions, int64 [2, N], the result of each part by the number of its first image,
    and the first images of the parts that were kept from before.
    """
    predictions = np.full((2, len(images)), -1)
    results, kept, wrong = {}, set(), 0
    with tqdm(total=len(images), unit="image", desc=title, disable=quiet() or None) as bar:
        for start, result, was_kept in parts:
            count = result["predictions"].shape[1]
            predictions[:, start : start + count] = result["predictions"]
            results[start] = result
            kept |= {start} if was_kept else set()
            bar.update(count)
            known = predictions[0] >= 0
            right = predictions[0] == images.labels.numpy()
            so_far = {"accuracy": f"{right[known].mean():.2%}" if known.any() else "none"}
            if "report" in result:
                wrong += sum(json.loads(str(result["report"]))["mismatches"])
                so_far["wrong_codes"] = wrong
            bar.set_postfix(so_far)
    return predictions, dict(sorted(results.items())), kept


def first_mismatch(
    network: IntegerNetwork, images: ImageSet, reports: dict[int, dict], rtl: Path
) -> str | None:
    """Returns in words the first wrong layer, the place, and the result of a fully observed run.

    Returns None if no layer is wrong.
    """
    for start, row in sorted(reports.items()):
        if not row["first"]:
            continue
        number, place = row["first"]
        place = Difference(**place)
        codes = network.first_codes(images.images[start : start + row["images"]])
        for stage in network.inner[:number]:
            codes = stage.pool(stage.codes(codes))
        stage = network.stages[number]
        counts = zip(network.stages, row["mismatches"], strict=False)
        wrong = ", ".join(f"{stage.name} {count:,}" for stage, count in counts if count)
        return (
            f"first: {stage.name}, {place.describe(CORE, start)}\n"
            f"wrong in images {start} to {start + row['images'] - 1}: {wrong}\n"
            + explain(stage, codes, place, rtl)
        )
    return None


def misses(result: dict) -> list[str]:
    """Returns a line for each requirement that the results miss."""
    off = abs(result["accuracy_integer"] - result["accuracy_fake_quantised"])
    far = result["farthest_from_an_edge"]
    return [
        line
        for wrong, line in (
            (not result["codes_checked"], "nothing was checked"),
            (result["codes_checked"] and not result["codes_not_zero"], ZEROS),
            (result["code_mismatches"], "codes are not those of the reference"),
            (result["predictions_differing"], "the RTL predicts other classes than the reference"),
            (
                off > ACCURACY_TOLERANCE,
                f"integer and fake-quantised accuracy are {off:.2%} apart, expected at most "
                f"{ACCURACY_TOLERANCE:.2%}",
            ),
            (
                far > EDGE_STEPS,
                f"a code that differs lies {far:.1e} step from an edge, expected at most "
                f"{EDGE_STEPS:.1e}: rounding does not explain it",
            ),
        )
        if wrong
    ]


def result_table(result: dict) -> str:
    """Returns the closing table of a run's results (the keys of network.json)."""
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
        ["seconds of simulation", seconds_or_kept(result["seconds"], result["shards_kept"])],
        ["", ""],
        ["images in software", f"{result['accuracy_images']:,}"],
        ["accuracy, integer network", f"{result['accuracy_integer']:.2%}"],
        ["accuracy, fake-quantised network", f"{result['accuracy_fake_quantised']:.2%}"],
        ["predictions that differ between the two", result["fake_predictions_differing"]],
        ["codes compared", f"{result['fake_codes']:,}"],
        ["codes that differ, from the same input", f"{result['fake_codes_differing']:,}"],
        ["largest distance of these from an edge", f"{result['farthest_from_an_edge']:.1e} step"],
        [
            "codes that differ, each network from its own input",
            f"{result['fake_codes_differing_in_the_end']:,}",
        ],
        ["", ""],
        ["most memory, all processes", f"{result['memory_mib']:,.0f} MiB"],
    ]
    return "\n" + tabulate(rows, tablefmt="simple", disable_numparse=True) + "\n"
