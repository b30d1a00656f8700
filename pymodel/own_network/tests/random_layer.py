"""Makes a layer that belongs to no network, for tests of files and runs."""

import torch

from pymodel.own_network.layer_file import AddBias
from pymodel.reference.integer_convolution import integer_convolution
from pymodel.reference.layer_data import LayerData


def random_layer(name: str, kernel: int = 3, stride: int = 2, padding: int = 1) -> LayerData:
    """Returns a layer with random codes and the outputs that follow from them.

    It has 2 images, 5 → 4 channels and a map of 7 × 6.
    """
    generator = torch.Generator().manual_seed(kernel)
    codes = torch.randint(0, 16, (2, 5, 7, 6), generator=generator, dtype=torch.int8)
    weights = torch.randint(-8, 8, (4, 5, kernel, kernel), generator=generator, dtype=torch.int8)
    step = torch.rand(4, 1, 1, generator=generator) + 0.1
    after = AddBias(torch.randn(4, generator=generator))
    outputs = after(integer_convolution(codes, weights, stride, padding) * step)
    return LayerData(
        name, codes, weights, stride, padding, step, after, outputs, f"output of {name}"
    )
