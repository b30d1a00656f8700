"""Takes the integers of Brevitas's quantised layers from quant tensors; it imports Brevitas."""

import math
from typing import Any

from brevitas.core.scaling import ParameterFromStatsFromParameterScaling
from brevitas.core.zero_point import ParameterFromStatsFromParameterZeroPoint
from brevitas.quant_tensor import IntQuantTensor
from torch import nn

from pymodel.own_network.integers import FitError, Integers, Quantised

# Modules whose parameter Brevitas computes from the weights, if no state dict has it.
FROM_WEIGHTS = (ParameterFromStatsFromParameterScaling, ParameterFromStatsFromParameterZeroPoint)


def integers(layer: nn.Module, given: Any) -> Integers:
    """Returns the integers of a brevitas.nn.QuantConv2d or QuantLinear for the input `given`.

    `given` is a tensor or a quant tensor. The activations are quantised by the layer's
    `input_quant`, or before the layer by a QuantReLU or QuantIdentity that returns a quant tensor.
    Raises FitError if weights or activations are not quantised to integers with zero point 0.
    """
    inputs = layer.input_quant(layer.unpack_input(given))
    activations = _quantised(
        inputs,
        "input",
        "give the layer input_quant, or the activation before it return_quant_tensor=True",
    )
    quant_weight = layer.quant_weight(inputs)
    weights = _quantised(quant_weight, "weight", "give the layer weight_quant")
    kernels = weights.codes[..., None, None] if weights.codes.ndim == 2 else weights.codes
    bias = layer.bias
    if bias is not None:
        bias = layer.bias_quant(bias, inputs, quant_weight)
        bias = getattr(bias, "value", bias)  # a quantised bias is wrapped
    return Integers(
        activations, Quantised(kernels, weights.scale, weights.bits, weights.signed), bias
    )


def _quantised(values: Any, what: str, advice: str) -> Quantised:
    """Returns codes and scale of the quant tensor `values`, which is the layer's input or weight.

    `what` is the name of `values` in messages. Raises FitError if `values` are not quantised to
    integers, with a message that ends with `advice`; if their zero point is not 0; and if they do
    not lie on the grid of their scale.
    """
    if not isinstance(values, IntQuantTensor):
        raise FitError(
            f"its {what} is not quantised to integers but a {type(values).__name__}; {advice}"
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
