"""Runs a training of seconds for the tests: a narrow network, three epochs of two steps each."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from pymodel import vgg
from pymodel.images import ImageSet
from training.recipe import Recipe
from training.train import setup, train

RECIPE = Recipe(epochs=3, batch_size=16, sizes=((0.0, 16),), peak_lr=0.02, muon_lr=0.02)


@contextmanager
def narrow() -> Iterator[None]:
    """Narrows every VGG16 that is made in the context: a layer with many channels has an eighth."""
    with pytest.MonkeyPatch.context() as patch:
        plan = [entry if isinstance(entry, str) else entry // 8 for entry in vgg.PLAN]
        patch.setattr(vgg, "PLAN", tuple(plan))
        patch.setattr(vgg, "WIDEST", vgg.WIDEST // 8)
        yield


def tiny_set() -> ImageSet:
    """Returns 32 random images, the same in each call."""
    generator = torch.Generator().manual_seed(5)
    images = torch.randint(0, 256, (32, 3, 32, 32), generator=generator).byte()
    return ImageSet(images, torch.arange(32) % 10, torch.arange(32))


def run(
    folder: Path, *, resume: bool = False, recipe: Recipe = RECIPE, seed: int = 3, teacher=None
):
    """Trains a narrow network on the tiny set, and returns the state dict of the model."""
    with narrow(), setup("cpu", compiled=False) as place:
        images = tiny_set()
        model, _ = train(
            images, images, recipe, folder, seed, place, resume=resume, teacher=teacher
        )
        return model.state_dict()


if __name__ == "__main__":
    torch.set_num_threads(1)
    folder = Path(sys.argv[1])
    save_file(run(folder), folder / f"weights-{os.environ['RANK']}.safetensors")
