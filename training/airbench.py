"""A small float network that learns fast, the teacher: Jordan's of "94% on CIFAR-10 Training in
3.29 Seconds on a Single GPU", 2024, section 3, with the third convolutions of its larger variants.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from pymodel.vgg import CLASSES

CHANNELS = (64, 256, 256)  # of the three groups
PATCH = 2  # side of what the first convolution whitens
WHITENING_IMAGES = 5000  # training images whose patches are looked at
SMALLEST_VARIANCE = 5e-4  # added to each: directions in which patches hardly differ are noise


def gelu(x: Tensor) -> Tensor:
    return functional.gelu(x, approximate="tanh")


class Group(nn.Module):
    """Halves the image; three 3 × 3 convolutions, the last with a shortcut.

    Each starts as the identity of its channels (section 3.2).
    """

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.convolutions = nn.ModuleList(
            nn.Conv2d(channels, outputs, 3, padding=1, bias=False)
            for channels in (inputs, outputs, outputs)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(outputs) for _ in range(3))
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            nn.init.dirac_(convolution.weight.data[: convolution.in_channels])
            norm.weight.requires_grad_(False)  # only the bias is learned

    def forward(self, x: Tensor) -> Tensor:
        """[N, inputs, H, W] → [N, outputs, H//2, W//2]."""
        (first, second, third), norms = self.convolutions, self.norms
        x = gelu(norms[0](functional.max_pool2d(first(x), 2)))
        return gelu(norms[2](third(gelu(norms[1](second(x))))) + x)


class Airbench(nn.Module):
    """Whitened 2 × 2 patches, three groups, the maximum over the image, ten logits."""

    def __init__(self):
        super().__init__()
        patch = 3 * PATCH**2  # values in one
        self.register_buffer("whitening", torch.zeros(2 * patch, 3, PATCH, PATCH))
        self.bias = nn.Parameter(torch.zeros(2 * patch))
        channels = (2 * patch, *CHANNELS)
        self.groups = nn.Sequential(*(Group(a, b) for a, b in pairwise(channels)))
        self.classifier = nn.Linear(channels[-1], CLASSES, bias=False)

    def whiten(self, images: Tensor) -> None:
        """Set the first convolution, which is not learned: patches' principal components (3.1).

        images: normalised training images, float [N, 3, H, W]. Each component is divided by its
        standard deviation, and there with both signs.
        """
        patches = images.unfold(2, PATCH, 1).unfold(3, PATCH, 1)
        patches = patches.permute(0, 2, 3, 1, 4, 5).flatten(3).flatten(0, 2)
        variances, components = torch.linalg.eigh(patches.T @ patches / len(patches))
        kernels = components.T / (variances[:, None] + SMALLEST_VARIANCE).sqrt()
        kernels = kernels.view(-1, *self.whitening.shape[1:])
        self.whitening.copy_(torch.cat([kernels, -kernels]))

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images [N, 3, H, W] float → logits [N, 10]."""
        x = gelu(functional.conv2d(images, self.whitening, self.bias))
        return self.classifier(self.groups(x).amax((2, 3)))
