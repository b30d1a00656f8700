"""Holds a quantised layer on some inputs: integers for an array, and floats that judge its sums.

The array multiplies codes as they are. A code means (code − zero point) · scale, so the sum of the
products of the values is that of the codes less what the zero points add:
Σ (a − z_a)(w − z_w) = Σ a·w − z_a Σ w − z_w Σ a + n·z_a·z_w (Jacob et al., "Quantization and
Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference", CVPR 2018, eq. 7).
"""

import copy
import math
import random
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from pymodel.convolution import Convolution, pair, single
from pymodel.layer_capture import Capture
from pymodel.reference.integer_convolution import bordered, integer_convolution, step

MAX_ABS_ERROR = 1e-3  # largest error of a recovered value, in the units of the reference
MAX_ERROR_STEPS = 0.01  # largest error of a recovered value, in steps of the integer sum
WINDOW = 8  # rows and columns of output pixels in a sample
ROUNDING = 2.0**-24  # unit roundoff of float32
# The factors of a product are rounded, and perhaps the scale that was found; the bias is added.
MORE_ROUNDINGS = 6


class AddBias(nn.Module):
    """Adds the bias, float32 [C_out], to the scaled sums of an exported layer."""

    def __init__(self, bias: Tensor):
        super().__init__()
        self.register_buffer("bias", bias)

    def forward(self, x: Tensor) -> Tensor:
        """Returns `x`, float [N, C_out, H, W], plus the bias of each channel."""
        return x + self.bias[:, None, None]


@dataclass(frozen=True)
class LayerData:
    """A quantised layer on N inputs, whatever network or file the layer comes from."""

    name: str
    activation_codes: Tensor  # int16 [N, C_in, H, W], 0 to 2^activation_bits − 1
    weight_codes: Tensor  # int8 [C_out, C_in / groups, kh, kw], of weight_bits in two's complement
    convolution: Convolution
    step: Tensor  # float32 [C_out, 1, 1], value of one unit of the integer sum: s_w[c] · s_x
    after: nn.Module  # what follows the convolution, up to where `reference` was captured
    reference: Tensor  # float32 [N, C_out, H', W']
    reference_name: str  # what `reference` is, such as "input of features.29"
    activation_bits: int = 4
    weight_bits: int = 4
    zero: int = 0  # zero point of the activations: the code that means 0, also in the border
    weight_zeros: Tensor | None = None  # float64 [C_out], zero points, halves too; None: all are 0

    def first(self, count: int) -> "LayerData":
        """Returns the layer on its first `count` inputs."""
        return self._inputs(slice(count))

    def only(self, number: int) -> "LayerData":
        """Returns the layer on one of its inputs; the first has number 0."""
        return self._inputs(slice(number, number + 1))

    def _inputs(self, some: slice) -> "LayerData":
        """Returns the layer on some of its inputs."""
        return replace(
            self, activation_codes=self.activation_codes[some], reference=self.reference[some]
        )

    def for_array(self, signed: bool) -> "LayerData":
        """Returns the layer with the codes that an array takes.

        An array of unsigned activations takes the codes as they are. An array of signed activations
        takes the codes less their zero point, so that 0 means 0.
        """
        if not signed or not self.zero:
            return self
        return replace(self, activation_codes=self.activation_codes - self.zero, zero=0)

    def sums(self) -> Tensor:
        """Returns the sums of the products of codes by PyTorch, int64 [N, C_out, H', W']."""
        return self._convolve(self.activation_codes, self.weight_codes)

    def without_zero_points(self, sums: Tensor) -> Tensor:
        """Returns `sums` [N, C_out, H', W'] less what the zero points add, float64 and exact."""
        sums = sums.double()
        if self.zero:
            of_weights = self.weight_codes.double().sum((1, 2, 3))
            sums = sums - self.zero * of_weights[:, None, None]
        if self.weight_zeros is not None:
            codes = self._convolve(self.activation_codes, torch.ones_like(self.weight_codes))
            count = self.weight_codes[0].numel()
            sums = sums - self.weight_zeros[:, None, None] * (codes - count * self.zero)
        return sums

    def sampled(self, pixels: int, seed: int) -> "LayerData":
        """Returns the layer on windows that hold about `pixels` of its output pixels.

        The windows have at most WINDOW × WINDOW output pixels each and take the place of the
        images. The first four are the corners of the first map, the seed draws the others. The
        border is a part of their maps, so the padding is 0. A layer that has no more output pixels
        is returned as it is.
        """
        images, _, *sides = self.reference.shape
        if pixels >= images * math.prod(sides):
            return self
        window = [min(WINDOW, side) for side in sides]
        last = [side - size for side, size in zip(sides, window, strict=True)]
        count = -(-pixels // math.prod(window))
        places = [(0, y, x) for y in (0, last[0]) for x in (0, last[1])][:count]
        draw = random.Random(seed)
        while len(places) < count:
            places.append((draw.randrange(images), *(draw.randint(0, side) for side in last)))
        stride, padding, dilation = map(pair, self.convolution[:3])
        numbers = zip(self.weight_codes.shape[2:], window, stride, dilation, strict=True)
        needed = [(size - 1) * s + (k - 1) * d + 1 for k, size, s, d in numbers]
        padded = bordered(self.activation_codes, padding, self.zero)
        codes, references = [], []
        for image, y, x in places:
            top, left = y * stride[0], x * stride[1]
            codes.append(padded[image, :, top : top + needed[0], left : left + needed[1]])
            references.append(self.reference[image, :, y : y + window[0], x : x + window[1]])
        return replace(
            self,
            activation_codes=torch.stack(codes),
            reference=torch.stack(references),
            convolution=self.convolution._replace(padding=0),
        )

    @torch.no_grad()
    def recover(self, sums: Tensor) -> Tensor:
        """Returns the recovered values of integer sums [N, C_out, H', W'], float64.

        What zero points add is taken off, the sums are scaled by `step`, and `after` is applied.
        The result is to be compared with `reference`, whose shape it has.
        """
        scaled = self.without_zero_points(sums) * self.step.double()
        return copy.deepcopy(self.after).double()(scaled)

    def difference(self, sums: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the recovered values of `sums` minus `reference`, in two units.

        The first result is in the units of `reference`, the second in steps. A step is the change
        that one unit of the integer sum makes in a recovered value. Both are float64, of the shape
        of `reference`.
        """
        difference = self.recover(sums) - self.reference
        return difference, difference / self.gain

    @property
    def gain(self) -> Tensor:
        """Returns the size of a step in the units of `reference`, float32 [C_out, 1, 1]."""
        gain = self.step
        for module in self.after.modules():
            if isinstance(module, nn.BatchNorm2d):
                scale = module.weight.abs() / (module.running_var + module.eps).sqrt()
                gain = gain * scale.detach()[:, None, None]
        return gain

    def allowed(self) -> Tensor:
        """Returns the limit of the error of a recovered value, float64, in units of `reference`.

        It is MAX_ABS_ERROR or MAX_ERROR_STEPS, whichever is less. Where `reference` is the output
        of the operation itself, the limit is at least the error that a summation of n products in
        float32 may have, in whatever order: γ_n Σ |a||w| with γ_n = n·u / (1 − n·u) (Higham,
        Accuracy and Stability of Numerical Algorithms, 2nd ed., eq. 3.5). The result has the shape
        of `reference`, or one that broadcasts to it.
        """
        limit = (MAX_ERROR_STEPS * self.gain.double()).clamp_max(MAX_ABS_ERROR)
        if not isinstance(self.after, AddBias):
            return limit
        weights = self.weight_codes.double()
        if self.weight_zeros is not None:
            weights = weights - self.weight_zeros[:, None, None, None]
        # Whole numbers, or halves of odd ones, which are doubled to be whole
        sizes = self._convolve(
            (self.activation_codes.double() - self.zero).abs(), 2 * weights.abs(), zero=0
        )
        products = sizes / 2 * self.step.double() + self.after.bias.double().abs()[:, None, None]
        rounded = (self.weight_codes[0].numel() + MORE_ROUNDINGS) * ROUNDING
        return torch.maximum(limit, rounded / (1 - rounded) * products)

    def share(self, sums: Tensor) -> float:
        """Returns the largest error of a recovered value, as a share of what is allowed there."""
        return (self.difference(sums)[0].abs() / self.allowed()).max().item()

    def agrees(self, sums: Tensor) -> bool:
        """Returns whether the recovered values of `sums` are as near to `reference` as allowed."""
        return self.share(sums) < 1

    def _convolve(self, activations: Tensor, weights: Tensor, zero: int | None = None) -> Tensor:
        """Returns the integer convolution of the layer's geometry, with its zero in the border."""
        zero = self.zero if zero is None else zero
        return integer_convolution(activations, weights, *self.convolution, zero=zero)

    def error(self, sums: Tensor) -> tuple[float, float]:
        """Returns the largest absolute difference, in the units of `reference` and in steps."""
        difference, steps = self.difference(sums)
        return difference.abs().max().item(), steps.abs().max().item()

    def worst(self, sums: Tensor) -> tuple[int, int, int, int]:
        """Returns image, channel, y and x of the largest error as a share of its limit."""
        difference = self.difference(sums)[0].abs() / self.allowed()
        return tuple(int(i) for i in torch.unravel_index(difference.argmax(), difference.shape))


def layer_data(seen: Capture) -> LayerData:
    """Returns the layer data of a captured layer; the input of the next convolution judges it."""
    layer = seen.layer
    return LayerData(
        seen.name,
        layer.activation_codes(seen.input),
        layer.weight_codes(),
        Convolution(single(layer.stride), single(layer.padding)),
        step(layer),
        seen.between,
        seen.next_input,
        f"input of {seen.next_name}",
        layer.activation_quantiser.bits,
        layer.weight_quantiser.bits,
    )
