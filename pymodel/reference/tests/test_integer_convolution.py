"""Psums of tiles and of padded maps are those of a sum over channels, written out in loops."""

import numpy as np
import pytest
import torch

from pymodel.hardware.tiling import Tile
from pymodel.reference.integer_convolution import raster_psums, tile_psums


def random_codes(*shape: int, low: int, high: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randint(low, high + 1, shape, generator=generator, dtype=torch.int8)


def test_raster_psums():
    padded = random_codes(3, 5, 7, low=0, high=15)
    weights = random_codes(4, 3, 2, 2, low=-8, high=7)
    found = raster_psums(padded, weights)
    assert found.dtype == torch.int64
    maps, kernels = padded.numpy().astype(int), weights.numpy().astype(int)
    expected = np.zeros((4, 35, 4), int)
    for position in range(4):
        for pixel in range(35):
            values = maps[:, pixel // 7, pixel % 7]
            expected[position, pixel] = kernels[:, :, position // 2, position % 2] @ values
    assert np.array_equal(found.numpy(), expected)


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
