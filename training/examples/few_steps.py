"""Trains an example for a few steps on the shipped images, which moves scales and weights."""

import sys
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional

from pymodel.images import load_images, normalise
from pymodel.support.command import CommandParser, conclude
from pymodel.support.errors import InputError
from pymodel.support.files import replacing

BATCH = 16


def train(factory: Callable[[], nn.Module], steps: int, seed: int = 0) -> tuple[nn.Module, list]:
    """Returns a model of `factory` after `steps` steps of SGD, and the loss of each step.

    The first weights and the batches follow from `seed`.
    """
    torch.manual_seed(seed)
    model = factory().train()
    shipped = load_images()
    optimiser = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
    losses = []
    for _ in range(steps):
        batch = torch.randperm(len(shipped))[:BATCH]
        logits = model(normalise(shipped.images[batch]))
        loss = functional.cross_entropy(logits, shipped.labels[batch])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return model, losses


def main(factory: Callable[[], nn.Module]) -> int:
    """Runs the command of an example: trains a model of `factory`, and writes its state dict.

    The command has the name of the factory. Returns the exit code. Raises InputError for a mistake
    of the user.
    """
    doc = sys.modules[factory.__module__].__doc__
    parser = CommandParser(f"training.examples.{factory.__name__}", doc)
    parser.add_argument("--output", type=Path, required=True, help="safetensors file to write")
    parser.add_argument("--steps", type=int, default=5, help="number of steps of SGD; default 5")
    arguments = parser.parse_args()
    if arguments.steps < 1:
        raise InputError(f"--steps is {arguments.steps}, expected 1 or more")
    model, losses = train(factory, arguments.steps)
    with replacing(arguments.output) as temporary:
        save_file({n: t.contiguous() for n, t in model.state_dict().items()}, temporary)
    return conclude(
        f"loss {losses[0]:.3f} → {losses[-1]:.3f} in {len(losses)} steps; state dict: "
        f"{arguments.output}"
    )
