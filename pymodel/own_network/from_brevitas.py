"""Integers of Brevitas's quantised layers, from its own quant tensors. Needs Brevitas."""

import math
from typing import Any

from brevitas.quant_tensor import IntQuantTensor
from torch import nn

from pymodel.own_network.integers import FitError, Integers, Quantised


def integers(layer: nn.Module, given: Any) -> Integers:
    """Of a brevitas.nn.QuantConv2d or QuantLinear for its input, a tensor or quant tensor.

    The activations are quantised by the layer's `input_quant`, or before it, by a QuantReLU or
    QuantIdentity that returns a quant tensor. Raises FitError.
    """
    inputs = layer.input_quant(layer.unpack_input(given))
    activations = _quantised(
        inputs,
        "input",
        "give it input_quant, or return_quant_tensor=True to the activation before it",
    )
    quant_weight = layer.quant_weight(inputs)
    weights = _quantised(quant_weight, "weight", "give it weight_quant")
    kernels = weights.codes[..., None, None] if weights.codes.ndim == 2 else weights.codes
    bias = layer.bias
    if bias is not None:
        bias = layer.bias_quant(bias, inputs, quant_weight)
        bias = getattr(bias, "value", bias)  # where it is quantised
    return Integers(
        activations, Quantised(kernels, weights.scale, weights.bits, weights.signed), bias
    )


def _quantised(values: Any, what: str, advice: str) -> Quantised:
    """Codes and scale of a quant tensor. Raises FitError if it is none of integers."""
    if not isinstance(values, IntQuantTensor):
        raise FitError(
            f"its {what} is not quantised to integers, a {type(values).__name__}; {advice}"
        )
    if (values.zero_point != 0).any():
        point = values.zero_point.abs().max().item()
        raise FitError(f"its {what} has a zero point of {point:g}, expected 0")
    if not values.is_valid:
        raise FitError(f"its {what} does not lie on the grid of its scale")
    codes = values.int(float_datatype=True)
    return Quantised(
        codes, values.scale.detach(), math.ceil(values.bit_width.max().item()), values.signed
    )
