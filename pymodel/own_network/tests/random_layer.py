"""Makes a layer that belongs to no network, for tests of files and runs."""

import torch
from torch.nn import functional

from pymodel.convolution import Convolution, pair
from pymodel.reference.layer_data import AddBias, LayerData


def random_layer(
    name: str,
    kernel: int | tuple[int, int] = 3,
    stride: int = 2,
    padding: int = 1,
    *,
    bits: tuple[int, int] = (4, 4),
    zero: int = 0,
    channels: tuple[int, int] = (5, 4),
    **geometry,
) -> LayerData:
    """Returns a layer with random codes and the float32 outputs that follow from them.

    It has 2 images, a map of 7 × 6, and by default 5 → 4 channels. `bits` are those of an
    activation and of a weight, `zero` is the zero point of the activations, and `geometry` are
    further arguments of `Convolution`. PyTorch computes the outputs from the values, not from the
    codes.
    """
    convolution = Convolution(stride, padding, **geometry)
    inputs, outputs = channels
    generator = torch.Generator().manual_seed(sum(pair(kernel)) // 2)
    shape = (outputs, inputs // convolution.groups, *pair(kernel))
    codes = torch.randint(0, 2 ** bits[0], (2, inputs, 7, 6), generator=generator)
    high = 2 ** (bits[1] - 1)
    weights = torch.randint(-high, high, shape, generator=generator)
    step = torch.rand(outputs, 1, 1, generator=generator) + 0.1
    after = AddBias(torch.randn(outputs, generator=generator))
    values = weights * step[..., None]
    found = functional.conv2d((codes - zero).float(), values, after.bias, **convolution._asdict())
    return LayerData(
        name,
        codes.to(torch.int16),
        weights.to(torch.int8),
        convolution,
        step,
        after,
        found,
        f"output of {name}",
        *bits,
        zero,
    )
