"""The integers of a layer in one forward pass, whichever library quantised it."""

from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor


class FitError(Exception):
    """The message says why, in one line, without the layer's name."""


@dataclass(frozen=True)
class Quantised:
    """A tensor on the grid code · scale."""

    codes: Tensor  # whole numbers
    scale: Tensor  # float32, of any shape with one value, or one per index of dimension 0
    bits: int
    signed: bool


class Integers(NamedTuple):
    """A layer's part in one forward pass, as its quantisers see it."""

    activations: Quantised
    weights: Quantised
    bias: Tensor | None  # float32 [C_out]
