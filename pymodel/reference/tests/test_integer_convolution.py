"""Psums of tiles and of padded maps are those of a sum over channels, written out in loops."""

import numpy as np
import pytest
import torch

from pymodel.convolution import Convolution, pair
from pymodel.hardware.tiling import Tile, cut, gather
from pymodel.lsq_quantiser import QuantConv2d
from pymodel.reference.integer_convolution import (
    integer_convolution,
    raster_psums,
    step,
    tile_psums,
)


def random_codes(*shape: int, low: int, high: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randint(low, high + 1, shape, generator=generator, dtype=torch.int8)


def test_without_geometry_it_has_stride_1_and_no_border():
    activations = random_codes(2, 3, 5, 7, low=0, high=15)
    weights = random_codes(4, 3, 3, 2, low=-8, high=7)
    expected = torch.nn.functional.conv2d(activations.double(), weights.double())
    assert torch.equal(integer_convolution(activations, weights), expected.long())


@pytest.mark.parametrize("kernel", [1, 2, 3])
def test_raster_psums(kernel):
    padded = random_codes(3, 5, 7, low=0, high=15)
    weights = random_codes(4, 3, kernel, kernel, low=-8, high=7)
    found = raster_psums(padded, weights)
    assert found.dtype == torch.int64
    maps, kernels = padded.numpy().astype(int), weights.numpy().astype(int)
    expected = np.zeros((kernel * kernel, 35, 4), int)
    for position in range(kernel * kernel):
        for pixel in range(35):
            values = maps[:, pixel // 7, pixel % 7]
            expected[position, pixel] = (
                kernels[:, :, position // kernel, position % kernel] @ values
            )
    assert np.array_equal(found.numpy(), expected)


@pytest.mark.parametrize(
    "convolution",
    [
        Convolution((2, 1), (0, 2)),
        Convolution(1, 2, (2, 3)),
        Convolution(1, 1, groups=2),
        Convolution(2, (1, 0), (1, 2), groups=4),
    ],
)
@pytest.mark.parametrize("zero", [0, 9])
def test_tiles_and_sums_of_any_geometry(convolution, zero):
    """Cut tiles, PyTorch's tiles and PyTorch's sums are those of loops; the border has `zero`."""
    codes = random_codes(2, 4, 7, 8, low=0, high=127)
    weights = random_codes(8, 4 // convolution.groups, 3, 2, low=-128, high=127)
    expected = loops(codes.numpy(), weights.numpy(), convolution, zero)
    assert expected.any()
    sums = integer_convolution(codes, weights, *convolution, zero=zero)
    assert np.array_equal(sums.numpy(), expected)
    sizes = {**convolution._asdict(), "zero": zero, "rows": 3, "cols": 2}
    tiles = cut(codes.numpy(), weights.numpy(), **sizes)
    psums = np.einsum("ntpr,trc->ntpc", tiles.activations.astype(int), tiles.weights.astype(int))
    for number, tile in enumerate(tiles.tiles):
        assert np.array_equal(tile_psums(codes, weights, tile, **sizes).numpy(), psums[:, number])
    assert np.array_equal(gather(psums, tiles, 8), expected)


def test_tiles_between_groups_are_left_out():
    """A depthwise layer of 16 channels has two tiles for each kernel position, and not four."""
    codes = np.ones((1, 16, 4, 4), np.int8)
    tiles = cut(codes, np.ones((16, 1, 3, 3), np.int8), 1, 1, rows=8, cols=8, groups=16)
    assert len(tiles.tiles) == 2 * 9
    assert {(tile.output_group, tile.input_group) for tile in tiles.tiles} == {(0, 0), (1, 1)}
    assert np.array_equal(tiles.weights[0], np.eye(8))


def loops(codes: np.ndarray, weights: np.ndarray, convolution: Convolution, zero: int):
    """Returns the sums of a convolution, int [N, C_out, H', W'], pixel by pixel."""
    codes, weights = codes.astype(int), weights.astype(int)
    outputs, inputs, *kernel = weights.shape
    stride, padding, dilation = map(pair, convolution[:3])
    height, width = convolution.output_size(codes.shape[2:], tuple(kernel))
    found = np.zeros((len(codes), outputs, height, width), int)
    for channel, y, x, ky, kx in np.ndindex(outputs, height, width, *kernel):
        group = channel // (outputs // convolution.groups)
        row = y * stride[0] + ky * dilation[0] - padding[0]
        col = x * stride[1] + kx * dilation[1] - padding[1]
        inside = 0 <= row < codes.shape[2] and 0 <= col < codes.shape[3]
        for one in range(inputs):
            code = codes[:, group * inputs + one, row, col] if inside else zero
            found[:, channel, y, x] += code * weights[channel, one, ky, kx]
    return found


@pytest.mark.parametrize("tile", [Tile(0, 0, 0, 0), Tile(1, 0, 1, 2), Tile(0, 1, 1, 1)])
def test_tile_psums(tile):
    """The last tile has fewer channels than the array, of both kinds: its other lanes are 0."""
    codes = random_codes(2, 5, 4, 3, low=0, high=15)
    weights = random_codes(7, 5, 2, 2, low=-8, high=7)
    rows, cols, stride, padding = 2, 4, 2, 1
    found = tile_psums(codes, weights, tile, stride, padding, rows, cols)
    expected = np.zeros((2, 6, cols), int)
    for image, pixel, lane, row in np.ndindex(2, 6, cols, rows):
        channel, source = tile.output_group * cols + lane, tile.input_group * rows + row
        y = pixel // 2 * stride + tile.ky - padding
        x = pixel % 2 * stride + tile.kx - padding
        if channel < 7 and source < 5 and 0 <= y < 4 and 0 <= x < 3:
            code = codes[image, source, y, x].item()
            expected[image, pixel, lane] += code * weights[channel, source, tile.ky, tile.kx].item()
    assert np.array_equal(found.numpy(), expected)
    assert found.any()


def test_a_step_is_the_product_of_the_two_scales_of_a_channel():
    """The step broadcasts over maps [N, C_out, H, W], and has no gradient."""
    layer = QuantConv2d(2, 3, bits=4, kernel_size=3)
    layer.weight_quantiser.scale.data.copy_(torch.tensor([0.5, 2.0, 3.0])[:, None, None, None])
    layer.activation_quantiser.scale.data.fill_(0.25)
    found = step(layer)
    assert found.tolist() == [[[0.125]], [[0.5]], [[0.75]]]
    assert not found.requires_grad
