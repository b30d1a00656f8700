"""Defines the integers of a layer in one forward pass, whichever library quantised it."""

from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor, nn


class FitError(Exception):
    """Says that a layer does not fit, and why, in one line without the layer's name."""


@dataclass(frozen=True)
class Quantised:
    """A quantised tensor: its values are code · scale."""

    codes: Tensor  # whole numbers, of any shape and dtype
    scale: Tensor  # float32, of any shape with one value, or one per index of dimension 0
    bits: int  # number of bits of a code
    signed: bool  # whether codes can be negative


class Integers(NamedTuple):
    """Activations, weights and bias of a layer in one forward pass, as its quantisers give them."""

    activations: Quantised
    weights: Quantised
    bias: Tensor | None  # float32 [C_out], or None for a layer without bias


def is_brevitas(module: nn.Module) -> bool:
    """Returns whether a module is one of Brevitas's, without importing Brevitas."""
    return any(base.__module__.split(".")[0] == "brevitas" for base in type(module).__mro__)
