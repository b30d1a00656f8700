"""Holds a quantised layer on some inputs: integers for an array, and floats that judge its sums."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from pymodel.layer_capture import Capture
from pymodel.reference.integer_convolution import step

MAX_ABS_ERROR = 1e-3  # largest error of a recovered value, in the units of the reference
MAX_ERROR_STEPS = 0.01  # largest error of a recovered value, in steps of the integer sum


@dataclass(frozen=True)
class LayerData:
    """A quantised layer on N inputs, whatever network or file the layer comes from."""

    name: str
    activation_codes: Tensor  # int8 [N, C_in, H, W], 0..15
    weight_codes: Tensor  # int8 [C_out, C_in, k, k], −8..7
    stride: int  # pixels
    padding: int  # pixels
    step: Tensor  # float32 [C_out, 1, 1], value of one unit of the integer sum: s_w[c] · s_x
    after: nn.Module  # what follows the convolution, up to where `reference` was captured
    reference: Tensor  # float32 [N, C_out, H', W']
    reference_name: str  # what `reference` is, such as "input of features.29"

    def first(self, count: int) -> "LayerData":
        """Returns the layer on its first `count` inputs."""
        return replace(
            self, activation_codes=self.activation_codes[:count], reference=self.reference[:count]
        )

    @torch.no_grad()
    def recover(self, sums: Tensor) -> Tensor:
        """Returns the recovered values of integer sums [N, C_out, H', W'], float32.

        The sums are scaled by `step`, and `after` is applied. The result is to be compared with
        `reference`, whose shape it has.
        """
        return self.after(sums.float() * self.step)

    def difference(self, sums: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the recovered values of `sums` minus `reference`, in two units.

        The first result is in the units of `reference`, the second in steps. A step is the change
        that one unit of the integer sum makes in a recovered value. Both are float32, of the shape
        of `reference`.
        """
        difference = self.recover(sums) - self.reference
        gain = self.step
        for module in self.after.modules():
            if isinstance(module, nn.BatchNorm2d):
                scale = module.weight.abs() / (module.running_var + module.eps).sqrt()
                gain = gain * scale.detach()[:, None, None]
        return difference, difference / gain

    def error(self, sums: Tensor) -> tuple[float, float]:
        """Returns the largest absolute difference, in the units of `reference` and in steps."""
        difference, steps = self.difference(sums)
        return difference.abs().max().item(), steps.abs().max().item()

    def worst(self, sums: Tensor) -> tuple[int, int, int, int]:
        """Returns image, channel, y and x of the largest difference in the units of `reference`."""
        difference = self.difference(sums)[0].abs()
        return tuple(int(i) for i in torch.unravel_index(difference.argmax(), difference.shape))


def layer_data(seen: Capture) -> LayerData:
    """Returns the layer data of a captured layer; the input of the next convolution judges it."""
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
