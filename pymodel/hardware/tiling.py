"""Cuts a convolution into tiles that a ROWS × COLS array computes one after another.

A tile is one kernel position, ROWS input channels and COLS output channels. Missing channels are
zeros. Every tile streams one activation vector per output pixel, padding included.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from pymodel.support.limits import check_memory


class Tile(NamedTuple):
    """The part of a layer that a tile computes."""

    output_group: int  # the output channels start at output_group · COLS
    ky: int  # kernel row
    kx: int  # kernel column
    input_group: int  # the input channels start at input_group · ROWS


@dataclass(frozen=True)
class Tiles:
    """The tiles of one layer, in the order in which they run, and what each of them streams."""

    tiles: list[Tile]
    weights: np.ndarray  # int8 [tiles, ROWS, COLS]
    activations: np.ndarray  # int8 [images, tiles, output pixels, ROWS]
    output_size: tuple[int, int]  # height and width of the output map, pixels


def cut(
    activation_codes: np.ndarray,
    weight_codes: np.ndarray,
    stride: int,
    padding: int,
    rows: int,
    cols: int,
) -> Tiles:
    """Returns the tiles of a layer for an array of `rows` × `cols`.

    activation_codes: int8 [N, C_in, H, W]; weight_codes: int8 [C_out, C_in, k, k]; stride and
    padding are in pixels. Raises InputError if the tiles would need too much memory.
    """
    out_channels, in_channels, kernel, _ = weight_codes.shape
    in_groups, out_groups = -(-in_channels // rows), -(-out_channels // cols)
    weights = np.zeros((out_groups * cols, in_groups * rows, kernel, kernel), np.int8)
    weights[:out_channels, :in_channels] = weight_codes
    pad = ((0, 0), (0, in_groups * rows - in_channels), (padding, padding), (padding, padding))
    padded = np.pad(activation_codes, pad)
    height, width = ((side - kernel) // stride + 1 for side in padded.shape[2:])
    channels = out_channels, in_channels
    check_memory("the layer", len(activation_codes), channels, kernel, height * width)

    tiles = [
        Tile(output_group, ky, kx, input_group)
        for output_group in range(out_groups)
        for ky in range(kernel)
        for kx in range(kernel)
        for input_group in range(in_groups)
    ]
    tile_weights, streams = [], []
    for output_group, ky, kx, input_group in tiles:
        inputs = slice(input_group * rows, (input_group + 1) * rows)
        outputs = slice(output_group * cols, (output_group + 1) * cols)
        tile_weights.append(weights[outputs, inputs, ky, kx].T)
        stream = padded[
            :,
            inputs,
            ky : ky + stride * (height - 1) + 1 : stride,
            kx : kx + stride * (width - 1) + 1 : stride,
        ]
        streams.append(stream.transpose(0, 2, 3, 1).reshape(len(stream), height * width, rows))
    return Tiles(tiles, np.stack(tile_weights), np.stack(streams, axis=1), (height, width))


def gather(psums: np.ndarray, tiles: Tiles, out_channels: int) -> np.ndarray:
    """Returns the output of the layer, int64 [images, out_channels, H', W'].

    The output is the sum of the psums of all tiles, int [images, tiles, output pixels, COLS].
    """
    images, _, pixels, cols = psums.shape
    groups = 1 + max(tile.output_group for tile in tiles.tiles)
    sums = np.zeros((images, groups, pixels, cols), np.int64)
    for index, tile in enumerate(tiles.tiles):
        sums[:, tile.output_group] += psums[:, index]
    maps = sums.transpose(0, 1, 3, 2).reshape(images, groups * cols, *tiles.output_size)
    return maps[:, :out_channels]
