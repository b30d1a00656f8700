"""Cuts a convolution into tiles that a ROWS × COLS array computes one after another.

A tile is one kernel position, ROWS input channels and COLS output channels. Missing channels are
zeros, and so are the weights between channels of different groups; a tile that would hold nothing
else is left out. Every tile streams one activation vector per output pixel, padding included.
"""

import math
from typing import NamedTuple

import numpy as np

from pymodel.convolution import Convolution, Pair, pair
from pymodel.support.limits import check_memory


class Tile(NamedTuple):
    """The part of a layer that a tile computes."""

    output_group: int  # the output channels start at output_group · COLS
    ky: int  # kernel row
    kx: int  # kernel column
    input_group: int  # the input channels start at input_group · ROWS


class Tiles(NamedTuple):
    """The tiles of one layer, in the order in which they run, and what each of them streams."""

    tiles: list[Tile]
    weights: np.ndarray  # int8 [tiles, ROWS, COLS]
    activations: np.ndarray  # of the layer's integer dtype, [images, tiles, output pixels, ROWS]
    output_size: tuple[int, int]  # height and width of the output map, pixels


def cut(
    activation_codes: np.ndarray,
    weight_codes: np.ndarray,
    stride: Pair,
    padding: Pair,
    rows: int,
    cols: int,
    dilation: Pair = 1,
    groups: int = 1,
    zero: int = 0,
) -> Tiles:
    """Returns the tiles of a layer for an array of `rows` × `cols`.

    activation_codes: integer [N, C_in, H, W]; weight_codes: int8 [C_out, C_in / groups, kh, kw];
    the other arguments are those of `Convolution`, and `zero`, the code that means an activation of
    0, which fills the border. Raises InputError if the tiles would need too much memory.
    """
    convolution = Convolution(stride, padding, dilation, groups)
    out_channels, _, *kernel = weight_codes.shape
    in_channels = activation_codes.shape[1]
    in_groups, out_groups = -(-in_channels // rows), -(-out_channels // cols)
    height, width = convolution.output_size(activation_codes.shape[2:], tuple(kernel))
    channels = out_channels, in_channels
    check_memory("the layer", len(activation_codes), channels, math.prod(kernel), height * width)

    # A grouped convolution is one whose weights between the groups are 0.
    weights = np.zeros((out_groups * cols, in_groups * rows, *kernel), np.int8)
    joined = np.zeros((out_groups, in_groups), bool)
    ins, outs = in_channels // groups, out_channels // groups
    for group in range(groups):
        begin, end = group * outs, (group + 1) * outs
        first, last = group * ins, (group + 1) * ins
        weights[begin:end, first:last] = weight_codes[begin:end]
        joined[begin // cols : -(-end // cols), first // rows : -(-last // rows)] = True
    borders = [(side, side) for side in pair(padding)]
    padded = np.pad(activation_codes, [(0, 0), (0, 0), *borders], constant_values=zero)
    missing = in_groups * rows - in_channels
    padded = np.pad(padded, [(0, 0), (0, missing), (0, 0), (0, 0)])

    tiles = [
        Tile(output_group, ky, kx, input_group)
        for output_group in range(out_groups)
        for ky in range(kernel[0])
        for kx in range(kernel[1])
        for input_group in range(in_groups)
        if joined[output_group, input_group]
    ]
    (step_y, step_x), (apart_y, apart_x) = pair(stride), pair(dilation)
    tile_weights, streams = [], []
    for output_group, ky, kx, input_group in tiles:
        inputs = slice(input_group * rows, (input_group + 1) * rows)
        outputs = slice(output_group * cols, (output_group + 1) * cols)
        tile_weights.append(weights[outputs, inputs, ky, kx].T)
        stream = padded[
            :,
            inputs,
            ky * apart_y : ky * apart_y + step_y * (height - 1) + 1 : step_y,
            kx * apart_x : kx * apart_x + step_x * (width - 1) + 1 : step_x,
        ]
        streams.append(stream.transpose(0, 2, 3, 1).reshape(len(stream), height * width, rows))
    return Tiles(tiles, np.stack(tile_weights), np.stack(streams, axis=1), (height, width))


def joined(tiles: Tiles) -> Tiles:
    """Returns one tile for each output group, which has the rows of all tiles of that group.

    This is what an array computes that adds the psums of tiles inside. Groups of fewer tiles are
    filled with zeros.
    """
    groups: dict[int, list[int]] = {}
    for index, tile in enumerate(tiles.tiles):
        groups.setdefault(tile.output_group, []).append(index)
    most = max(map(len, groups.values()))
    weights = np.zeros((len(groups), most, *tiles.weights.shape[1:]), tiles.weights.dtype)
    images, _, pixels, rows = tiles.activations.shape
    streams = np.zeros((images, len(groups), pixels, most, rows), tiles.activations.dtype)
    for number, members in enumerate(groups.values()):
        weights[number, : len(members)] = tiles.weights[members]
        streams[:, number, :, : len(members)] = tiles.activations[:, members].swapaxes(1, 2)
    return Tiles(
        [Tile(group, 0, 0, 0) for group in groups],
        weights.reshape(len(groups), most * rows, -1),
        streams.reshape(images, len(groups), pixels, most * rows),
        tiles.output_size,
    )


def gather(psums: np.ndarray, tiles: Tiles, out_channels: int) -> np.ndarray:
    """Returns the output of the layer, int64 [images, out_channels, H', W'].

    The output is the sum of the psums of all tiles, int [images, tiles, output pixels, COLS].
    """
    images, _, pixels, cols = psums.shape
    sums = np.zeros((images, out_channels, pixels), np.int64)
    for index, tile in enumerate(tiles.tiles):
        begin = tile.output_group * cols
        channels = sums[:, begin : begin + cols]
        channels += psums[:, index].swapaxes(1, 2)[:, : channels.shape[1]]
    return sums.reshape(images, out_channels, *tiles.output_size)
