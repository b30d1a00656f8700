"""Computes the integer sums and psums that the array must give, by PyTorch's convolution.

The code that cuts a layer into tiles is not used, so that a mistake in it shows.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from pymodel.convolution import Pair, pair
from pymodel.hardware.tiling import Tile
from pymodel.lsq_quantiser import QuantConv2d


def integer_convolution(
    activations: Tensor,
    weights: Tensor,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
    groups: int = 1,
    zero: int = 0,
) -> Tensor:
    """Returns the exact integer convolution, int64 [N, C_out, H', W'].

    activations: integer [N, C_in, H, W]; weights: integer [C_out, C_in / groups, kh, kw]; the other
    arguments are those of `Convolution`, and `zero`, the code that fills the border. PyTorch
    computes it in float64, which is exact, because every product and sum of codes is a whole number
    far below 2^53.
    """
    return functional.conv2d(
        bordered(activations.double(), padding, zero),
        weights.double(),
        stride=stride,
        dilation=dilation,
        groups=groups,
    ).to(torch.int64)


def bordered(activations: Tensor, padding: Pair, zero: int) -> Tensor:
    """Returns maps [N, C, H, W] with a border of `padding` pixels of the code `zero`."""
    rows, columns = pair(padding)
    return functional.pad(activations, (columns, columns, rows, rows), value=zero)


def tile_psums(
    codes: Tensor,
    weight_codes: Tensor,
    tile: Tile,
    stride: Pair,
    padding: Pair,
    rows: int,
    cols: int,
    dilation: Pair = 1,
    groups: int = 1,
    zero: int = 0,
) -> Tensor:
    """Returns the psums of one tile, int64 [N, output pixels, cols], pixels row by row.

    The psums are the convolution of the tile's channels by weights that are zero at all other
    kernel positions. The arguments are those of `integer_convolution`.
    """
    outputs = slice(tile.output_group * cols, (tile.output_group + 1) * cols)
    inputs = slice(tile.input_group * rows, (tile.input_group + 1) * rows)
    codes = bordered(codes, padding, zero)
    position = torch.zeros_like(weight_codes)
    position[:, :, tile.ky, tile.kx] = 1
    weights = weight_codes * position
    if groups == 1:
        weights, codes = weights[outputs, inputs], codes[:, inputs]
    else:  # all output channels at once, of the tile's input channels
        chosen = torch.zeros_like(codes)
        chosen[:, inputs] = codes[:, inputs]
        codes = chosen
    psums = integer_convolution(codes, weights, stride, 0, dilation, groups)
    psums = psums if groups == 1 else psums[:, outputs]
    lanes = psums.new_zeros(len(psums), cols, *psums.shape[2:])
    lanes[:, : psums.shape[1]] = psums
    return lanes.permute(0, 2, 3, 1).flatten(1, 2)


def raster_psums(padded: Tensor, weights: Tensor) -> Tensor:
    """Returns the psums of each kernel position at every pixel of a padded map.

    The psums are the 1 × 1 convolutions of the map with the weights of each position. padded:
    integer [C_in, H, W]; weights: integer [C_out, C_in, k, k]. Returns int64 [k · k, H · W, C_out],
    kernel positions and pixels row by row.
    """
    out_channels, in_channels, kernel, _ = weights.shape
    single = weights.permute(2, 3, 0, 1).reshape(-1, in_channels, 1, 1)
    psums = integer_convolution(padded[None], single, 1, 0)
    return psums.reshape(kernel * kernel, out_channels, -1).transpose(1, 2)


def step(layer: QuantConv2d) -> Tensor:
    """Returns the value of one unit of the integer sum, s_w[c] · s_x, float32 [C_out, 1, 1]."""
    scale = layer.weight_quantiser.scale * layer.activation_quantiser.scale
    return scale.detach().reshape(-1, 1, 1)


class IntegerConv2d(nn.Module):
    """Replaces a quantised convolution: convolves the integer codes, and scales the sums."""

    def __init__(self, layer: QuantConv2d):
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        """Returns the output, float32 [N, C_out, H', W'], for a float input [N, C_in, H, W]."""
        sums = integer_convolution(
            self.layer.activation_codes(x),
            self.layer.weight_codes(),
            self.layer.stride,
            self.layer.padding,
        )
        return sums.float() * step(self.layer)
