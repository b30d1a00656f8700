"""Captures the inputs of a layer and of the next convolution in one pass, by pre-hooks."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pymodel.images import normalise
from pymodel.lsq_quantiser import QuantConv2d, quantised_layers
from pymodel.support.errors import InputError

DEFAULT_LAYER = "features.27"


@dataclass(frozen=True)
class Capture:
    """The inputs of a layer and of the next convolution in one forward pass of N images."""

    name: str  # name of the layer
    layer: QuantConv2d
    input: Tensor  # input of the layer: float32 [N, C_in, H, W]
    between: nn.Sequential  # modules between the two; after DEFAULT_LAYER one ReLU
    next_name: str  # name of the next convolution
    next_input: Tensor  # input of the next convolution: float32 [N, C_out, H', W']


def find_layer(model: nn.Module, name: str) -> QuantConv2d:
    """Returns the quantised convolution `name` of `model`.

    Raises InputError, which lists the valid names, if `name` is no quantised convolution.
    """
    layers = {n: m for n, m in quantised_layers(model).items() if isinstance(m, QuantConv2d)}
    if name in layers:
        return layers[name]
    modules = dict(model.named_modules())
    found = f"a {type(modules[name]).__name__}" if name in modules else "not in the network"
    raise InputError(
        f"layer '{name}' is {found}, expected a quantised convolution: {', '.join(layers)}"
    )


def find_next(model: nn.Module, name: str) -> tuple[str, nn.Sequential]:
    """Returns the name of the convolution after `name`, and the modules between the two.

    Both convolutions must lie in the same nn.Sequential. Raises InputError if `name` is the last
    convolution of its nn.Sequential.
    """
    parent_name, _, position = name.rpartition(".")
    parent = model.get_submodule(parent_name)
    children = dict(parent.named_children())
    following = list(children)[list(children).index(position) + 1 :]
    between: list[nn.Module] = []
    for child in following:
        module = children[child]
        if isinstance(module, nn.Conv2d):
            return ".".join(filter(None, (parent_name, child))), nn.Sequential(*between)
        between.append(module)
    raise InputError(
        f"layer '{name}' is the last convolution of its nn.Sequential, expected an earlier one"
    )


@torch.no_grad()
def capture(model: nn.Module, images: Tensor, name: str = DEFAULT_LAYER) -> Capture:
    """Runs uint8 images [N, 3, 32, 32] through `model` once, and captures the layer `name`.

    The whole pass is computed in float32, without autocast and TF32. The model is left in
    evaluation mode. Raises InputError if `name` is no quantised convolution, or is the last
    convolution of its nn.Sequential.
    """
    layer = find_layer(model, name)
    next_name, between = find_next(model, name)
    seen = {}

    def keep(key: str):
        # The clone is needed because the ReLU after a convolution works in place.
        return lambda _, inputs: seen.__setitem__(key, inputs[0].clone())

    hooks = [
        layer.register_forward_pre_hook(keep("input")),
        model.get_submodule(next_name).register_forward_pre_hook(keep("next_input")),
    ]
    try:
        with (
            torch.autocast(images.device.type, enabled=False),
            torch.backends.cudnn.flags(enabled=True, allow_tf32=False),
        ):
            model.eval()(normalise(images))
    finally:
        for hook in hooks:
            hook.remove()
    return Capture(name, layer, seen["input"], between, next_name, seen["next_input"])
