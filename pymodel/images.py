"""Holds labelled CIFAR-10 images as bytes, and normalises them as the network expects."""

import functools
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from pymodel.support.checksummed_tensors import read_sealed, write_sealed
from pymodel.support.errors import InputError

CLASS_NAMES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
IMAGE_SHAPE = (3, 32, 32)
SHIPPED = Path(__file__).parents[1] / "training" / "shipped" / "cifar10_test_100.safetensors"

# Mean and standard deviation of the training set, per colour channel, of values in 0..1.
MEAN = (0.4914, 0.4822, 0.4465)
STD = (0.2470, 0.2435, 0.2616)


@dataclass(frozen=True)
class ImageSet:
    """Images uint8 [N, 3, 32, 32], labels int64 [N] (0..9), indices int64 [N] in the data set."""

    images: Tensor
    labels: Tensor
    indices: Tensor

    def __len__(self) -> int:
        return len(self.images)

    def part(self, which: slice) -> "ImageSet":
        """Returns the images that the slice `which` selects, with labels and indices."""
        return ImageSet(self.images[which], self.labels[which], self.indices[which])

    def first(self, count: int) -> "ImageSet":
        """Returns the first `count` images, with labels and indices."""
        return self.part(slice(count))


def normalise(images: Tensor) -> Tensor:
    """Returns uint8 images [N, 3, H, W] as float32, normalised by MEAN and STD of each colour."""
    mean, std = _mean_and_std(images.device)
    return (images.float() / 255 - mean) / std


@functools.cache
def _mean_and_std(device: torch.device) -> tuple[Tensor, Tensor]:
    """Returns MEAN and STD, float32 [3, 1, 1] each, which are copied to the device once."""
    return tuple(torch.tensor(values, device=device).view(3, 1, 1) for values in (MEAN, STD))


def load_images(path: str | Path = SHIPPED) -> ImageSet:
    """Reads a sealed file of images, labels and indices. Raises InputError for any other file."""
    tensors, _ = read_sealed(path)
    expected = {"images": torch.uint8, "labels": torch.int64, "indices": torch.int64}
    dtypes = {name: tensor.dtype for name, tensor in tensors.items()}
    if dtypes != expected or tensors["images"].shape[1:] != IMAGE_SHAPE:
        found = {name: f"{t.dtype} {list(t.shape)}" for name, t in tensors.items()}
        raise InputError(f"{path}: holds {found}, expected {expected} with images of {IMAGE_SHAPE}")
    return ImageSet(**tensors)


def save_images(images: ImageSet, path: str | Path) -> None:
    """Writes a set of images without loss. Raises InputError if `path` cannot be written."""
    tensors = {"images": images.images, "labels": images.labels, "indices": images.indices}
    write_sealed(tensors, {}, path)
