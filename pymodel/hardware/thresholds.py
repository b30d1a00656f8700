"""Turns integer sums into the codes of the next layer, by thresholds.

Between two quantised convolutions lie a scale per channel, BatchNorm, ReLU and the next layer's
fake-quantiser: a monotone staircase of the integer sum with 16 steps. Fifteen thresholds per
channel describe it exactly, whatever the scales are. A multiplier and a shift would have to
approximate a real factor and offset, and would be off by one code wherever a sum lies near a step.

The thresholds are those of exact arithmetic: the network's float32 parameters are folded in float64
into y = a · sum + b, and a, b and the next scale are then taken as the rational numbers that they
are. PyTorch's float32 chain rounds in every step, so its code can differ from the exact code where
y lies closer to a step than that rounding.
"""

from fractions import Fraction
from math import ceil, floor

import numpy as np
import torch
from torch import Tensor, nn

from pymodel.quantiser import SMALLEST_SCALE, QuantConv2d
from pymodel.support.errors import InputError

CODES = 16


def fold(layer: QuantConv2d, between: nn.Module) -> tuple[np.ndarray, np.ndarray]:
    """Returns a and b of y = a · sum + b, each float64 [C_out].

    `between` holds the modules between `layer` and the next layer: a BatchNorm or none, then a
    ReLU, then any number of max pools. Max pools leave a and b as they are: the
    pools are applied to the codes, and the largest y has the largest code. Raises InputError for
    other modules.
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
        raise InputError(f"{names} follows the layer, expected a ReLU and then at most max pools")
    return a.detach().numpy(), b.detach().numpy()


def thresholds(a: np.ndarray, b: np.ndarray, next_scale: float, sum_width: int = 24) -> np.ndarray:
    """Returns the table that the core's output stage needs, int64 [C_out, 16].

    Entry 0 of a channel is 1 if the code falls as the sum rises (a < 0): the output stage then
    compares ~sum instead of the sum. Entries 1 to 15 ascend; the code is the number of entries that
    the sum reaches. The code is j or more where relu(a · sum + b) / next_scale rounds, half to
    even, to j or more. `a` and `b` are float64 [C_out], and sums have `sum_width` bits.
    """
    never, always = 2 ** (sum_width - 1) - 1, -(2 ** (sum_width - 1))
    scale = Fraction(float(next_scale))
    table = np.zeros((len(a), CODES), np.int64)
    for channel, (gain, offset) in enumerate(zip(a.tolist(), b.tolist(), strict=True)):
        table[channel, 0] = gain < 0
        for code in range(1, CODES):
            step = scale * (2 * code - 1) / 2
            half_goes_up = code % 2 == 0
            if gain == 0:
                reached = offset > step or (offset == step and half_goes_up)
                table[channel, code] = always if reached else never
                continue
            edge = (step - Fraction(offset)) / Fraction(gain)
            if gain > 0:
                first = ceil(edge) if half_goes_up else floor(edge) + 1
            else:
                last = floor(edge) if half_goes_up else ceil(edge) - 1
                first = ~last
            table[channel, code] = min(max(first, always), never)
    return table


def requantise(sums: Tensor, table: np.ndarray) -> Tensor:
    """Returns the codes of integer `sums` [N, C_out, H, W] by a `table` of `thresholds`.

    The codes are int64 0..15, of the shape of `sums`.
    """
    falls, *ascending = torch.from_numpy(table).unbind(1)
    channels = sums.transpose(0, 1)
    compared = torch.where(falls[:, None, None, None] == 1, ~channels, channels)
    counted = torch.searchsorted(
        torch.stack(ascending, 1), compared.flatten(1).contiguous(), right=True
    )
    return counted.view(compared.shape).transpose(0, 1)
