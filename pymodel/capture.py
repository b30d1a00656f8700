"""What a layer sees and what the next one gets, read by forward pre-hooks from one pass."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pymodel.images import normalise
from pymodel.quantiser import QuantConv2d, quantised_layers
from pymodel.support.errors import InputError

DEFAULT_LAYER = "features.27"


@dataclass(frozen=True)
class Capture:
    """One layer's part in a forward pass of N images."""

    name: str  # of the layer
    layer: QuantConv2d
    input: Tensor  # its pre-hooked input: float32 [N, C_in, H, W]
    between: nn.Sequential  # what lies between its output and the next convolution (here: ReLU)
    next_name: str  # of the next convolution
    next_input: Tensor  # the pre-hooked input of that: float32 [N, C_out, H', W']


def find_layer(model: nn.Module, name: str) -> QuantConv2d:
    """The quantised convolution `name`; InputError with the names there are if it is not one."""
    layers = {n: m for n, m in quantised_layers(model).items() if isinstance(m, QuantConv2d)}
    if name in layers:
        return layers[name]
    modules = dict(model.named_modules())
    found = f"a {type(modules[name]).__name__}" if name in modules else "not in the network"
    raise InputError(
        f"layer '{name}' is {found}, expected a quantised convolution: {', '.join(layers)}"
    )


def find_next(model: nn.Module, name: str) -> tuple[str, nn.Sequential]:
    """The convolution after `name` in its nn.Sequential, and the modules between the two.

    Raises InputError if `name` is the last one.
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
    raise InputError(f"layer '{name}' is the last convolution, expected one with another after it")


@torch.no_grad()
def capture(model: nn.Module, images: Tensor, name: str = DEFAULT_LAYER) -> Capture:
    """Run uint8 images [N, 3, 32, 32] through `model` once, in float32, and keep what `name` meets.

    float32 throughout: no autocast, no TF32. Leaves the model in evaluation mode.
    Raises InputError for a layer that will not do.
    """
    layer = find_layer(model, name)
    next_name, between = find_next(model, name)
    seen = {}

    def keep(key: str):
        # A clone: the ReLU after a convolution works in place.
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
