"""Judges whether layers of any network fit the array, and takes the integers of those that do."""

from collections import Counter
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from pymodel.hardware.core import MAX_ACTIVATION, MIN_WEIGHT, Core
from pymodel.lsq_quantiser import SMALLEST_SCALE, Quantiser, QuantLayer
from pymodel.own_network.integers import FitError, Integers, Quantised, is_brevitas
from pymodel.own_network.layer_file import AddBias
from pymodel.reference.integer_convolution import integer_convolution
from pymodel.reference.layer_data import MAX_ABS_ERROR, MAX_ERROR_STEPS, LayerData

BITS = 4  # largest number of bits of an activation code, unsigned, and of a weight code, signed


class Fit(NamedTuple):
    """A layer that fits the array."""

    layer: LayerData
    weight_bits: int  # number of bits of a weight code
    activation_bits: int  # number of bits of an activation code
    error: float  # largest error of the output recovered from PyTorch's integer convolution
    error_steps: float  # the same error, in steps of the sum


def layers_of(model: nn.Module) -> dict[str, nn.Module]:
    """Returns all convolution and linear layers of `model` by name, whether they fit or not."""
    return {n: m for n, m in model.named_modules() if isinstance(m, _ConvNd | nn.Linear)}


@torch.no_grad()
def fit_layers(model: nn.Module, inputs: Tensor, names: list[str]) -> dict[str, Fit | FitError]:
    """Runs `inputs` [N, …] through `model` once, in float32, and judges each layer of `names`.

    Returns for each name the layer's `Fit`, or the `FitError` that says why the layer does not fit.
    The model is left in evaluation mode. Raises what the model raises.
    """
    model.eval()
    found: dict[str, Fit | FitError] = {}
    calls = Counter()
    hooks = []
    for name in names:
        layer = model.get_submodule(name)
        # Holds the output of a Brevitas layer before its output quantiser; every such layer has an
        # output quantiser, even where that quantiser does nothing.
        unquantised = {}

        def judge(layer, args, kwargs, output, name=name, unquantised=unquantised):
            calls[name] += 1
            given = args[0] if args else next(iter(kwargs.values()))
            output = unquantised.pop("output", output)
            try:
                found[name] = _fit(name, layer, given, output, len(inputs))
            except FitError as reason:
                found[name] = reason

        hooks.append(layer.register_forward_hook(judge, with_kwargs=True))
        if is_brevitas(layer):
            hooks.append(
                layer.output_quant.register_forward_pre_hook(
                    lambda _, args, unquantised=unquantised: unquantised.update(output=args[0])
                )
            )
    precision = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.autocast("cpu", enabled=False):
            model(inputs)
    finally:
        torch.set_float32_matmul_precision(precision)
        for hook in hooks:
            hook.remove()
    for name in names:
        if calls[name] == 0:
            found[name] = FitError("the forward pass does not use it")
        elif calls[name] > 1:
            found[name] = FitError(f"the forward pass calls it {calls[name]} times, expected one")
    return found


def _fit(name: str, layer: nn.Module, given: Any, output: Any, images: int) -> Fit:
    """Returns the `Fit` of `layer`, whose integers for the input `given` give its `output`.

    `images` is the number of inputs in `given`. Raises FitError if the layer does not fit, or if
    its integers do not give its output.
    """
    stride, padding = _geometry(layer)
    activations, weights, bias = _integers(layer, given)
    # The clone is needed because the module after a layer may work in place.
    reference = getattr(output, "value", output).detach().clone()  # Brevitas wraps its outputs

    for values, kind in ((activations, "activations"), (weights, "weights")):
        if values.bits > BITS:
            raise FitError(f"its {kind} have {values.bits} bits, expected at most {BITS}")
        if not (torch.isfinite(values.scale) & (values.scale > 0)).all():
            raise FitError(f"its {kind} have a scale that is not positive and finite")
    if activations.signed:
        raise FitError(f"its activations are signed, expected codes 0 to {MAX_ACTIVATION}")
    out_channels, in_channels, kernel, _ = weights.codes.shape
    if activations.scale.numel() != 1:
        raise FitError("its activations have several scales, expected one")
    scale = weights.scale
    if scale.numel() != 1 and (scale.numel(), scale.shape[0]) != (out_channels, out_channels):
        raise FitError(
            f"its weights have scales of shape {list(scale.shape)}, expected one, or one for each "
            f"of {out_channels} output channels"
        )
    low, high = weights.codes.min().item(), weights.codes.max().item()
    if low < MIN_WEIGHT or high >= -MIN_WEIGHT:
        raise FitError(
            f"its weight codes are {low:g} to {high:g}, expected {MIN_WEIGHT} to {-MIN_WEIGHT - 1}"
        )
    for values, kind in ((activations, "activation"), (weights, "weight")):
        if not values.codes.any():
            raise FitError(f"its {kind} codes are all 0, which proves nothing: are its scales set?")
    largest = in_channels * kernel**2 * MAX_ACTIVATION * -MIN_WEIGHT
    if largest > 2 ** (Core.sum_width - 1) - 2:
        raise FitError(f"its sums can reach ±{largest:,}, more than {Core.sum_width} bits hold")

    if reference.dtype != torch.float32:
        raise FitError(f"its output is {reference.dtype}, expected torch.float32")
    if not torch.isfinite(reference).all():
        raise FitError("its output holds NaN or infinity")
    codes = activations.codes
    if isinstance(layer, nn.Linear):
        codes, reference = _pixels(codes), _pixels(reference)
    if codes.ndim != 4 or len(codes) != images:
        raise FitError(
            f"its input is {list(activations.codes.shape)}, expected [{images}, channels, height, "
            f"width], or of a linear layer [{images}, …, features]"
        )
    step = (scale.flatten() * activations.scale.flatten()).expand(out_channels)
    bias = torch.zeros(out_channels) if bias is None else bias
    data = LayerData(
        name,
        codes.to(torch.int8),
        weights.codes.to(torch.int8),
        stride,
        padding,
        step[:, None, None].clone(),
        AddBias(bias.detach().clone()),
        reference,
        f"output of {name}",
    )
    sums = integer_convolution(data.activation_codes, data.weight_codes, stride, padding)
    error, error_steps = data.error(sums)
    if not (error < MAX_ABS_ERROR and error_steps < MAX_ERROR_STEPS):
        raise FitError(
            f"its output differs from what its integers give by {error:.3g} ({error_steps:.3g} "
            f"steps), expected below {MAX_ABS_ERROR:g} ({MAX_ERROR_STEPS:g} steps)"
        )
    return Fit(data, weights.bits, activations.bits, error, error_steps)


def _geometry(layer: nn.Module) -> tuple[int, int]:
    """Returns stride and padding in pixels. Raises FitError for a layer that no array computes."""
    if isinstance(layer, nn.Linear):
        return 1, 0
    if not isinstance(layer, nn.Conv2d):
        raise FitError(
            f"it is a {type(layer).__name__}, expected a 2D convolution or a linear layer"
        )
    if layer.groups != 1:
        depthwise = " (depthwise)" if layer.groups == layer.in_channels else ""
        raise FitError(f"it has {layer.groups} groups{depthwise}, expected one")
    if layer.padding_mode != "zeros":
        raise FitError(f"its padding is of mode '{layer.padding_mode}', expected 'zeros'")
    if layer.dilation != (1, 1):
        raise FitError(f"its dilation is {layer.dilation}, expected 1")
    # Brevitas itself pads for 'same' with a stride, and its `padding` is then 0.
    same = layer.padding == "same" or getattr(layer, "is_same_padded_strided", False)
    if same and (layer.stride != (1, 1) or not all(side % 2 for side in layer.kernel_size)):
        raise FitError("its padding 'same' is not the same on all sides, expected a number")
    padding = tuple(side // 2 for side in layer.kernel_size) if same else layer.padding
    padding = (0, 0) if padding == "valid" else padding
    sizes = {"kernel": layer.kernel_size, "stride": layer.stride, "padding": padding}
    for what, (height, width) in sizes.items():
        if height != width:
            raise FitError(f"its {what} is {height} × {width}, expected a square one")
    return layer.stride[0], padding[0]


def _integers(layer: nn.Module, given: Any) -> Integers:
    """Returns the integers of `layer`, quantised by this project or by Brevitas.

    Raises FitError if neither of them quantises the layer.
    """
    if isinstance(layer, QuantLayer):
        return _own(layer, given)
    if is_brevitas(layer):
        from pymodel.own_network.from_brevitas import integers  # not above: Brevitas is optional

        return integers(layer, given)
    raise FitError(
        f"it is not quantised: a {type(layer).__name__}, expected one of pymodel.lsq_quantiser or "
        "of Brevitas"
    )


def _own(layer: QuantLayer, given: Tensor) -> Integers:
    """Returns the integers of a layer with this project's quantisers for the input `given`.

    Raises FitError if the quantisers are switched off, or if a scale is too small to be used.
    """
    if not layer.quantising:
        raise FitError("its quantisers are switched off")

    def quantised(quantiser: Quantiser, codes: Tensor, kind: str) -> Quantised:
        if not (quantiser.scale >= SMALLEST_SCALE).all():
            raise FitError(
                f"its {kind} have a scale of {quantiser.scale.min().item():g}, expected at least "
                f"{SMALLEST_SCALE:g}"
            )
        signed = quantiser.low < 0
        bits = quantiser.high.bit_length() + signed
        return Quantised(codes, quantiser.scale.detach(), bits, signed)

    return Integers(
        quantised(layer.activation_quantiser, layer.activation_codes(given), "activations"),
        quantised(layer.weight_quantiser, layer.weight_codes(), "weights"),
        layer.bias,
    )


def _pixels(values: Tensor) -> Tensor:
    """Returns [N, …, features] as [N, features, pixels, 1]; all dimensions between are pixels."""
    return values.reshape(len(values), -1, values.shape[-1]).transpose(1, 2)[..., None]
