"""Writes and reads the file of a teacher: a run writes the file, and another may start from it."""

import json
from pathlib import Path

import torch
from torch import nn

from pymodel.support.checksummed_tensors import read_sealed, write_sealed
from pymodel.support.errors import InputError
from training.airbench import Airbench
from training.recipe import TEACHER, Recipe

FORMAT = "systolic-cosim teacher 1"
METADATA = ("format", "recipe", "seed", "accuracy", "images", "seconds")


def save_teacher(model: nn.Module, path: Path, metadata: dict[str, str]) -> None:
    """Writes `model` with `metadata`, which holds all keys of METADATA but the format.

    Weights are stored in bfloat16, in which they are multiplied wherever that saves time. Raises
    InputError if `path` cannot be written.
    """
    tensors = {
        name: (t.bfloat16() if t.ndim > 1 else t).detach().cpu().contiguous()
        for name, t in model.state_dict().items()
    }
    write_sealed(tensors, {"format": FORMAT, **metadata}, path)


def load_teacher(path: Path, *, held_out: bool) -> tuple[Airbench, dict[str, str]]:
    """Returns the network (float32, in evaluation mode, on the CPU, frozen) and its metadata.

    Raises InputError if the file is missing, damaged or no teacher. With `held_out`, a teacher that
    has seen the held-out images is refused as well.
    """
    tensors, metadata = read_sealed(path)
    if metadata.get("format") != FORMAT or any(key not in metadata for key in METADATA):
        found = metadata.get("format")
        raise InputError(f"{path}: format is {found!r}, expected {FORMAT!r} with its metadata")
    if held_out and metadata["images"] != "held out":
        raise InputError(
            f"{path}: has seen the held-out images, expected a teacher trained with --hold-out"
        )
    try:
        architecture = json.loads(metadata["recipe"])["architecture"]
        float(metadata["accuracy"]), float(metadata["seconds"])
    except (KeyError, TypeError, ValueError):
        raise InputError(
            f"{path}: recipe, accuracy or seconds is not as training.train writes it"
        ) from None
    if architecture != TEACHER.architecture:
        raise InputError(f"{path}: is {architecture!r}, expected {TEACHER.architecture!r}")
    model = Airbench()
    expected = {name: tuple(t.shape) for name, t in model.state_dict().items()}
    if {name: tuple(t.shape) for name, t in tensors.items()} != expected:
        raise InputError(f"{path}: holds other tensors than a network '{architecture}' has")
    if not all(torch.isfinite(t).all() for t in tensors.values()):
        raise InputError(f"{path}: holds NaN or infinity, expected finite values")
    model.load_state_dict(tensors)
    return model.eval().requires_grad_(False), metadata


def teacher_metadata(
    recipe: Recipe, seed: int, accuracy: float, images: str, seconds: float
) -> dict[str, str]:
    """Returns the metadata of a teacher's file.

    `accuracy` (0..1) is measured on `images`, "test" or "held out"; the training took `seconds`.
    """
    return {
        "recipe": json.dumps(recipe.as_dict()),
        "seed": str(seed),
        "accuracy": f"{accuracy:.4f}",
        "images": images,
        "seconds": f"{seconds:.1f}",
    }
