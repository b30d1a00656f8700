"""Checks tiles and their sums, in several shapes, against PyTorch's integer convolution."""

import numpy as np
import pytest
import torch

from pymodel.hardware.tiling import Tile, Tiles, cut, gather, joined
from pymodel.layer_capture import capture
from pymodel.lsq_quantiser import QuantConv2d
from pymodel.reference.integer_convolution import IntegerConv2d, integer_convolution, tile_psums
from pymodel.reference.layer_data import layer_data
from pymodel.support.errors import InputError


@pytest.mark.parametrize(
    ("channels", "kernel", "stride", "padding", "array"),
    [
        ((8, 8), 3, 1, 1, (8, 8)),
        ((8, 8), 3, 2, 1, (8, 8)),
        ((5, 11), 3, 1, 0, (8, 8)),
        ((16, 24), 1, 1, 0, (8, 8)),
        ((9, 3), 5, 2, 2, (4, 2)),
    ],
)
def test_tiles_give_the_convolution(channels, kernel, stride, padding, array):
    rng = np.random.default_rng(0)
    layer = QuantConv2d(*channels, bits=4, kernel_size=kernel, stride=stride, padding=padding)
    layer.weight.data = torch.from_numpy(rng.integers(-7, 8, layer.weight.shape)).float()
    codes = torch.from_numpy(rng.integers(0, 16, (2, channels[0], 7, 6))).to(torch.int8)
    tiles = cut(codes.numpy(), layer.weight_codes().numpy(), stride, padding, *array)

    psums = products(tiles)
    for index, tile in enumerate(tiles.tiles):
        expected = tile_psums(codes, layer.weight_codes(), tile, stride, padding, *array).numpy()
        np.testing.assert_array_equal(psums[:, index], expected)
    expected = integer_convolution(codes, layer.weight_codes(), stride, padding).numpy()
    np.testing.assert_array_equal(gather(psums, tiles, channels[1]), expected)
    whole = joined(tiles)
    deep = len(tiles.tiles) // len(whole.tiles) * array[0]
    assert whole.weights.shape[:2] == (len(whole.tiles), deep)
    np.testing.assert_array_equal(gather(products(whole), whole, channels[1]), expected)


def products(tiles: Tiles) -> np.ndarray:
    """Returns the psums of all tiles by NumPy, int [images, tiles, output pixels, COLS]."""
    return np.einsum("ntpr,trc->ntpc", tiles.activations.astype(int), tiles.weights.astype(int))


def test_joined_tiles_of_a_grouped_layer():
    """Output groups that need fewer tiles than others are filled with zeros."""
    rng = np.random.default_rng(1)
    codes, weights = rng.integers(0, 16, (2, 6, 5, 5)), rng.integers(-8, 8, (12, 2, 3, 3))
    tiles = cut(codes, weights.astype(np.int8), 1, 1, 3, 8, groups=3)
    numbers = [tile.output_group for tile in tiles.tiles]
    assert numbers.count(0) != numbers.count(1)
    whole = joined(tiles)
    assert [tuple(tile) for tile in whole.tiles] == [(0, 0, 0, 0), (1, 0, 0, 0)]
    sums = integer_convolution(*map(torch.from_numpy, (codes, weights)), 1, 1, groups=3)
    np.testing.assert_array_equal(gather(products(whole), whole, 12), sums.numpy())


def test_squeezed_layer_needs_nine_tiles(shipped, images):
    seen = capture(shipped, images.images[:2])
    codes = seen.layer.activation_codes(seen.input).numpy()
    tiles = cut(codes, seen.layer.weight_codes().numpy(), 1, 1, 8, 8)
    assert tiles.weights.shape == (9, 8, 8)
    assert tiles.activations.shape == (2, 9, 16, 8)


def test_recovered_output_is_the_next_input(shipped, images):
    seen = capture(shipped, images.images)
    sums = integer_convolution(
        seen.layer.activation_codes(seen.input), seen.layer.weight_codes(), 1, 1
    )
    assert layer_data(seen).error(sums)[0] < 1e-4


def test_integer_layer_stands_in_for_the_quantised_one(shipped, images):
    seen = capture(shipped, images.images[:4])
    with torch.no_grad():
        torch.testing.assert_close(IntegerConv2d(seen.layer)(seen.input), seen.layer(seen.input))


def test_a_layer_for_which_no_memory_is_enough_is_refused():
    """The layer is refused before an array of its size is allocated.

    The images here are views of a single number.
    """
    codes = np.broadcast_to(np.int8(0), (1 << 20, 8, 4, 3))
    words = "1048576 images of 8 → 512 channels, 1 kernel positions and 12 pixels need 48.1 GiB"
    with pytest.raises(InputError, match=f"the layer: {words}"):
        cut(codes, np.zeros((512, 8, 1, 1), np.int8), 1, 0, 8, 8)


def test_channels_of_no_tile_are_zeros():
    """`gather` returns all channels of the layer, and adds each psum to its own channel."""
    tiles = Tiles([Tile(1, 0, 0, 0), Tile(1, 0, 1, 0)], np.empty(0), np.empty(0), (3, 1))
    psums = np.arange(12).reshape(1, 2, 3, 2)
    found = gather(psums, tiles, 4)
    # Of three pixels and two lanes: 0 1, 2 3, 4 5; and of the next tile: 6 7, 8 9, 10 11
    assert found.tolist() == [
        [[[0], [0], [0]], [[0], [0], [0]], [[6], [10], [14]], [[8], [12], [16]]]
    ]
    assert gather(psums, tiles, 3).tolist() == found[:, :3].tolist()
    assert found.dtype == np.int64


@pytest.mark.parametrize(
    ("channels", "groups", "kernel", "stride", "padding", "dilation", "array"),
    [
        ((5, 7), 1, (3, 2), (1, 2), (2, 0), (1, 2), (4, 3)),
        ((5, 7), 1, (2, 3), (2, 1), (0, 1), (2, 1), (8, 8)),
        ((6, 9), 3, (1, 3), (1, 1), (0, 1), (1, 1), (4, 4)),
        ((12, 12), 12, (3, 1), (1, 1), (1, 0), (1, 1), (4, 8)),
        ((12, 6), 2, (2, 2), (1, 1), (0, 0), (1, 1), (2, 2)),
        ((16, 8), 4, (1, 1), (1, 1), (0, 0), (1, 1), (3, 5)),
    ],
)
def test_each_tile_by_loops(channels, groups, kernel, stride, padding, dilation, array):
    """Every weight and every activation of each tile is the one that stands there, in loops.

    The tiles are those with a weight of the layer, and come by output channels, kernel position and
    input channels. The border and channels that are missing hold the zero point and zeros.
    """
    (ins, outs), (rows, cols), zero = channels, array, 9
    rng = np.random.default_rng(5)
    codes = rng.integers(0, 16, (2, ins, 6, 7))
    weights = rng.integers(1, 8, (outs, ins // groups, *kernel)).astype(np.int8)
    tiles = cut(codes, weights, stride, padding, rows, cols, dilation, groups, zero)

    def weight(o, i, ky, kx):
        group = o // (outs // groups) if o < outs else -1
        own = i - group * (ins // groups)
        there = o < outs and i < ins and 0 <= own < ins // groups
        return weights[o, own, ky, kx] if there else 0

    expected = [
        Tile(og, ky, kx, ig)
        for og in range(outs)
        for ky in range(kernel[0])
        for kx in range(kernel[1])
        for ig in range(ins)
        if any(
            weight(o, i, ky, kx)
            for o in range(og * cols, (og + 1) * cols)
            for i in range(ig * rows, (ig + 1) * rows)
        )
    ]
    assert tiles.tiles == expected
    height, width = tiles.output_size
    assert tiles.activations.shape == (2, len(expected), height * width, rows)
    for number, (og, ky, kx, ig) in enumerate(expected):
        for r in range(rows):
            i = ig * rows + r
            found = [weight(og * cols + c, i, ky, kx) for c in range(cols)]
            assert tiles.weights[number, r].tolist() == found
            for pixel in range(height * width):
                y = pixel // width * stride[0] + ky * dilation[0] - padding[0]
                x = pixel % width * stride[1] + kx * dilation[1] - padding[1]
                inside = 0 <= y < 6 and 0 <= x < 7
                values = codes[:, i, y, x] if inside and i < ins else [zero if i < ins else 0] * 2
                assert tiles.activations[:, number, pixel, r].tolist() == list(values)
