"""Scaled codes are TFLite's in single rounding; how often ONNX Runtime's differ is counted."""

import math

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper

from pymodel.hardware.output_scaling import (
    CODE_BITS,
    HIGHEST,
    LOWEST,
    MULTIPLIER,
    OFFSET_HIGH,
    OFFSET_LOW,
    SHIFT,
    offset_words,
    scale,
    scaling_table,
)

SEED = 7


def tflite_code(total: int, ratio: float, zero_point: int, lowest: int, highest: int) -> int:
    """Returns a code as TFLite computes it, of a sum with its bias.

    `QuantizeMultiplier` (tensorflow/lite/kernels/internal/quantization_util.cc) and
    `MultiplyByQuantizedMultiplier` (common.h, TFLITE_SINGLE_ROUNDING), line by line.
    """
    fraction, exponent = math.frexp(ratio)
    multiplier = math.floor(fraction * 2**31 + 0.5)  # TfLiteRound: halves away from zero
    if multiplier == 2**31:
        multiplier, exponent = multiplier // 2, exponent + 1
    shift = 31 - exponent
    product = total * multiplier + (1 << (shift - 1))
    return min(max((product >> shift) + zero_point, lowest), highest)


@pytest.mark.parametrize(
    ("zero_point", "lowest", "highest"), [(0, 0, 255), (-128, -128, 127), (5, 0, 31), (-3, -64, 63)]
)
def test_codes_are_those_of_tflite(zero_point, lowest, highest):
    """Sums of 32 bits, ratios from 2⁻²¹ to 2³, biases; many sums lie between two codes."""
    rng = np.random.default_rng(SEED)
    ratios = np.concatenate([2.0 ** rng.uniform(-21, 3, 60), [0.5, 0.25, 2.0**-9, 1 - 2.0**-33]])
    bias = rng.integers(-(2**20), 2**20, len(ratios))
    table = scaling_table(ratios, bias, zero_point, lowest, highest, sum_width=32)
    sums = np.zeros((1, len(ratios), 9, 40), np.int64)
    for channel, ratio in enumerate(ratios):
        codes = rng.integers(lowest - 3, highest + 4, 40) - zero_point
        edges = np.floor((codes + 0.5) / ratio).astype(np.int64)
        sums[0, channel] = edges + np.arange(-4, 5)[:, None] - bias[channel]
    np.clip(sums, -(2**31), 2**31 - 1, out=sums)
    found = scale(sums, table, sum_width=32)
    seen = set()
    for channel, ratio in enumerate(ratios):
        for value, code in zip(sums[0, channel].flat, found[0, channel].flat, strict=True):
            total = int(value) + int(bias[channel])
            assert code == tflite_code(total, float(ratio), zero_point, lowest, highest)
            seen.add(int(code))
    assert seen == set(range(lowest, highest + 1))


def test_halves_are_rounded_up():
    """A half lies between two codes: 0.5 becomes 1, −0.5 becomes 0, and 1.5 becomes 2."""
    table = scaling_table(np.array([0.5]), np.array([0]), 0, -8, 7)
    sums = np.arange(-5, 6).reshape(1, 1, 1, -1)
    assert scale(sums, table).ravel().tolist() == [-2, -2, -1, -1, 0, 0, 1, 1, 2, 2, 3]


def test_the_places_of_the_words():
    """They are those of the register map's description, docs/core.md, and of rtl/output_stage.v."""
    places = (SHIFT, LOWEST, HIGHEST, MULTIPLIER, OFFSET_LOW, OFFSET_HIGH)
    assert (places, CODE_BITS) == ((1, 2, 3, 4, 8, 12), 8)


def test_each_channel_has_its_bias():
    with pytest.raises(ValueError, match="zip"):
        scaling_table(np.array([0.5, 0.5]), np.array([0]), 0, 0, 255)


def test_the_words_of_a_channel():
    """0.75 is 6291456 · 2⁻²³; the offset holds bias, half and zero point."""
    (row,) = scaling_table(np.array([0.75]), np.array([-3]), 5, 0, 31).tolist()
    assert len(row) == 16  # as many as of the thresholds
    assert (row[SHIFT], row[LOWEST], row[HIGHEST], row[MULTIPLIER]) == (23, 0, 31, 6291456)
    offset = -3 * 6291456 + 2**22 + 5 * 2**23
    assert offset == row[OFFSET_HIGH] * 2**24 + row[OFFSET_LOW] % 2**24
    assert sum(map(bool, row)) == 5  # the others, and LOWEST, are 0


@pytest.mark.parametrize("sum_width", [16, 24, 32])
def test_a_multiplier_has_as_many_bits_as_can_be(sum_width):
    """A small ratio has the largest shift and fewer bits, and each is off by at most a half."""
    most = 2 * sum_width - 11
    ratios = 2.0 ** np.linspace(-2 * sum_width, sum_width - 2, 200) * 1.37
    table = scaling_table(ratios, np.zeros(200, int), 0, 0, 255, sum_width)
    for ratio, row in zip(ratios.tolist(), table.tolist(), strict=True):
        assert abs(ratio * 2.0 ** row[SHIFT] - row[MULTIPLIER]) <= 0.5
        assert row[MULTIPLIER] < 2 ** (sum_width - 1)
        assert row[MULTIPLIER] >= 2 ** (sum_width - 2) or row[SHIFT] == most
    assert table[:, SHIFT].max() == most


def test_the_largest_multiplier_is_not_rounded_to_one_more_bit():
    """A ratio just below 1 has the multiplier of 1: 2²² · 2⁻²²."""
    (row,) = scaling_table(np.array([1 - 2.0**-40]), np.array([0]), 0, 0, 255).tolist()
    assert (row[MULTIPLIER], row[SHIFT]) == (2**22, 22)
    (row,) = scaling_table(np.array([2.0**23 - 2.0**-10]), np.array([0]), 0, 0, 255).tolist()
    assert (row[MULTIPLIER], row[SHIFT]) == (2**23 - 1, 0)


@pytest.mark.parametrize("ratio", [0.0, -0.5, 2.0**23, math.nan, math.inf])
def test_a_ratio_out_of_range(ratio):
    with pytest.raises(ValueError, match=r"^the ratio of channel 1 is .*, expected 0 to 2\^23$"):
        scaling_table(np.array([0.5, ratio]), np.array([0, 0]), 0, 0, 255)


@pytest.mark.parametrize("bias", [2**23, -(2**23) - 1])
def test_a_bias_of_too_many_bits(bias):
    scaling_table(np.array([0.5]), np.array([bias - (bias > 0) + (bias < 0)]), 0, 0, 255)
    with pytest.raises(ValueError, match=r"^the bias of channel 0 is -?\d+, more than 24 bits$"):
        scaling_table(np.array([0.5]), np.array([bias]), 0, 0, 255)


@pytest.mark.parametrize("offset", [0, 1, -1, 2**47 - 1, -(2**47), 2**23, -(2**23) - 1, 2**24])
def test_an_offset_has_two_words(offset):
    low, high = offset_words(offset, 24)
    assert high * 2**24 + low % 2**24 == offset
    assert -(2**23) <= min(low, high) <= max(low, high) < 2**23


@pytest.mark.parametrize("offset", [2**47, -(2**47) - 1])
def test_an_offset_of_too_many_bits(offset):
    with pytest.raises(ValueError, match=f"^the offset {offset} has more than 48 bits$"):
        offset_words(offset, 24)


@pytest.mark.parametrize(
    ("offset", "sums"), [(2**47 - 1, 1), (2**47 - 1, 99), (-(2**47), -1), (-(2**47), -99)]
)
def test_a_total_of_too_many_bits_is_refused(offset, sums):
    """The core would wrap there, so no code is given."""
    row = np.zeros((1, 16), np.int64)
    row[0, [SHIFT, LOWEST, HIGHEST, MULTIPLIER]] = 40, -128, 127, 1
    row[0, [OFFSET_LOW, OFFSET_HIGH]] = offset_words(offset, 24)
    assert scale(np.full((1, 1, 1, 1), -sums), row).shape == (1, 1, 1, 1)
    with pytest.raises(ValueError, match=r"^a sum of channel 0 times its multiplier is too large$"):
        scale(np.full((1, 1, 1, 1), sums), row)


@pytest.mark.parametrize(("sum_width", "whole"), [(16, 32), (24, 64), (32, 64)])
def test_a_shift_is_at_most_all_bits_of_a_total(sum_width, whole):
    """It has 5 bits for sums of 16, and 6 for longer ones."""
    row = np.zeros((1, 16), np.int64)
    row[0, [SHIFT, LOWEST, HIGHEST, MULTIPLIER]] = whole, -128, 127, 1
    assert scale(np.full((1, 1, 1, 1), 100), row, sum_width).ravel() == [100]


def test_only_the_bits_of_a_shift_count():
    """A shift has 6 bits for sums of 24; one of 47 leaves the sign alone."""
    row = np.zeros((1, 16), np.int64)
    row[0, [LOWEST, HIGHEST, MULTIPLIER]] = -128, 127, 1
    sums = np.array([-5, 100]).reshape(1, 1, 1, 2)
    for shift, codes in ((64, [-5, 100]), (65, [-3, 50]), (47, [-1, 0]), (63, [-1, 0])):
        row[0, SHIFT] = shift
        assert scale(sums, row).ravel().tolist() == codes


def qlinear_conv(codes, weights, bias, scales, zero_points) -> np.ndarray:
    """Returns the codes of ONNX Runtime's QLinearConv, uint8 [1, C_out, H, W].

    codes: uint8 [1, C_in, H, W]; weights: int8 [C_out, C_in, 1, 1]; bias: int32 [C_out]; scales:
    float32 of activations, weights [C_out] and output; zero_points: uint8 of input and output.
    """
    stored = {
        "x_scale": scales[0],
        "x_zero": np.uint8(zero_points[0]),
        "w": weights,
        "w_scale": scales[1],
        "w_zero": np.zeros(len(weights), np.int8),
        "y_scale": scales[2],
        "y_zero": np.uint8(zero_points[1]),
        "bias": bias,
    }
    node = helper.make_node("QLinearConv", ["x", *stored], ["y"])
    graph = helper.make_graph(
        [node],
        "conv",
        [helper.make_tensor_value_info("x", onnx.TensorProto.UINT8, codes.shape)],
        [helper.make_tensor_value_info("y", onnx.TensorProto.UINT8, None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in stored.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, {"x": codes})[0]


def test_how_often_onnx_runtime_differs(capsys):
    """QLinearConv of ONNX Runtime rounds halves to even, of a product in float32.

    A code that differs belongs to a sum whose real code lies in the middle of two codes, or nearer
    to the middle than float32 and the multiplier of 31 bits tell apart. Some channels have scales
    that are powers of two, so that sums in the middle occur.
    """
    rng = np.random.default_rng(SEED)
    channels = 64
    codes = rng.integers(0, 256, (1, 16, 128, 128), np.uint8)
    weights = rng.integers(-128, 128, (channels, 16, 1, 1), np.int8)
    bias = rng.integers(-2000, 2000, channels).astype(np.int32)
    scales = np.float32(2.0**-5), np.float32(2.0 ** rng.uniform(-5, -3, channels)), np.float32(0.5)
    scales[1][::8] = 2.0**-4
    zero_points = 128, 100
    theirs = qlinear_conv(codes, weights, bias, scales, zero_points)

    centred = codes[0].astype(np.int64) - zero_points[0]
    sums = np.einsum("oi,ihw->ohw", weights[:, :, 0, 0].astype(np.int64), centred)[None]
    ratios = scales[0].astype(float) * scales[1].astype(float) / float(scales[2])
    table = scaling_table(ratios, bias, zero_points[1], 0, 255, sum_width=32)
    ours = scale(sums, table, sum_width=32)

    differing = ours != theirs
    real = (sums + bias[:, None, None]) * ratios[:, None, None]  # exact to 2⁻⁵³ of its size
    off_the_middle = np.abs(real - np.floor(real) - 0.5)[differing]
    halves = int((off_the_middle == 0).sum())
    with capsys.disabled():
        print(
            f"\nONNX Runtime: {differing.sum():,} of {ours.size:,} codes differ, {halves:,} of them"
            " of sums in the middle of two codes"
        )
    assert (np.abs(ours - theirs)[differing] == 1).all()
    assert off_the_middle.max() < 2.0**-15  # of up to 2⁸ codes, in float32
    assert halves
    assert len(np.unique(ours)) == 256
