"""Writes the shipped checkpoint's logits for the shipped images; a test compares with them.

python -m training.ship_logits
"""

import copy
import os
from pathlib import Path

import torch
from torch import Tensor

from pymodel.checkpoint import SHIPPED, load_checkpoint
from pymodel.images import load_images, normalise
from pymodel.reference.integer_network import IntegerNetwork
from pymodel.support.checksummed_tensors import write_sealed
from pymodel.support.command import CommandParser, conclude, run_command
from pymodel.vgg import VGG16

LOGITS = Path(__file__).parent / "shipped" / "logits_100.safetensors"


@torch.no_grad()
def integer_logits(model: VGG16, images: Tensor) -> Tensor:
    """Returns the logits, float32 [N, 10], of the integer network for uint8 images [N, 3, 32, 32].

    The layers before the first codes are computed in float64. In float32, where processors differ
    in the order of a sum, a value at the edge between two codes could become the other code.
    """
    network = IntegerNetwork(model)
    first = network.inner[0]
    before = model.features[: list(model.features).index(first.layer)]
    maps = copy.deepcopy(before).double()(normalise(images).double())
    *_, sums = network.outputs(first.layer.activation_codes(maps))
    return network.logits(sums)


def main() -> int:
    """Runs the command, and returns its exit code. Raises InputError for a mistake of the user."""
    CommandParser("training.ship_logits", __doc__).parse_args()
    model, metadata = load_checkpoint(SHIPPED)
    logits = integer_logits(model, load_images().images)
    write_sealed({"logits": logits}, {"accuracy": metadata["accuracy"]}, LOGITS)
    return conclude(f"Written: {os.path.relpath(LOGITS)}")


if __name__ == "__main__":
    run_command(main)
