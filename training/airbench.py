"""Defines the teacher, a small float network that learns fast.

The network is the one of Jordan, "94% on CIFAR-10 Training in 3.29 Seconds on a Single GPU", 2024,
section 3, with the third convolution per group that the paper's larger variants have.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from pymodel.vgg import CLASSES

CHANNELS = (64, 256, 256)  # output channels of the three groups
PATCH = 2  # side of the patches that the first convolution whitens, in pixels
WHITENING_IMAGES = 5000  # number of training images whose patches are used
# The whitening adds this to each variance, because directions in which patches hardly differ are
# noise, which a division by their small variance would amplify.
ADDED_VARIANCE = 5e-4


def gelu(x: Tensor) -> Tensor:
    """Returns GELU of `x`, in the approximation by tanh."""
    return functional.gelu(x, approximate="tanh")


class Group(nn.Module):
    """Three 3 × 3 convolutions, a max pool after the first, and a shortcut past the other two.

    The max pool halves the sides of the image. Each convolution starts as the identity of its input
    channels (section 3.2).
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
        """Returns float [N, outputs, H//2, W//2] for float [N, inputs, H, W]."""
        (first, second, third), norms = self.convolutions, self.norms
        x = gelu(norms[0](functional.max_pool2d(first(x), 2)))
        return gelu(norms[2](third(gelu(norms[1](second(x))))) + x)


class Airbench(nn.Module):
    """A whitening 2 × 2 convolution, three groups, the maximum over the image, and ten logits."""

    def __init__(self):
        super().__init__()
        patch = 3 * PATCH**2  # number of values in a patch
        self.register_buffer("whitening", torch.zeros(2 * patch, 3, PATCH, PATCH))
        self.bias = nn.Parameter(torch.zeros(2 * patch))
        channels = (2 * patch, *CHANNELS)
        self.groups = nn.Sequential(*(Group(a, b) for a, b in pairwise(channels)))
        self.classifier = nn.Linear(channels[-1], CLASSES, bias=False)

    def whiten(self, images: Tensor) -> None:
        """Sets the first convolution to the principal components of patches (section 3.1).

        images: normalised training images, float [N, 3, H, W]. Each component is divided by the
        standard deviation of the patches along it, and is used with both signs. Training does not
        change this convolution, but only the bias that is added to its output.
        """
        patches = images.unfold(2, PATCH, 1).unfold(3, PATCH, 1)
        patches = patches.permute(0, 2, 3, 1, 4, 5).flatten(3).flatten(0, 2)
        variances, components = torch.linalg.eigh(patches.T @ patches / len(patches))
        kernels = components.T / (variances[:, None] + ADDED_VARIANCE).sqrt()
        kernels = kernels.view(-1, *self.whitening.shape[1:])
        self.whitening.copy_(torch.cat([kernels, -kernels]))

    def forward(self, images: Tensor) -> Tensor:
        """Returns the logits [N, 10] of normalised images, float [N, 3, H, W]."""
        x = gelu(functional.conv2d(images, self.whitening, self.bias))
        return self.classifier(self.groups(x).amax((2, 3)))
