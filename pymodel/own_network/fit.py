"""Judges whether layers of any network fit the array, and takes the integers of those that do."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from pymodel.hardware.core import MAX_ACTIVATION, MIN_WEIGHT, Core
from pymodel.own_network.factory import of_the_user
from pymodel.own_network.grids import MOST_LEVELS, Grid, grid_of
from pymodel.own_network.layer_file import AddBias
from pymodel.own_network.watched_products import Product, watching
from pymodel.reference.integer_convolution import integer_convolution
from pymodel.reference.layer_data import MAX_ABS_ERROR, MAX_ERROR_STEPS, LayerData

BITS = 4  # largest number of bits of an activation code, unsigned, and of a weight code, signed
UNUSED = "the forward pass does not use it"


class FitError(Exception):
    """Says that a layer does not fit, and why, in one line without the layer's name."""

    kind = ""  # class of the module


class Fit(NamedTuple):
    """A layer that fits the array."""

    layer: LayerData
    kind: str  # class of the module
    weights: Grid
    activations: Grid
    error: float  # largest error of the output recovered from PyTorch's integer convolution
    error_steps: float  # the same error, in steps of the sum

    @property
    def weight_bits(self) -> int:
        """Returns the number of bits of a weight code."""
        return max(2, self.weights.bits)

    @property
    def activation_bits(self) -> int:
        """Returns the number of bits of an activation code."""
        return self.activations.bits


def layers_of(model: nn.Module) -> dict[str, nn.Module]:
    """Returns all convolution and linear layers of `model` by name, whether they fit or not.

    A model that is a layer itself has the name of its class.
    """
    layers = {n: m for n, m in model.named_modules() if isinstance(m, _ConvNd | nn.Linear)}
    return {name or type(layer).__name__: layer for name, layer in layers.items()}


@torch.no_grad()
def fit_layers(
    model: nn.Module, inputs: Tensor, names: list[str] | None = None, what: str = "the forward pass"
) -> dict[str, Fit | FitError]:
    """Runs `inputs` [N, …] through `model` once, in float32, and judges all layers, or `names`.

    Returns the layer's `Fit` by its name, or the `FitError` that says why the layer does not fit,
    in the order in which the layers ran. A name is that of the module whose forward does a product,
    and with ":2" behind it that of the module's second product. The model is left in evaluation
    mode. Raises InputError, which begins with `what`, if the model raises an exception.
    """
    model.eval()
    found: dict[str, Fit | FitError] = {}

    def take(product: Product) -> None:
        if names is not None and product.layer not in names:
            return
        try:
            found[product.layer] = _fit(product, len(inputs))
        except FitError as reason:
            reason.kind = product.kind
            found[product.layer] = reason

    precision = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.autocast("cpu", enabled=False), watching(model, inputs, take):
            of_the_user(what, model, inputs)
    finally:
        torch.set_float32_matmul_precision(precision)
    for name, layer in layers_of(model).items():
        if name not in found and (names is None or name in names):
            found[name] = FitError(UNUSED)
            found[name].kind = type(layer).__name__
    return found


def _fit(product: Product, images: int) -> Fit:
    """Returns the `Fit` of a product, whose integers give its output.

    `images` is the number of inputs. Raises FitError if the product does not fit, or if its
    integers do not give its output.
    """
    stride, padding = _geometry(product)
    values, weights, reference = _maps(product, images)
    for tensor, name in ((values, "activations"), (weights, "weights"), (reference, "outputs")):
        if tensor.dtype != torch.float32:
            raise FitError(f"its {name} are {tensor.dtype}, expected torch.float32")
        if not torch.isfinite(tensor).all():
            raise FitError(f"its {name} hold NaN or infinity")
    activation, activation_codes = _codes(values, product.activation_grids, "activation")
    weight, weight_codes = _codes(weights, product.weight_grids, "weight")
    if activation_codes.min() < 0:
        raise FitError(
            f"its activations are signed, codes {activation_codes.min():g} to "
            f"{activation_codes.max():g}, expected 0 to {MAX_ACTIVATION}"
        )
    low, high = weight_codes.min().item(), weight_codes.max().item()
    if low < MIN_WEIGHT or high >= -MIN_WEIGHT:
        raise FitError(
            f"its weight codes are {low:g} to {high:g}, expected {MIN_WEIGHT} to {-MIN_WEIGHT - 1}"
        )
    out_channels = len(weights)
    largest = weights[0].numel() * activation.high * max(-weight.low, weight.high)
    if largest > 2 ** (Core.sum_width - 1) - 2:
        raise FitError(f"its sums can reach ±{largest:,}, more than {Core.sum_width} bits hold")
    step = (weight.scale.flatten() * activation.scale.flatten()).expand(out_channels).float()
    bias = torch.zeros(out_channels) if product.bias is None else product.bias.flatten()
    data = LayerData(
        product.layer,
        activation_codes.to(torch.int8),
        weight_codes.to(torch.int8),
        stride,
        padding,
        step[:, None, None].clone(),
        AddBias(bias.detach().clone()),
        reference.clone(),  # because a later operation may work in place
        f"output of {product.layer}",
    )
    sums = integer_convolution(data.activation_codes, data.weight_codes, stride, padding)
    error, error_steps = data.error(sums)
    if not (error < MAX_ABS_ERROR and error_steps < MAX_ERROR_STEPS):
        raise FitError(
            f"its output differs from what its integers give by {error:.3g} ({error_steps:.3g} "
            f"steps), expected below {MAX_ABS_ERROR:g} ({MAX_ERROR_STEPS:g} steps)"
        )
    return Fit(data, product.kind, weight, activation, error, error_steps)


def _geometry(product: Product) -> tuple[int, int]:
    """Returns stride and padding in pixels. Raises FitError for a layer that no array computes."""
    if product.weights.ndim == 2:
        return 1, 0
    if product.weights.ndim != 4 or product.transposed:
        raise FitError(
            f"it {'is transposed, with' if product.transposed else 'has'} weights of shape "
            f"{list(product.weights.shape)}, expected a 2D convolution or a linear layer"
        )
    if product.groups != 1:
        depthwise = " (depthwise)" if product.weights.shape[1] == 1 else ""
        raise FitError(f"it has {product.groups} groups{depthwise}, expected one")
    if product.dilation != (1, 1):
        raise FitError(f"its dilation is {product.dilation}, expected 1")
    kernel = tuple(product.weights.shape[2:])
    sizes = {"kernel": kernel, "stride": product.stride, "padding": product.padding}
    for what, (height, width) in sizes.items():
        if height != width:
            raise FitError(f"its {what} is {height} × {width}, expected a square one")
    return product.stride[0], product.padding[0]


def _maps(product: Product, images: int) -> tuple[Tensor, Tensor, Tensor]:
    """Returns activations [N, C, H, W], weights [C_out, C, k, k] and output [N, C_out, H, W].

    A matrix product is a 1 × 1 convolution; its rows are pixels of the images, [N, C, pixels, 1].
    Raises FitError if the activations do not belong to the images.
    """
    values, weights, output = product.activations, product.weights, product.output
    if len(values) % images or (values.ndim == 4 and len(values) != images):
        raise FitError(
            f"its input is {list(values.shape)}, expected [{images}, channels, height, width], or "
            f"of a linear layer [{images} · pixels, features]"
        )
    if weights.ndim == 4:
        return values, weights, output
    values, output = (
        one.reshape(images, -1, one.shape[-1]).transpose(1, 2)[..., None]
        for one in (values, output)
    )
    return values, weights[..., None, None], output


def _codes(values: Tensor, stated: tuple[Grid, ...], kind: str) -> tuple[Grid, Tensor]:
    """Returns the grid of values, and their codes without the zero point.

    Raises FitError if the values lie on no grid, or on one that is too fine for the array.
    """
    if not values.any():
        raise FitError(f"its {kind}s are all 0, which proves nothing: are its scales set?")
    found = grid_of(values, stated, per_channel=kind == "weight")
    if found is None:
        if kind == "activation" and any(grid.scale.numel() > 1 for grid in stated):
            raise FitError("its activations have several scales, expected one")
        raise FitError(
            f"its {kind}s are not quantised: they do not lie on a grid of at most {MOST_LEVELS} "
            "levels"
        )
    grid, codes = found
    low, high = grid.low, grid.high
    if grid.zero_point.any():
        if grid.zero_point.numel() > 1:
            raise FitError(f"its {kind}s have a zero point for each channel, expected none")
        zero = grid.zero_point.item()
        low, high, codes = int(low - zero), int(high - zero), codes - zero
        grid = Grid(grid.scale, torch.zeros(1), low, high, grid.found)
    limit = MAX_ACTIVATION if kind == "activation" else -MIN_WEIGHT - 1
    if high > limit or (kind == "weight" and low < MIN_WEIGHT):
        raise FitError(f"its {kind}s have {grid.bits} bits, expected at most {BITS}")
    return grid, codes
