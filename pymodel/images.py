"""Sets of labelled CIFAR-10 images as bytes, and the normalisation that the network expects."""

import functools
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from pymodel.support.errors import InputError
from pymodel.support.sealed import read_sealed, write_sealed

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
    """Images uint8 [N, 3, 32, 32], labels int64 [N] (0..9), indices int64 [N] in their data set."""

    images: Tensor
    labels: Tensor
    indices: Tensor

    def __len__(self) -> int:
        return len(self.images)

    def part(self, which: slice) -> "ImageSet":
        """Those of a slice."""
        return ImageSet(self.images[which], self.labels[which], self.indices[which])

    def first(self, count: int) -> "ImageSet":
        """The first `count` images."""
        return self.part(slice(count))


def normalise(images: Tensor) -> Tensor:
    """uint8 images [N, 3, H, W] → float32 with zero mean and unit variance per colour channel."""
    mean, std = _mean_and_std(images.device)
    return (images.float() / 255 - mean) / std


@functools.cache
def _mean_and_std(device: torch.device) -> tuple[Tensor, Tensor]:
    """Each [3, 1, 1], copied to the device once."""
    return tuple(torch.tensor(values, device=device).view(3, 1, 1) for values in (MEAN, STD))


def load_images(path: str | Path = SHIPPED) -> ImageSet:
    """Read a sealed file of images, labels and indices; InputError if it is not one."""
    tensors, _ = read_sealed(path)
    expected = {"images": torch.uint8, "labels": torch.int64, "indices": torch.int64}
    found = {name: tensor.dtype for name, tensor in tensors.items()}
    if found != expected or tensors["images"].shape[1:] != IMAGE_SHAPE:
        raise InputError(f"{path}: holds {found}, expected {expected} with images of {IMAGE_SHAPE}")
    return ImageSet(**tensors)


def save_images(images: ImageSet, path: str | Path) -> None:
    """Write a set of images, lossless."""
    tensors = {"images": images.images, "labels": images.labels, "indices": images.indices}
    write_sealed(tensors, {}, path)
