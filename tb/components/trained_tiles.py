"""Cuts a trained layer into tiles with PyTorch's psums, and judges the recovered outputs."""

import copy
from dataclasses import replace

import torch
from torch import nn

from pymodel.hardware.tiling import cut, joined
from pymodel.reference.integer_convolution import tile_psums
from pymodel.reference.layer_data import AddBias, LayerData
from pymodel.support.errors import InputError
from tb.components.array_adapter import ArrayAdapter
from tb.components.dataflow_adapters import CoreAdapter, CoreLayer, in_vectors
from tb.components.tile_run import TileRun
from tb.sim.errors import BenchError


def tile_run(layer: LayerData, array: ArrayAdapter) -> TileRun:
    """Returns the tiles of `layer` for an array, and by PyTorch what the array must give for them.

    An array of a limited depth gives the psums of each tile, and others the sums of the layer, or
    what a core makes of them. Raises InputError as `core_layer` does.
    """
    codes, weights = layer.activation_codes, layer.weight_codes
    rows = array.depth or codes.shape[1]
    sizes = {**layer.convolution._asdict(), "zero": layer.zero, "rows": rows, "cols": array.cols}
    tiles = cut(codes.numpy(), weights.numpy(), **sizes)
    if array.depth:
        expected = [tile_psums(codes, weights, tile, **sizes) for tile in tiles.tiles]
        return TileRun(tiles, torch.stack(expected, dim=1).numpy(), array.shows)
    sums = layer.sums().numpy()
    if isinstance(array, CoreAdapter):
        sums = array.promised(sums, core_layer(layer, array))
    return TileRun(joined(tiles), in_vectors(sums, array.cols), array.shows)


def core_layer(layer: LayerData, core: CoreAdapter) -> CoreLayer:
    """Returns a layer as a core takes it.

    The next layer's codes have as many bits as this layer's, and the largest of them means the
    largest value of `reference`. Raises InputError if the core does not support the layer's
    geometry, or cannot give what it promises for the layer: the ReLU of the sums is none of the
    layer's values if a BatchNorm or a bias comes between, and zero points of weights add a part to
    the sums that depends on the activations.
    """
    name, where = type(core).__name__, f"layer '{layer.name}'"
    if core.outputs == "codes" and layer.weight_zeros is not None:
        raise InputError(
            f"{name} gives codes, but the weights of {where} have zero points, expected weights "
            'without them, or outputs = "sums"'
        )
    plain = all(isinstance(one, nn.ReLU) for one in layer.after.children())
    without = not layer.zero and layer.weight_zeros is None
    if core.outputs == "relu" and not (plain and without and list(layer.after.children())):
        raise InputError(
            f"{name} gives the ReLU of sums, but in {where} more than a scale is between sums and "
            'ReLU, expected a convolution followed by a ReLU, or outputs = "sums"'
        )
    slope, start = _line(layer)
    unit = max(layer.reference.max().item(), 1e-30) / (2**layer.activation_bits - 1)
    given = CoreLayer(
        layer.activation_codes.numpy(),
        layer.weight_codes.numpy(),
        layer.convolution,
        layer.zero,
        (slope / unit).numpy(),
        (start / unit).numpy(),
        layer.activation_bits,
    )
    if not core.supports(given):
        raise InputError(
            f"{name}.supports() refuses {where}, weights {list(given.weights.shape)}, "
            f"{layer.convolution}, maps of {list(given.activations.shape[2:])}, expected a layer "
            "that the core can run"
        )
    return given


@torch.no_grad()
def _line(layer: LayerData) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns slope and start, float64 [C_out] each, of a layer's output before its ReLU.

    The slope is the change by one unit of the sum, and the start the output for a sum of 0. Max
    pools and a ReLU are no part of the line.
    """
    modules = list(layer.after.children()) or [layer.after]
    lines = [m for m in modules if isinstance(m, nn.BatchNorm2d | AddBias)]
    line = copy.deepcopy(nn.Sequential(*lines)).double()
    zero = torch.zeros(1, len(layer.weight_codes), 1, 1, dtype=torch.float64)
    plain = replace(layer, weight_zeros=None)
    step = layer.step.double()
    start = line(plain.without_zero_points(zero) * step)
    slope = line(plain.without_zero_points(zero + 1) * step) - start
    return slope.flatten(), start.flatten()


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
