"""Turns integer sums into codes of 5 to 8 bits, by a multiplier, an offset and a shift per channel.

    code = clamp((sum · multiplier + offset) >> shift, lowest, highest)

All numbers are integers, and the shift rounds down. With offset = bias · multiplier + 2^(shift − 1)
+ zero point · 2^shift this is what TFLite's reference kernels compute in their single rounding
(`MultiplyByQuantizedMultiplier` with TFLITE_SINGLE_ROUNDING, tensorflow/lite/kernels/internal/
common.h; halves are rounded up), with a multiplier of sum_width − 1 bits: 31 bits for sums of 32,
as there. Jacob et al., "Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference", CVPR 2018, section 2.2, derive it.

ONNX's QLinearConv is defined in real numbers instead: the code is round(sum · ratio) + zero point,
where halves are rounded to even. The two differ where sum · ratio lies so near the middle of two
codes that the multiplier's rounding decides, or exactly there.
"""

from fractions import Fraction

import numpy as np

# The places of the numbers in a channel's table of 16 words. The offset has two words.
SHIFT, LOWEST, HIGHEST, MULTIPLIER, OFFSET_LOW, OFFSET_HIGH = 1, 2, 3, 4, 8, 12
CODE_BITS = 8  # of a lane of the output


def scaling_table(
    ratios: np.ndarray,
    bias: np.ndarray,
    zero_point: int,
    lowest: int,
    highest: int,
    sum_width: int = 24,
) -> np.ndarray:
    """Returns the table that the core's output stage needs in mode SCALED, int64 [C_out, 16].

    A sum's real code is (sum + bias) · ratio + zero_point, clamped to lowest … highest. `ratios`
    are positive, float64 [C_out], scales of activations and weights over that of the codes; `bias`
    is in units of a sum, integers [C_out]; sums have `sum_width` bits. The multiplier has
    sum_width − 1 bits, fewer for ratios below 2^(10 − sum_width). Raises ValueError for a ratio of
    2^(sum_width − 1) or more, or one that is not positive, and for a bias of more bits than a sum.
    """
    table = np.zeros((len(ratios), 16), np.int64)
    bits = sum_width - 1
    for channel, (ratio, added) in enumerate(zip(ratios.tolist(), bias.tolist(), strict=True)):
        if not 0 < ratio < 2**bits:
            raise ValueError(f"the ratio of channel {channel} is {ratio}, expected 0 to 2^{bits}")
        if not -(2**bits) <= added < 2**bits:
            raise ValueError(f"the bias of channel {channel} is {added}, more than {bits + 1} bits")
        exact = Fraction(ratio)
        shift = 0
        while shift < 2 * sum_width - 11 and round(exact * 2 ** (shift + 1)) < 2**bits:
            shift += 1
        multiplier = min(round(exact * 2**shift), 2**bits - 1)
        offset = added * multiplier + (1 << shift >> 1) + (zero_point << shift)
        write_words(table[channel], (shift, lowest, highest, multiplier), offset, sum_width)
    return table


def write_words(
    row: np.ndarray, words: tuple[int, int, int, int], offset: int, sum_width: int
) -> None:
    """Writes shift, lowest and highest code, multiplier and offset into a channel's table [16].

    Raises ValueError for an offset of more than 2 · sum_width bits.
    """
    row[[SHIFT, LOWEST, HIGHEST, MULTIPLIER]] = words
    row[[OFFSET_LOW, OFFSET_HIGH]] = offset_words(offset, sum_width)


def offset_words(offset: int, sum_width: int) -> tuple[int, int]:
    """Returns the low and the high half of an offset of 2 · sum_width bits, in two's complement.

    Raises ValueError for an offset of more bits.
    """
    high, low = divmod(offset, 2**sum_width)
    half = 2 ** (sum_width - 1)
    if not -half <= high < half:
        raise ValueError(f"the offset {offset} has more than {2 * sum_width} bits")
    return low - 2 * half * (low >= half), high


def scale(sums: np.ndarray, table: np.ndarray, sum_width: int = 24) -> np.ndarray:
    """Returns the codes, int64, of integer `sums` [N, C_out, H, W] by a table of `scaling_table`.

    Sums have `sum_width` bits. Raises ValueError where sum · multiplier + offset has more than
    2 · sum_width bits, in which the core would wrap.
    """
    codes = np.empty(sums.shape, np.int64)
    for channel, words in enumerate(table.tolist()):
        offset = words[OFFSET_HIGH] * 2**sum_width + words[OFFSET_LOW] % 2**sum_width
        # Python's integers: a product of two sums may have more bits than int64
        totals = sums[:, channel].astype(object) * words[MULTIPLIER] + offset
        half = 2 ** (2 * sum_width - 1)
        if totals.size and not -half <= totals.min() <= totals.max() < half:
            raise ValueError(f"a sum of channel {channel} times its multiplier is too large")
        shifted = totals >> words[SHIFT] % (1 << (2 * sum_width - 1).bit_length())
        codes[:, channel] = np.clip(shifted, words[LOWEST], words[HIGHEST])
    return codes
