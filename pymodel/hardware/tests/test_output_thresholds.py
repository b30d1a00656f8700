"""Thresholds give the codes of exact arithmetic and of the fake-quantised network."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import nn

from pymodel.hardware.output_thresholds import requantise, thresholds
from pymodel.layer_capture import capture
from pymodel.lsq_quantiser import quantised_layers
from pymodel.reference.batchnorm_folding import fold
from pymodel.reference.integer_convolution import integer_convolution
from pymodel.support.errors import InputError


def exact_code(total: int, a: float, b: float, scale: float) -> int:
    """Returns round(clip(relu(a · total + b) / scale, 0, 15)); Python rounds half to even."""
    value = Fraction(a) * total + Fraction(b)
    return min(15, round(max(value, Fraction(0)) / Fraction(scale)))


@pytest.mark.parametrize(
    ("a", "b", "scale"),
    [
        (0.5, 0.0, 1.0),  # every second sum is a tie
        (-0.5, 3.0, 1.0),
        (0.25, -1.5, 0.5),
        (0.013, 0.7, 0.31),
        (-0.0071, -0.2, 0.13),
        (0.0, 0.9, 0.3),  # constant
        (0.0, -0.9, 0.3),
        (1e-9, 0.1, 1.0),  # never reaches a step
        (-1e-9, 100.0, 1.0),  # always reaches all
        (100.0, 0.0, 0.1),
    ],
)
def test_each_sum_gets_the_code_of_exact_arithmetic(a, b, scale):
    sums = np.arange(-400, 401)[None, None, :, None]
    table = thresholds(np.array([a]), np.array([b]), scale)
    expected = [exact_code(int(total), a, b, scale) for total in sums.flat]
    assert requantise(sums, table).flatten().tolist() == expected


def test_thresholds_ascend_and_fit():
    rng = np.random.default_rng(0)
    table = thresholds(rng.normal(0, 1e-3, 200), rng.normal(0, 2, 200), 0.2)
    assert (np.diff(table[:, 1:], axis=1) >= 0).all()
    assert set(table[:, 0]) == {0, 1}
    assert table[:, 1:].min() >= -(2**23)
    assert table[:, 1:].max() < 2**23


@pytest.mark.parametrize(("options", "width"), [({}, 24), ({"sum_width": 3}, 3)])
def test_constant_channels_get_the_ends_of_the_sums(options, width):
    """A step that 0 · sum + 3.5 reaches is always reached: by the least sum, else by the largest.

    3.5 lies between the codes 3 and 4, and rounds to the even one.
    """
    least, largest = -1 << width - 1, (1 << width - 1) - 1
    table = thresholds(np.array([0.0, 0.0]), np.array([3.5, 2.5]), 1.0, **options)
    assert table[0].tolist() == [0] + 4 * [least] + 11 * [largest]
    assert table[1].tolist() == [0] + 2 * [least] + 13 * [largest]


def test_thresholds_end_where_the_sums_end():
    """Sums of 3 bits are −4 to 3; a step beyond them gets the nearest end.

    The codes are the sum, the sum + 6, −sum and 2 − sum; the last two compare ~sum.
    """
    gains, offsets = np.array([1.0, 1.0, -1.0, -1.0]), np.array([0.0, 6.0, 0.0, 2.0])
    assert thresholds(gains, offsets, 1.0, sum_width=3).tolist() == [
        [0, 1, 2, *[3] * 13],
        [0, -4, -4, -3, -2, -1, 0, 1, 2, *[3] * 7],
        [1, 0, 1, 2, *[3] * 12],
        [1, -2, -1, 0, 1, 2, *[3] * 10],
    ]


def test_every_gain_has_an_offset():
    with pytest.raises(ValueError, match="zip"):
        thresholds(np.ones(2), np.ones(1), 1.0)


@pytest.mark.parametrize("name", ["features.7", "features.24", "features.27"])
def test_codes_are_the_fake_quantised_networks(name, shipped, images):
    """The three layers have BatchNorm or not, pooling or not, and codes that fall with the sum."""
    seen = capture(shipped, images.images[:2], name)
    following = quantised_layers(shipped)[seen.next_name]
    a, b = fold(seen.layer, seen.between)
    table = thresholds(a, b, following.activation_quantiser.scale.item())
    sums = integer_convolution(
        seen.layer.activation_codes(seen.input), seen.layer.weight_codes(), 1, 1
    )
    codes = torch.from_numpy(requantise(sums.numpy(), table)).float()
    for module in seen.between:
        if isinstance(module, nn.MaxPool2d):
            codes = module(codes)
    fake = following.activation_codes(seen.next_input)
    assert fake.count_nonzero() > fake.numel() / 20
    # Codes may differ only where the rounding of float32 crosses a step of the staircase.
    assert (codes != fake).sum() <= fake.numel() / 10_000


def test_falling_channels_are_inverted(shipped):
    """A channel whose BatchNorm gain is negated gives −sum the code that it gave the sum."""
    layer, norm = shipped.features[3], shipped.features[4]
    turned = nn.BatchNorm2d(norm.num_features)
    turned.load_state_dict(norm.state_dict())
    with torch.no_grad():
        turned.weight.neg_()
    a, _ = fold(layer, nn.Sequential(norm, nn.ReLU()))
    a_turned, b_turned = fold(layer, nn.Sequential(turned, nn.ReLU()))
    np.testing.assert_array_equal(a_turned, -a)
    table, table_turned = thresholds(a, b_turned, 0.1), thresholds(a_turned, b_turned, 0.1)
    assert (table[:, 0] != table_turned[:, 0]).all()
    sums = np.broadcast_to(np.arange(-3000, 3000, 7)[:, None], (1, len(a), 858, 1))
    assert np.array_equal(requantise(-sums, table_turned), requantise(sums, table))


@pytest.mark.parametrize(
    "between", [[nn.Sigmoid()], [], [nn.ReLU(), nn.AvgPool2d(2)], [nn.MaxPool2d(2), nn.ReLU()]]
)
def test_what_thresholds_cannot_say_is_refused(between, shipped):
    layer = quantised_layers(shipped)["features.27"]
    with pytest.raises(InputError, match="expected a ReLU"):
        fold(layer, nn.Sequential(*between))
