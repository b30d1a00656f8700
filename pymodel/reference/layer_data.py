"""A quantised layer on some inputs: the integers for an array, the floats that judge its sums."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from pymodel.capture import Capture
from pymodel.reference.convolution import step

MAX_ABS_ERROR = 1e-3  # of the recovered values, in the units of the reference
MAX_ERROR_STEPS = 0.01  # of the recovered values, in units of one step of the integer sum


@dataclass(frozen=True)
class LayerData:
    """Whatever network or file it comes from."""

    name: str
    activation_codes: Tensor  # int8 [N, C_in, H, W], 0..15
    weight_codes: Tensor  # int8 [C_out, C_in, k, k], −8..7
    stride: int  # pixels
    padding: int  # pixels
    step: Tensor  # float32 [C_out, 1, 1], value of one unit of the integer sum: s_w[c] · s_x
    after: nn.Module  # what follows the convolution, up to where `reference` was captured
    reference: Tensor  # float32 [N, C_out, H', W']
    reference_name: str  # "input of features.29"

    def first(self, count: int) -> "LayerData":
        """The layer on the first `count` inputs."""
        return replace(
            self, activation_codes=self.activation_codes[:count], reference=self.reference[:count]
        )

    @torch.no_grad()
    def recover(self, sums: Tensor) -> Tensor:
        """What `reference` should be, from the integer sums [N, C_out, H', W']; float32."""
        return self.after(sums.float() * self.step)

    def difference(self, sums: Tensor) -> tuple[Tensor, Tensor]:
        """Recovered values minus `reference`, float32 of its shape.

        In their own units, and in steps: the change that one unit of the integer sum makes there.
        """
        difference = self.recover(sums) - self.reference
        gain = self.step
        for module in self.after.modules():
            if isinstance(module, nn.BatchNorm2d):
                scale = module.weight.abs() / (module.running_var + module.eps).sqrt()
                gain = gain * scale.detach()[:, None, None]
        return difference, difference / gain

    def error(self, sums: Tensor) -> tuple[float, float]:
        """The largest difference in both units, without its sign."""
        difference, steps = self.difference(sums)
        return difference.abs().max().item(), steps.abs().max().item()

    def worst(self, sums: Tensor) -> tuple[int, int, int, int]:
        """Where that difference is largest, in its own units: image, channel, y, x."""
        difference = self.difference(sums)[0].abs()
        return tuple(int(i) for i in torch.unravel_index(difference.argmax(), difference.shape))


def layer_data(seen: Capture) -> LayerData:
    """Of a captured layer; judged by the input of the next convolution."""
    layer = seen.layer
    return LayerData(
        seen.name,
        layer.activation_codes(seen.input),
        layer.weight_codes(),
        layer.stride[0],
        layer.padding[0],
        step(layer),
        seen.between,
        seen.next_input,
        f"input of {seen.next_name}",
    )
