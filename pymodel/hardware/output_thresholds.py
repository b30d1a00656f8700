"""Turns integer sums into the codes of the next layer, by thresholds.

Between two quantised convolutions lie a scale per channel, BatchNorm, ReLU and the next layer's
fake-quantiser. Together they are a monotone staircase of the integer sum, with 16 levels and 15
steps between them. Fifteen thresholds per channel, one for each step, describe the staircase
exactly, whatever the scales are. A multiplier and a shift would have to approximate a real factor
and offset, and would be off by one code wherever a sum lies near a step.

The thresholds are those of exact arithmetic: the network's float32 parameters are folded in float64
into y = a · sum + b, and a, b and the next scale are then taken as the rational numbers that they
are. PyTorch's float32 chain rounds in every step, so its code can differ from the exact code where
y lies closer to a step than that rounding.
"""

from fractions import Fraction
from math import ceil, floor

import numpy as np

CODES = 16  # number of codes of an activation of 4 bits


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
        falls = gain < 0
        table[channel, 0] = falls
        for code in range(1, CODES):
            step = scale * (2 * code - 1) / 2  # value of y between the codes code − 1 and code
            half_goes_up = code % 2 == 0
            if gain == 0:
                reached = offset > step or (offset == step and half_goes_up)
                table[channel, code] = always if reached else never
                continue
            edge = (step - Fraction(offset)) / Fraction(gain)
            if falls:
                last = floor(edge) if half_goes_up else ceil(edge) - 1
                first = ~last
            else:
                first = ceil(edge) if half_goes_up else floor(edge) + 1
            table[channel, code] = min(max(first, always), never)
    return table


def requantise(sums: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Returns the codes of integer `sums` [N, C_out, H, W] by a `table` of `thresholds`.

    The codes are int64 0..15, of the shape of `sums`.
    """
    codes = np.empty(sums.shape, np.int64)
    for channel, (falls, *ascending) in enumerate(table):
        compared = ~sums[:, channel] if falls else sums[:, channel]
        codes[:, channel] = np.searchsorted(ascending, compared, side="right")
    return codes
