"""Measures accuracy on the test images: fake-quantised, and with one layer on integer codes.

CIFAR10_ROOT=FOLDER make evaluate
python -m training.evaluate --data FOLDER
"""

import copy
import os

import torch
from tabulate import tabulate
from torch import Tensor, nn
from tqdm import tqdm

from pymodel.checkpoint import SHIPPED, load_checkpoint
from pymodel.images import ImageSet, normalise
from pymodel.layer_capture import DEFAULT_LAYER, capture
from pymodel.reference.integer_convolution import IntegerConv2d
from pymodel.support.command import CommandParser, conclude, quiet, run_command, tell
from pymodel.support.files import RESULTS
from pymodel.support.result_files import file_digest, write_results
from training.data import load_cifar10

BATCH = 250  # images per forward pass
RESULTS_FILE = RESULTS / "evaluate.json"
TEST_IMAGES = 10_000
# Largest difference from the accuracy that a checkpoint states. Another processor may sum in
# another order, and round a few values at the edge between two codes to the other code.
ACCURACY_TOLERANCE = 0.002
# Two computations of one sum differ by float32's rounding. Their codes in the next layer may differ
# only where the value lies this close to the edge between two codes.
EDGE_STEPS = 1e-4


@torch.no_grad()
def predict(model: nn.Module, images: Tensor, progress: str | None = None) -> Tensor:
    """Returns the predicted classes, int64 [N], of uint8 images [N, 3, 32, 32].

    The model is left in evaluation mode, and computes in float32 without TF32. `progress` is the
    name of the progress bar; if it is None, there is no bar.
    """
    model.eval()
    device = next(model.parameters()).device
    batches = tqdm(
        images.split(BATCH), desc=progress, disable=None if progress and not quiet() else True
    )
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        return torch.cat([model(normalise(b.to(device))).argmax(1).cpu() for b in batches])


def accuracy(model: nn.Module, images: ImageSet) -> float:
    """Returns the share of `images` that the model classifies correctly, 0..1."""
    return (predict(model, images.images) == images.labels).double().mean().item()


def with_integer_layer(model: nn.Module, name: str = DEFAULT_LAYER) -> nn.Module:
    """Returns a copy of `model` that computes layer `name` on integer codes."""
    replaced = copy.deepcopy(model)
    replaced.set_submodule(name, IntegerConv2d(replaced.get_submodule(name)))
    return replaced.eval()


@torch.no_grad()
def edge_distance(model: nn.Module, images: Tensor, name: str = DEFAULT_LAYER) -> float | None:
    """Returns the largest distance of a differing code from the edge between two codes, in steps.

    The input codes of the next layer are computed twice, from layer `name` in floats and in
    integers; where the two differ, the distance is that of the float value. Returns None if no code
    differs. images: uint8 [N, 3, 32, 32].
    """
    seen = capture(model, images, name)
    following = model.get_submodule(seen.next_name)
    from_integers = seen.between(IntegerConv2d(seen.layer)(seen.input))
    differing = following.activation_codes(seen.next_input) != following.activation_codes(
        from_integers
    )
    ratio = (seen.next_input / following.activation_quantiser.scale)[differing]
    return (ratio - ratio.floor() - 0.5).abs().max().item() if differing.any() else None


def main() -> int:
    """Runs the command, and returns its exit code. Raises InputError for a mistake of the user."""
    parser = CommandParser("training.evaluate", __doc__)
    parser.add_argument(
        "--data", help="folder that holds cifar-10-batches-py; default: $CIFAR10_ROOT"
    )
    parser.add_argument(
        "--model", default=str(SHIPPED), help="checkpoint to evaluate; default: the shipped one"
    )
    arguments = parser.parse_args()

    model, metadata = load_checkpoint(arguments.model)
    test_set = load_cifar10(arguments.data, train=False)
    fake = predict(model, test_set.images, "fake-quantised")
    integer = predict(with_integer_layer(model), test_set.images, "integer layer")
    differing = fake != integer
    result = {
        "images": len(test_set),
        "accuracy": (fake == test_set.labels).double().mean().item(),
        "accuracy_integer_layer": (integer == test_set.labels).double().mean().item(),
        "predictions_differing": int(differing.sum()),
    }
    found = {"checkpoint": file_digest(arguments.model)}
    write_results(RESULTS_FILE, result, passed=True, about=found)
    tell(
        tabulate(
            [
                ["test images", f"{result['images']:,}"],
                ["accuracy, fake-quantised", f"{result['accuracy']:.2%}"],
                [f"accuracy, {DEFAULT_LAYER} on codes", f"{result['accuracy_integer_layer']:.2%}"],
                ["predictions that differ", result["predictions_differing"]],
                ["accuracy that the checkpoint states", f"{float(metadata['accuracy']):.2%}"],
            ],
            tablefmt="simple",
            disable_numparse=True,
        )
    )
    # The batches are those of `predict`, because another batch size may sum in another order.
    for number in sorted({index // BATCH for index in torch.nonzero(differing)[:, 0].tolist()}):
        distance = edge_distance(model, test_set.images.split(BATCH)[number])
        if distance is None or distance > EDGE_STEPS:
            return conclude(
                f"FAILED: batch {number}: predictions differ, but not because of codes within "
                f"{EDGE_STEPS:g} step of an edge",
                passed=False,
            )
        tell(f"batch {number}: differing codes lie within {distance:.1e} step of an edge")
    stated = float(metadata["accuracy"])
    off = abs(result["accuracy"] - stated)
    if len(test_set) == TEST_IMAGES and off > ACCURACY_TOLERANCE:
        return conclude(
            f"FAILED: {arguments.model}: the accuracy is {result['accuracy']:.2%}, expected "
            f"{stated:.2%} ± {ACCURACY_TOLERANCE:.2%}, as the checkpoint states",
            passed=False,
        )
    return conclude(f"Results: {os.path.relpath(RESULTS_FILE)}")


if __name__ == "__main__":
    run_command(main)
