"""Measures the accuracy with the RTL core, which simulates the squeezed layer of all test images.

python -m tb.run accuracy --data FOLDER      # table, build/results/accuracy.json

PyTorch computes the network up to the layer, the core computes the layer's sums, and PyTorch
computes the rest from these sums. Every sum is compared with the integer convolution, and every
prediction with that of the network whose squeezed layer is computed on integers in software.
"""

import os
import time
from pathlib import Path

import numpy as np
import torch
from tabulate import tabulate
from torch import Tensor, nn
from tqdm import tqdm

from pymodel.checkpoint import load_for_core
from pymodel.images import normalise
from pymodel.layer_capture import DEFAULT_LAYER, find_layer
from pymodel.reference.integer_convolution import step
from pymodel.reference.integer_network import LastStage
from pymodel.support.command import CommandParser, conclude, quiet, tell
from pymodel.support.files import RESULTS
from pymodel.support.result_files import remove_results, write_results
from tb.components.scoreboard import ZEROS, first_difference
from tb.host.compile_host import prepare_host
from tb.host.core_program import CORE
from tb.host.simulate import PROGRAM, simulate
from tb.run.observe import explain
from tb.run.sweep import (
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
from tb.sim.kept_results import code
from tb.sim.result_about import Subject
from training.data import load_test_images
from training.evaluate import BATCH, with_integer_layer

# Number of images of a shard, which is some seconds of work; the core takes 64 images at a time.
SHARD = {"verilator": 1024, "icarus": 256}
CODE = code("tb.run.accuracy", PROGRAM)  # hash of the code that this process has loaded


def run_layer(
    inputs: np.ndarray, simulator: str, settings: dict[str, int], weights: np.ndarray, rtl: str
) -> dict[str, np.ndarray]:
    """Returns the sums that the core gives for a shard; runs in a worker.

    `inputs` are the layer's input codes, int8 [n, C_in, H, W]; the sums are int32 [n, C_out, H',
    W'].
    """
    results, _ = simulate(simulator, [settings], inputs, [weights], [None], Path(rtl))
    return {"sums": results[0]}


@torch.no_grad()
def run_software(model: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    """Computes the network in software, with the squeezed layer on integers.

    images: uint8 [N, 3, 32, 32]. Returns the input codes of the squeezed layer, int8 [N, C, 4, 4],
    and the predicted classes, int64 [N].
    """
    integer = with_integer_layer(model)
    layer = integer.get_submodule(DEFAULT_LAYER)
    codes, predictions = [], []
    hook = layer.register_forward_pre_hook(
        lambda module, given: codes.append(module.layer.activation_codes(given[0]))
    )
    try:
        for batch in tqdm(images.split(BATCH), desc="before the layer", disable=quiet() or None):
            predictions.append(integer(normalise(batch)).argmax(1))
    finally:
        hook.remove()
    return torch.cat(codes), torch.cat(predictions)


@torch.no_grad()
def predict_from_sums(model: nn.Module, sums: Tensor) -> Tensor:
    """Returns the classes, int64 [N], that follow from the squeezed layer's sums [N, C, 4, 4]."""
    layer = find_layer(model, DEFAULT_LAYER)
    after = model.features[int(DEFAULT_LAYER.rpartition(".")[2]) + 1 :]
    return torch.cat(
        [
            model.classifier(torch.flatten(after(batch.float() * step(layer)), 1)).argmax(1)
            for batch in sums.split(BATCH)
        ]
    )


def main() -> int:
    parser = CommandParser("tb.run accuracy", __doc__)
    parser.add_argument("--results", type=Path, default=RESULTS / "accuracy.json", help="JSON file")
    add_arguments(parser)
    arguments = parser.parse_args()
    check_arguments(arguments)
    model = load_for_core(arguments.model)[0]
    layer = find_layer(model, DEFAULT_LAYER)
    stage = LastStage(DEFAULT_LAYER, layer, layer.weight_codes())
    test_set = load_test_images(arguments.data)
    prepare_host(arguments.sim, PROGRAM, arguments.rtl)
    codes, in_software = run_software(model, test_set.images)

    settings = {
        "simulator": arguments.sim,
        "settings": stage.settings,
        "weights": stage.weights.numpy(),
        "rtl": str(arguments.rtl.absolute()),
    }
    decided = software_identity(arguments.model, CODE) | {"layers": [DEFAULT_LAYER]}
    decided |= hardware_identity(arguments.sim, arguments.rtl)
    decided |= kept_for_nothing(arguments.sim, arguments.rtl)
    subject = Subject(
        "tb.run.accuracy",
        PROGRAM,
        rtl=arguments.rtl,
        simulator=arguments.sim,
        checkpoint=arguments.model,
    )
    expected = stage.sums(codes)
    sums = torch.zeros_like(expected, dtype=torch.int32)
    kept, checked, wrong = 0, 0, 0
    with (
        cluster(arguments.scheduler, arguments.workers, tls_files(arguments)) as client,
        tqdm(total=len(codes), unit="image", desc="on the core", disable=quiet() or None) as bar,
    ):
        began = time.monotonic()
        try:
            for start, result, was_kept in spread(
                client,
                run_layer,
                codes.numpy(),
                SHARD[arguments.sim],
                settings,
                decided,
                arguments.fresh,
            ):
                part = torch.from_numpy(result["sums"])
                place = slice(start, start + len(part))
                sums[place] = part
                kept += was_kept
                checked += part.numel()
                wrong += int((part != expected[place]).sum())
                bar.update(len(part))
                bar.set_postfix(wrong_sums=wrong)
        except BenchError as error:
            remove_results(arguments.results)  # results of an earlier run
            return conclude(f"FAILED: {DEFAULT_LAYER}: {error}", passed=False)
        elapsed = time.monotonic() - began

    predictions = predict_from_sums(model, sums)
    result = {
        "simulator": arguments.sim,
        "images": len(test_set),
        "accuracy_rtl": (predictions == test_set.labels).double().mean().item(),
        "accuracy_software": (in_software == test_set.labels).double().mean().item(),
        "predictions_differing": int((predictions != in_software).sum()),
        "sums_checked": checked,
        "sum_mismatches": wrong,
        "sim_seconds": None if kept else elapsed,
        "shards": -(-len(codes) // SHARD[arguments.sim]),
        "shards_kept": kept,
    }
    place = first_difference(expected.numpy(), sums.numpy(), CORE)
    zeros = not expected.any()
    passed = place is None and not result["predictions_differing"] and not zeros
    write_results(arguments.results, result, passed=passed, about=subject.unchanged())
    tell(result_table(result))
    if place:
        failed = f"FAILED: {DEFAULT_LAYER}: {place.describe(CORE)} of {sums.numel()}"
        return conclude(f"{failed}\n{explain(stage, codes, place, arguments.rtl)}", passed=False)
    if zeros:
        return conclude(f"FAILED: {DEFAULT_LAYER}: {ZEROS}", passed=False)
    if result["predictions_differing"]:
        return conclude("FAILED: the RTL's sums give other predictions", passed=False)
    return conclude(f"Every sum equals PyTorch's. Results: {os.path.relpath(arguments.results)}")


def result_table(result: dict) -> str:
    """Returns the closing table of a run's results (the keys of accuracy.json)."""
    rows = [
        ["simulator", result["simulator"]],
        ["test images", f"{result['images']:,}"],
        ["accuracy with the RTL in the loop", f"{result['accuracy_rtl']:.2%}"],
        ["accuracy in software", f"{result['accuracy_software']:.2%}"],
        ["predictions that differ", result["predictions_differing"]],
        ["sums checked", f"{result['sums_checked']:,}"],
        ["sum mismatches", result["sum_mismatches"]],
        ["seconds of simulation", seconds_or_kept(result["sim_seconds"], result["shards_kept"])],
    ]
    return "\n" + tabulate(rows, tablefmt="simple", disable_numparse=True) + "\n"
