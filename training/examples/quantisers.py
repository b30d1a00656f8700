"""Tells the export how quantisers of other authors make values, each in a few lines.

`--quantiser training.examples.quantisers:dorefa` calls the function for the activations and for the
weights of each layer. It returns their codes, scale and zero point, so that each value is
(code − zero point) · scale, or None for a layer that it does not know. The attribute names are
those of widely used implementations; replace them by the names in your implementation.
"""

import torch
from torch import Tensor, nn

Found = tuple[Tensor, Tensor | float, Tensor | float]  # codes, scale, zero point


def dorefa(layer: nn.Module, values: Tensor, kind: str) -> Found | None:
    """Returns codes of DoReFa-Net (Zhou et al., 2016, eq. 5 and 9): q / n, or 2q / n − 1.

    The layer has `w_bits` and `a_bits`; n is 2^bits − 1. `kind` is "weight" or "activation".
    """
    if not hasattr(layer, "w_bits"):  # such as a first layer that stays float
        return None
    if kind == "weight":
        most = 2**layer.w_bits - 1
        return ((values + 1) / 2 * most).round(), 2 / most, most / 2
    most = 2**layer.a_bits - 1
    return (values * most).round(), 1 / most, 0


def pact(layer: nn.Module, values: Tensor, kind: str) -> Found | None:
    """Returns codes of PACT (Choi et al., 2018, eq. 2): q · α / n, with α learned.

    The layer has `alpha`, `a_bits`, and for its weights `w_scale`; n is 2^a_bits − 1.
    """
    if not hasattr(layer, "alpha"):
        return None
    if kind == "weight":
        return (values / layer.w_scale).round(), layer.w_scale, 0
    scale = layer.alpha / (2**layer.a_bits - 1)
    return (values / scale).round(), scale, 0


def lsq(layer: nn.Module, values: Tensor, kind: str) -> Found | None:
    """Returns codes of LSQ (Esser et al., 2020, eq. 1 and 2): q · s, with s learned.

    The layer has two quantisers, `quan_w_fn` and `quan_a_fn`, each with its step `s`, of one value
    or of one for each output channel.
    """
    if not hasattr(layer, "quan_w_fn"):
        return None
    scale = (layer.quan_w_fn if kind == "weight" else layer.quan_a_fn).s
    return torch.round(values / scale), scale, 0
