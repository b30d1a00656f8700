"""The first convolution of the teacher whitens patches, and its groups start as identities."""

import torch
from torch.nn import functional

from training.airbench import Airbench, Group


def test_first_convolution_makes_patches_white():
    """On the images that set them, components are uncorrelated and have a variance of 1."""
    model = Airbench()
    images = torch.randn(64, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    images = images + 3 * images.mean((1, 2, 3), keepdim=True)  # so the values of a patch correlate
    model.whiten(images)
    outputs = functional.conv2d(images, model.whitening).transpose(0, 1).flatten(1)
    first, second = outputs.chunk(2)
    assert torch.equal(first, -second)
    covariance = first @ first.T / first.shape[1]
    assert torch.allclose(covariance, torch.eye(12), atol=0.01)


def test_a_group_starts_as_the_identity_of_its_channels():
    """At the start, each of the first output channels depends on its own input channel alone."""
    group = Group(4, 6).eval()
    x = torch.randn(2, 4, 9, 9, generator=torch.Generator().manual_seed(1), requires_grad=True)
    y = group(x)
    assert y.shape == (2, 6, 4, 4)
    y[:, 2].sum().backward()
    assert x.grad[:, 2].any()
    assert not x.grad[:, [0, 1, 3]].any()


def test_logits_of_any_size():
    model = Airbench().eval()
    assert all(model(torch.zeros(3, 3, size, size)).shape == (3, 10) for size in (16, 24, 32))
    assert "whitening" in model.state_dict()
