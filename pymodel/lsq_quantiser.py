"""Implements the fake-quantiser LSQ (Esser et al., "Learned Step Size Quantization", ICLR 2020).

The symbols of the paper and the names in this file are:

=======  =============================  ========================================================
paper    here                           meaning
=======  =============================  ========================================================
v        `x`                            the float value (a weight or an activation)
s        `scale`                        the learned step size
−Q_N     `low`                          smallest code: −7 for weights, 0 for activations (4 bits)
Q_P      `high`                         largest code:  +7 for weights, 15 for activations
v̄        code                           integer, round(clip(v/s, −Q_N, Q_P)), eq. 1
v̂        fake-quantised value           v̄ · s, eq. 2
g        `gradient_scale`               1/√(N · Q_P), section 2.2
=======  =============================  ========================================================

The weight codes of the paper are −8..7; those of this file are −7..7, so that every code has its
negative. `torch.round` rounds half to even, and so does all other code of this project that makes
codes.
"""

import functools
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

# A scale below zero would change the sign of its layer, and a scale of zero would make all outputs
# zero. The quantiser uses max(scale, SMALLEST_SCALE). The parameter still gets the gradient, so
# that a scale that fell below SMALLEST_SCALE can rise again.
SMALLEST_SCALE = 1e-6


def quantise(x: Tensor, scale: Tensor, low: int, high: int) -> Tensor:
    """Returns the codes of `x`, round(clip(x/scale, low, high)), as float32 whole numbers (eq. 1).

    `scale` must broadcast against `x`. The codes have the shape of `x`.

    >>> quantise(torch.tensor([-9.0, 0.25, 0.75, 1.25, 9.0]), torch.tensor(0.5), -7, 7)
    tensor([-7.,  0.,  2.,  2.,  7.])
    """
    return (x.float() / scale.clamp_min(SMALLEST_SCALE)).clamp(low, high).round()


def _forward(x: Tensor, scale: Tensor, low: int, high: int) -> Tensor:
    """Returns code · scale (eq. 1, 2) in the dtype of `x`. x: [groups, n], scale: [groups, 1]."""
    codes = quantise(x, scale, low, high)
    return (codes * scale.clamp_min(SMALLEST_SCALE)).to(x.dtype)


def _backward(
    grad: Tensor, x: Tensor, scale: Tensor, gradient_scale: Tensor, low: int, high: int
) -> tuple[Tensor, Tensor]:
    """Returns the gradients of the loss by `x` (eq. 5) and by `scale` (eq. 3, times g of 2.2).

    ∂v̂/∂v = 1 where −Q_N < v/s < Q_P, otherwise 0
    ∂v̂/∂s = round(v/s) − v/s  inside;  −Q_N where v/s ≤ −Q_N;  Q_P where v/s ≥ Q_P
    """
    ratio = x.float() / scale.clamp_min(SMALLEST_SCALE)
    inside = (ratio > low) & (ratio < high)
    by_scale = torch.where(inside, ratio.round() - ratio, ratio.clamp(low, high))
    grad_scale = (grad.float() * by_scale).sum(1, keepdim=True) * gradient_scale
    return torch.where(inside, grad, 0.0).to(x.dtype), grad_scale


@functools.cache
def _forward_and_backward(compiled: bool) -> tuple[Callable, Callable]:
    """Returns the forward and the backward function, compiled by torch.compile or not.

    A function that is not compiled reads and writes a tensor about ten times, and a compiled one
    once.
    """
    if not compiled:
        return _forward, _backward
    # Only training compiles, because importing the compiler takes seconds.
    return torch.compile(_forward, dynamic=True), torch.compile(_backward, dynamic=True)


def compiler_works(device: str | torch.device = "cpu") -> bool:
    """Returns whether torch.compile works on this machine, and prints a note if it does not.

    For a CPU, torch.compile needs g++ and the headers of Python.
    """
    quantiser = Quantiser(4, signed=False).to(device)
    quantiser.compiled = True
    try:
        quantiser(torch.rand(2, 3, device=device)).sum().backward()
    except Exception as error:  # its class depends on what is missing: compiler, linker, headers
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        print(f"note: torch.compile does not work here, training takes longer ({reason})")
        return False
    return True


class _FakeQuantise(torch.autograd.Function):
    """The straight-through estimator (eq. 1 to 3 and 5), the only one of the project."""

    @staticmethod
    def forward(ctx, x, scale, gradient_scale, low, high, compiled):
        ctx.save_for_backward(x, scale, gradient_scale)
        ctx.low, ctx.high, ctx.compiled = low, high, compiled
        return _forward_and_backward(compiled)[0](x, scale, low, high)

    @staticmethod
    def backward(ctx, grad):
        backward = _forward_and_backward(ctx.compiled)[1]
        grad_x, grad_scale = backward(grad, *ctx.saved_tensors, ctx.low, ctx.high)
        return grad_x, grad_scale, None, None, None, None


class Quantiser(nn.Module):
    """A fake-quantiser: takes floats and returns floats on the grid `code · scale`.

    `per_channel` is a number of channels, each of which (an index of dimension 0) has a scale of
    its own; weights have a scale for each output channel. If `per_channel` is None, there is one
    scale for the whole tensor; activations have one scale for each layer. Where `compiled` is True,
    training uses torch.compile.
    """

    def __init__(self, bits: int, *, signed: bool, per_channel: int | None = None):
        super().__init__()
        self.bits = bits
        self.low, self.high = code_range(bits, signed=signed)
        shape = () if per_channel is None else (per_channel, 1, 1, 1)
        self.scale = nn.Parameter(torch.ones(shape))
        self.compiled = False

    def forward(self, x: Tensor) -> Tensor:
        """Returns `x` fake-quantised, of the same shape and float dtype (eq. 1 to 3 and 5)."""
        g = torch.full((), self.gradient_scale(x), device=x.device)
        # There is one row per scale, so that one compiled function serves every shape. Activations
        # have one scale, so they are taken in the order of memory, without a copy.
        channels_last = x.ndim == 4 and x.is_contiguous(memory_format=torch.channels_last)
        ordered = x.movedim(1, -1) if channels_last and self.scale.ndim == 0 else x
        rows = ordered.reshape(self.scale.numel(), -1)
        quantised = _FakeQuantise.apply(
            rows, self.scale.reshape(-1, 1), g, self.low, self.high, self.compiled and self.training
        ).reshape(ordered.shape)
        return quantised.movedim(-1, 1) if ordered is not x else quantised

    def codes(self, x: Tensor) -> Tensor:
        """Returns the codes of `x` in `low..high`, of its shape: int8, or int16 if needed."""
        dtype = torch.int8 if self.high < 2**7 else torch.int16
        return quantise(x, self.scale, self.low, self.high).to(dtype)

    def gradient_scale(self, x: Tensor) -> float:
        """Returns g = 1/√(N · Q_P), N being the number of values of `x` that share a scale.

        For weights, N is the number of weights of one output channel; in section 2.2 of the paper,
        where a layer shares one scale, it is N_W. For activations, N is the number N_F of features
        of one image, because the loss averages over the batch.
        """
        shared = x[0].numel()  # dimension 0 is the channel or the image
        return 1.0 / math.sqrt(shared * self.high)

    @torch.no_grad()
    def initialise(self, x: Tensor) -> None:
        """Sets each scale to 2·mean|x|/√Q_P (section 2.1) of the values that share it.

        `x` is float, of any shape, or [channels, in_channels, k, k] with one scale per channel.
        """
        magnitude = x.abs().float()
        mean = magnitude.mean() if self.scale.ndim == 0 else magnitude.mean((1, 2, 3), keepdim=True)
        self.scale.copy_((2 * mean / math.sqrt(self.high)).clamp_min(SMALLEST_SCALE))


def code_range(bits: int, *, signed: bool) -> tuple[int, int]:
    """Returns the smallest and the largest code.

    Signed codes are symmetric (−7..7 for 4 bits), unsigned ones are 0..2^bits − 1. Raises
    ValueError for a number of bits with which there is no code but 0, and for more than 8.
    """
    least = 2 if signed else 1
    if not least <= bits <= 8:
        kind = "signed" if signed else "unsigned"
        raise ValueError(f"{kind} codes of {bits} bits, expected {least} to 8 bits")
    return (1 - 2 ** (bits - 1), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)


class QuantLayer(nn.Module):
    """The base of the quantised layers, whose weights and input activations are fake-quantised.

    The activation quantiser sits inside the layer, so a pre-hook sees the float input. While
    `quantising` is False, as in the float phase of training, the layer is an ordinary one.
    """

    weight: nn.Parameter

    def _add_quantisers(self, bits: int, activation_bits: int | None = None) -> None:
        """Adds quantisers of `bits`; that of the activations has `activation_bits` if given."""
        self.weight_quantiser = Quantiser(bits, signed=True, per_channel=len(self.weight))
        self.activation_quantiser = Quantiser(
            bits if activation_bits is None else activation_bits, signed=False
        )
        self.quantising = True

    @property
    def kernels(self) -> Tensor:
        """The weights, float [out_channels, in_channels, k, k]."""
        return self.weight

    def weight_codes(self) -> Tensor:
        """Returns the weight codes, int8 [out_channels, in_channels, k, k], −7..7 for 4 bits."""
        return self.weight_quantiser.codes(self.kernels)

    def activation_codes(self, x: Tensor) -> Tensor:
        """Returns the integer codes of a float input, of the shape of `x`; 0..15 for 4 bits."""
        return self.activation_quantiser.codes(x)

    def initialise_scales(self, x: Tensor) -> None:
        """Initialises the scale of the activations from `x`, and those of the weights.

        `x` is a float input of the layer.
        """
        self.activation_quantiser.initialise(x)
        self.weight_quantiser.initialise(self.kernels)


class QuantConv2d(QuantLayer, nn.Conv2d):
    """A convolution without bias whose weights and input activations are fake-quantised.

    Both have codes of `bits`, or the activations of `activation_bits`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        bits: int,
        activation_bits: int | None = None,
        **convolution,
    ):
        super().__init__(in_channels, out_channels, bias=False, **convolution)
        self._add_quantisers(bits, activation_bits)

    def forward(self, x: Tensor) -> Tensor:
        """Returns the output [N, out_channels, H', W'] for float `x` [N, in_channels, H, W]."""
        if not self.quantising:
            return super().forward(x)
        return self._conv_forward(
            self.activation_quantiser(x), self.weight_quantiser(self.weight), None
        )


class QuantLinear(QuantLayer, nn.Linear):
    """A linear layer whose weights and input are fake-quantised; its bias, if any, is float.

    An array computes it as a 1 × 1 convolution on maps of one pixel.
    """

    def __init__(self, in_features: int, out_features: int, *, bits: int, bias: bool = True):
        super().__init__(in_features, out_features, bias=bias)
        self._add_quantisers(bits)

    @property
    def kernels(self) -> Tensor:
        """The weights, float [out_features, in_features, 1, 1]."""
        return self.weight[:, :, None, None]

    def forward(self, x: Tensor) -> Tensor:
        """Returns the output [N, …, out_features] for float `x` [N, …, in_features]."""
        if not self.quantising:
            return super().forward(x)
        weight = self.weight_quantiser(self.kernels).flatten(1)
        return functional.linear(self.activation_quantiser(x), weight, self.bias)


def quantised_layers(model: nn.Module) -> dict[str, QuantConv2d | QuantLinear]:
    """Returns the quantised layers of `model` by name, in the order of their definition."""
    return {n: m for n, m in model.named_modules() if isinstance(m, QuantLayer)}


def set_quantising(model: nn.Module, quantising: bool) -> None:
    """Makes every quantisable layer of `model` quantise or not. A float layer learns no scales."""
    for layer in quantised_layers(model).values():
        layer.quantising = quantising
        for quantiser in (layer.weight_quantiser, layer.activation_quantiser):
            quantiser.requires_grad_(quantising)


@torch.no_grad()
def initialise_scales(model: nn.Module, images: Tensor) -> None:
    """Initialises all scales from the weights and from one float forward pass of `images`.

    `images` is an input of the model, for example float [N, 3, H, W]. All layers quantise after
    the call.
    """
    layers = quantised_layers(model).values()

    set_quantising(model, False)
    hooks = [
        layer.register_forward_pre_hook(lambda layer, inputs: layer.initialise_scales(inputs[0]))
        for layer in layers
    ]
    training = model.training
    model.eval()
    model(images)
    model.train(training)
    for hook in hooks:
        hook.remove()
    set_quantising(model, True)
