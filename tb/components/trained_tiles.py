"""Cuts a trained layer into tiles with PyTorch's psums, and judges the recovered outputs."""

import torch

from pymodel.hardware.tiling import cut
from pymodel.reference.integer_convolution import tile_psums
from pymodel.reference.layer_data import LayerData
from tb.components.tile_run import TileRun
from tb.sim.errors import BenchError


def tile_run(layer: LayerData, rows: int, cols: int) -> TileRun:
    """Returns the tiles of `layer` for an array of rows × cols, and their psums by PyTorch."""
    codes, weights = layer.activation_codes, layer.weight_codes
    sizes = {**layer.convolution._asdict(), "zero": layer.zero, "rows": rows, "cols": cols}
    tiles = cut(codes.numpy(), weights.numpy(), **sizes)
    expected = [tile_psums(codes, weights, tile, **sizes) for tile in tiles.tiles]
    return TileRun(tiles, torch.stack(expected, dim=1).numpy())


def compare_recovered(layer: LayerData, sums: torch.Tensor) -> None:
    """Raises BenchError if the outputs recovered from `sums` differ from the captured ones.

    sums: integers [N, C_out, H', W'].
    """
    if layer.agrees(sums):
        return
    place = image, channel, y, x = layer.worst(sums)
    error, steps = (difference[place].abs().item() for difference in layer.difference(sums))
    allowed = layer.allowed().expand(layer.reference.shape)[place].item()
    raise BenchError(
        f"every psum is right, but the recovered {layer.reference_name} differs by {error:.3g} "
        f"({steps:.3g} steps) from the captured one at image {image}, channel {channel}, "
        f"pixel ({y}, {x}), expected below {allowed:.3g}"
    )
