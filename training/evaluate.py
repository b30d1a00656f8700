"""Accuracy of a network on CIFAR-10's test images."""

import torch
from torch import Tensor, nn
from tqdm import tqdm

from pymodel.images import ImageSet, normalise

BATCH = 250  # images a forward pass


@torch.no_grad()
def predict(model: nn.Module, images: Tensor, progress: str | None = None) -> Tensor:
    """Predicted classes, int64 [N], of uint8 images [N, 3, 32, 32]; float32, no autocast."""
    model.eval()
    device = next(model.parameters()).device
    batches = tqdm(images.split(BATCH), desc=progress, disable=None if progress else True)
    return torch.cat([model(normalise(b.to(device))).argmax(1).cpu() for b in batches])


def accuracy(model: nn.Module, images: ImageSet) -> float:
    """Share of `images` that the model classifies correctly, 0..1."""
    return (predict(model, images.images) == images.labels).float().mean().item()
