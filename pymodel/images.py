"""Sets of labelled CIFAR-10 images as bytes, and the normalisation that the network expects."""

from dataclasses import dataclass

import torch
from torch import Tensor

CLASS_NAMES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
IMAGE_SHAPE = (3, 32, 32)

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

    def first(self, count: int) -> "ImageSet":
        """The first `count` images."""
        return ImageSet(self.images[:count], self.labels[:count], self.indices[:count])


def normalise(images: Tensor) -> Tensor:
    """uint8 images [N, 3, H, W] → float32 with zero mean and unit variance per colour channel."""
    mean = torch.tensor(MEAN, device=images.device).view(3, 1, 1)
    std = torch.tensor(STD, device=images.device).view(3, 1, 1)
    return (images.float() / 255 - mean) / std
