"""Writes and reads the file of a teacher: a run writes the file, and later runs may read it."""

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

    Weights are stored in bfloat16, because the products have that dtype wherever this saves time.
    Raises InputError if `path` cannot be written.
    """
    tensors = {
        name: (t.bfloat16() if t.ndim > 1 else t).detach().cpu().contiguous()
        for name, t in model.state_dict().items()
    }
    write_sealed(tensors, {"format": FORMAT, **metadata}, path)


def load_teacher(path: Path, *, held_out: bool) -> tuple[Airbench, dict[str, str]]:
    """Returns the network (float32, in evaluation mode, on the CPU, frozen) and its metadata.

    Raises InputError if the file is missing, damaged or no teacher, and with `held_out` also for a
    teacher that was trained with the held-out images.
    """
    tensors, metadata = read_sealed(path)
    if metadata.get("format") != FORMAT:
        raise InputError(f"{path}: format is {metadata.get('format')!r}, expected {FORMAT!r}")
    for key in METADATA:
        if key not in metadata:
            raise InputError(f"{path}: metadata has no '{key}', expected {', '.join(METADATA)}")
    if held_out and metadata["images"] != "held out":
        raise InputError(
            f"{path}: has seen the held-out images, expected a teacher trained with --hold-out"
        )
    try:
        architecture = json.loads(metadata["recipe"])["architecture"]
        float(metadata["accuracy"]), float(metadata["seconds"])
    except (KeyError, TypeError, ValueError):
        raise InputError(
            f"{path}: recipe, accuracy or seconds is not as training.train writes it, expected "
            "JSON and two numbers"
        ) from None
    if architecture != TEACHER.architecture:
        raise InputError(
            f"{path}: architecture is {architecture!r}, expected {TEACHER.architecture!r}"
        )
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
