"""Folds what follows a quantised convolution into a gain and an offset for each channel."""

import numpy as np
import torch
from torch import nn

from pymodel.lsq_quantiser import SMALLEST_SCALE, QuantConv2d
from pymodel.support.errors import InputError


def fold(layer: QuantConv2d, between: nn.Module) -> tuple[np.ndarray, np.ndarray]:
    """Returns a and b, float64 [C_out] each: a · sum + b is what the ReLU after `layer` is given.

    `sum` is an integer sum of codes. `between` holds the modules between `layer` and the next
    layer: a BatchNorm or none, then a ReLU, then any number of max pools. Max pools do not change a
    and b, because the pools are applied to the codes, and the largest value has the largest code.
    Raises InputError for other modules.
    """
    modules = list(between)
    scale = layer.weight_quantiser.scale.detach().double().clamp_min(SMALLEST_SCALE).flatten()
    a = scale * layer.activation_quantiser.scale.detach().double().clamp_min(SMALLEST_SCALE)
    b = torch.zeros_like(a)
    if modules and isinstance(modules[0], nn.BatchNorm2d):
        norm = modules.pop(0)
        gain = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
        a, b = a * gain, norm.bias.double() - norm.running_mean.double() * gain
    kinds = [type(module) for module in modules]
    if kinds[:1] != [nn.ReLU] or any(kind is not nn.MaxPool2d for kind in kinds[1:]):
        names = ", ".join(kind.__name__ for kind in kinds) or "nothing"
        raise InputError(
            f"the layer and its BatchNorm, if any, are followed by {names}, expected a ReLU, and "
            "after the ReLU only max pools"
        )
    return a.detach().numpy(), b.detach().numpy()
