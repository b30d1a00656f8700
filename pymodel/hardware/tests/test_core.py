"""Checks streams, limits, splitting and cycles of layers for the core against plain loops."""

import itertools
import re
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest

from pymodel.hardware.core import (
    Core,
    Layer,
    act_vectors,
    check,
    packet_lengths,
    result_vectors,
    results,
    split,
    threshold_vectors,
    weight_vectors,
)
from pymodel.hardware.cycles import cycles, dense_limit_cycles, limit_cycles
from pymodel.hardware.registers import KERNEL, Error, Mode
from pymodel.support.files import ROOT

SMALL = Core(4, 4, 16, 64, 144, 2, 50, output_scaling=1)


def numbers(*shape: int) -> np.ndarray:
    return np.arange(1, 1 + np.prod(shape)).reshape(shape)


@pytest.mark.parametrize(
    ("core", "acts", "weights", "most"),
    [
        (Core(), (0, 15), (-8, 7), 8 * 15 * 8),
        (Core(rows=3, act_width=1, weight_width=2), (0, 1), (-2, 1), 3 * 1 * 2),
        (Core(act_width=5, weight_width=8, act_signed=1), (-16, 15), (-128, 127), 8 * 16 * 128),
    ],
)
def test_the_codes_that_a_core_takes(core, acts, weights, most):
    assert (core.act_range, core.weight_range, core.max_psum) == (acts, weights, most)


@pytest.mark.parametrize("one", [Core(), Layer(4, 4, 8, 8)], ids=lambda one: type(one).__name__)
def test_what_is_a_key_cannot_change(one):
    """Builds and kept results are found by these."""
    with pytest.raises(FrozenInstanceError):
        setattr(one, next(iter(vars(one))), 3)


@pytest.mark.parametrize(
    ("height", "width", "size", "error"),
    [
        (4, 6, (2, 3), Error.NONE),
        (2, 8, (1, 4), Error.NONE),
        (6, 2, (3, 1), Error.NONE),
        (10, 4, (5, 2), Error.NONE),
        (3, 4, None, Error.POOLING),
        (4, 3, None, Error.POOLING),
        (9, 6, None, Error.POOLING),
        (6, 9, None, Error.POOLING),
        (1, 1, None, Error.POOLING),
        (4, 10, None, Error.POOLING),
    ],
)
def test_what_can_be_pooled(height, width, size, error):
    """Maps of even sides, no wider than the core's pool; other maps go unpooled."""
    core = Core(pool_width=8)
    layer = Layer(height, width, 8, 8, mode=Mode.CODES)
    assert check(layer, core) == Error.NONE
    assert layer.result_size == (height, width)
    pooled = replace(layer, pool=1)
    assert check(pooled, core) == error
    assert size is None or pooled.result_size == size
    assert check(replace(pooled, mode=Mode.SUMS), core) == Error.POOLING
    assert check(pooled, Core()) == Error.POOLING


def test_activation_order():
    codes = numbers(2, 6, 3, 2)
    expected = [
        [codes[n, c, y, x] if c < 6 else 0 for c in range(4 * tile, 4 * tile + 4)]
        for tile, n, y, x in itertools.product(range(2), range(2), range(3), range(2))
    ]
    np.testing.assert_array_equal(act_vectors(codes, SMALL), expected)


def test_weight_order():
    weights = numbers(5, 6, 2, 2)
    expected = [
        [
            weights[o, i, ky, kx] if o < 5 and i < 6 else 0
            for i in range(4 * in_tile, 4 * in_tile + 4)
        ]
        for out_tile, in_tile, ky, kx in itertools.product(range(2), range(2), range(2), range(2))
        for o in range(4 * out_tile, 4 * out_tile + 4)
    ]
    np.testing.assert_array_equal(weight_vectors(weights, SMALL), expected)


def test_threshold_order():
    table = numbers(6, 16)
    got = threshold_vectors(table, SMALL)
    assert got.shape == (32, 4)
    np.testing.assert_array_equal(got[3], table[:4, 3])
    np.testing.assert_array_equal(got[16 + 5], [*table[4:, 5], 0, 0])


def test_results_are_the_inverse():
    layer = Layer(4, 3, 1, 6, images=2)
    sums = numbers(2, 6, 4, 3)
    np.testing.assert_array_equal(results(result_vectors(sums, SMALL), layer), sums)


@pytest.mark.parametrize("mode", Mode)
def test_split_covers_each_result_once_with_layers_that_fit(mode):
    layer = Layer(4, 4, 9, 21, images=7, mode=mode)
    seen = np.zeros((7, 21), int)
    for images, channels, job in split(layer, SMALL):
        assert check(job, SMALL) == Error.NONE
        assert (job.images, job.out_channels) == (
            images.stop - images.start,
            channels.stop - channels.start,
        )
        seen[images, channels] += 1
    assert (seen == 1).all()


def slices(layer: Layer, core: Core) -> list[tuple[int, int, int, int]]:
    """Returns first and last of the images and of the output channels of each job."""
    return [
        (images.start, images.stop, channels.start, channels.stop)
        for images, channels, _ in split(layer, core)
    ]


@pytest.mark.parametrize(
    ("layer", "core", "expected"),
    [
        # 16 activations and 16 output pixels an image: 4 images fit in 64 words, 3 in 50 pixels
        (Layer(4, 4, 4, 4, images=7), SMALL, [(0, 3, 0, 4), (3, 6, 0, 4), (6, 7, 0, 4)]),
        # 32 activations and 4 output pixels an image: 2 images fit in 64 words
        (Layer(4, 4, 5, 4, padding=0, images=3), SMALL, [(0, 2, 0, 4), (2, 3, 0, 4)]),
        # 36 weights an output tile: 4 tiles fit in 144 words
        (Layer(4, 4, 4, 18, images=1), SMALL, [(0, 1, 0, 16), (0, 1, 16, 18)]),
        # An output tile of one column
        (Layer(2, 2, 1, 3), replace(SMALL, cols=1, weight_words=18), [(0, 1, 0, 2), (0, 1, 2, 3)]),
        # 4 weights an output tile: 36 tiles fit, but thresholds of 2
        (
            Layer(2, 2, 4, 10, kernel=1, padding=0, mode=Mode.CODES),
            SMALL,
            [(0, 1, 0, 8), (0, 1, 8, 10)],
        ),
        (Layer(2, 2, 4, 10, kernel=1, padding=0, mode=Mode.SUMS), SMALL, [(0, 1, 0, 10)]),
        (Layer(2, 2, 4, 10, kernel=1, padding=0, mode=Mode.RELU), SMALL, [(0, 1, 0, 10)]),
        # 8 weights an output tile: 1024 tiles fit, but a register holds 255
        (
            Layer(1, 1, 8, 8 * 255 + 1, kernel=1, padding=0),
            Core(),
            [(0, 1, 0, 8 * 255), (0, 1, 8 * 255, 8 * 255 + 1)],
        ),
        (Layer(1, 1, 8, 8 * 255, kernel=1, padding=0), Core(), [(0, 1, 0, 8 * 255)]),
    ],
)
def test_a_job_is_as_large_as_the_core_allows(layer, core, expected):
    """More jobs than needed would stream the same activations and weights again."""
    assert slices(layer, core) == expected


def test_the_core_has_the_sizes_of_the_rtl():
    """Jobs that are cut for other sizes than those of rtl/core.v would be refused, or wait."""
    module, _ = (ROOT / "rtl" / "core.v").read_text().split(") (", 1)
    found = {name: int(n) for name, n in re.findall(r"parameter (\w+) = (\d+)", module)}
    assert Core().parameters() == found


def test_split_refuses_what_never_fits():
    with pytest.raises(ValueError, match="does not fit"):
        list(split(Layer(9, 9, 4, 4), SMALL))


@pytest.mark.parametrize(
    ("right", "wrong", "error"),
    [
        ({"images": 2, "out_channels": 16}, {"images": 2, "out_channels": 17}, Error.WEIGHT_MEMORY),
        ({"images": 4, "padding": 0}, {"images": 5, "padding": 0}, Error.ACT_MEMORY),
        (
            {"height": 1, "width": 2, "images": 25},
            {"height": 1, "width": 2, "images": 26},
            Error.ACCUMULATOR,
        ),
        (
            {"kernel": 1, "padding": 0, "out_channels": 8, "mode": 2},
            {"kernel": 1, "padding": 0, "out_channels": 9, "mode": 2},
            Error.THRESHOLD_MEMORY,
        ),
        ({"kernel": 6, "padding": 2}, {"kernel": 7, "padding": 1}, Error.KERNEL),
        ({"padding": 0}, {"padding": -1}, Error.PADDING),
    ],
)
def test_limits(right, wrong, error):
    layer = Layer(4, 4, 4, 4)
    assert check(replace(layer, **right), SMALL) == Error.NONE
    assert check(replace(layer, **wrong), SMALL) == error


def test_overflow_limit_is_the_largest_sum():
    most = (2**15 - 2) // (4 * 15 * 8)  # psums of −480
    core = Core(4, 4, 16)
    layer = Layer(1, 1, 4 * most, 4, kernel=1, padding=0)
    assert check(layer, core) == Error.NONE
    assert check(replace(layer, in_channels=4 * most + 1), core) == Error.OVERFLOW
    assert check(replace(layer, in_channels=4 * 255), core) == Error.OVERFLOW


def walk(layer: Layer, core: Core) -> int:
    """Returns the cycles of `layer`, added up tile by tile.

    A tile starts when the tile before has streamed its pixels, and COLS cycles at least after that
    tile started, because loading a tile's weights takes COLS cycles.
    """
    (height, width), (inputs, outputs) = layer.output_size, layer.tiles(core)
    after = layer.padding + 1
    order = [*range(after, layer.kernel), *range(after)]
    tiles = []
    for _, tile, ky, kx in itertools.product(range(outputs), range(inputs), order, order):
        reached = sum(
            0 <= oy * layer.stride - layer.padding + ky < layer.height
            and 0 <= ox * layer.stride - layer.padding + kx < layer.width
            for oy in range(height)
            for ox in range(width)
        )
        final = (tile, ky, kx) == (inputs - 1, layer.padding, layer.padding)
        if reached:
            tiles.append(layer.images * (height * width if final else reached))
    start = 2 + core.cols
    for pixels in tiles[:-1]:
        start += max(pixels, core.cols)
    return start + tiles[-1] + core.latency


def test_cycles_are_those_of_the_schedule():
    rng = np.random.default_rng(1)
    compared = 0
    while compared < 300:
        kernel = int(rng.integers(1, 8))
        height, width = (int(n) for n in rng.integers(1, 9, 2))
        layer = Layer(
            height,
            width,
            int(rng.integers(1, 20)),
            int(rng.integers(1, 20)),
            kernel,
            int(rng.integers(1, 3)),
            int(rng.integers(0, min(4, kernel))),
            int(rng.integers(1, 4)),
        )
        if check(layer, Core()) == Error.NONE:
            assert cycles(layer, Core()) == walk(layer, Core()), layer
            compared += 1


def test_limits_of_the_squeezed_layer():
    layer = Layer(4, 4, 8, 8, images=32)
    assert limit_cycles(layer, Core()) == 3200
    assert dense_limit_cycles(layer, Core()) == 32 * 144
    assert layer.macs() == 32 * 144 * 64
    assert packet_lengths(layer, Core()) == (512, 72, 16)


def test_limits_count_every_pair_of_tiles():
    """Each of 3 output tiles needs all of 2 input tiles, and each of them all taps in the map."""
    layer = Layer(3, 5, 9, 17, images=2)
    # Of 3 kernel rows, the outer two reach 2 of 3 output rows; of the columns, 4 of 5.
    assert layer.reach() == ([2, 3, 2], [4, 5, 4])
    assert limit_cycles(layer, Core()) == 3 * 2 * 2 * (2 + 3 + 2) * (4 + 5 + 4)
    assert layer.macs() == 2 * 3 * 5 * 9 * 9 * 17
    assert dense_limit_cycles(layer, Core()) == 2 * 3 * 5 * 9 * 9 * 17 / 64


def test_a_field_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="size is 256, expected 0 to 255"):
        KERNEL.pack(size=256)
