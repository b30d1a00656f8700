"""Holds layers of each kind that people bring, and the outcome that each must have.

The kinds are those of the table "What fits" in docs/own-network.md, and the quantisers that the
export knows. Each network has one layer of interest; the tests of this room judge the layers, and
those of tb/run run them on the RTL.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from pymodel.lsq_quantiser import QuantConv2d, QuantLinear, initialise_scales
from pymodel.own_network.factory import load_quantiser
from pymodel.own_network.fit import Fit, FitError, fit_layers, judge
from pymodel.own_network.onnx_file import products_of
from pymodel.own_network.tests import pytorch_networks

MAP = (2, 3, 7, 6)  # inputs of most networks: images, channels, rows, columns


def inputs(*shape: int) -> Tensor:
    """Returns random float32 numbers, the same each time, from −1 to 1."""
    return torch.rand(shape or MAP, generator=torch.Generator().manual_seed(3)) * 2 - 1


class Fake(nn.Module):
    """Fake-quantises activations by the operation of PyTorch, as most training tools do."""

    def __init__(self, bits: int = 4, *, signed: bool = False, zero: int = 0, narrow: bool = False):
        super().__init__()
        low = -(2 ** (bits - 1)) if signed else 0
        high = low + 2**bits - 1
        self.numbers = (1.7 / 2**bits, zero, low + narrow, high)

    def forward(self, x):
        return torch.fake_quantize_per_tensor_affine(x, *self.numbers)


class Values(nn.Module):
    """Gives activations by a function, so that no operation states their grid."""

    def __init__(self, function: Callable[[Tensor], Tensor]):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def weighted(layer: nn.Module, low: int = -7, high: int = 7, scale: float | Tensor = 0.03):
    """Returns a layer with random whole weights, from `low` to `high`, times a scale."""
    draw = torch.Generator().manual_seed(5)
    codes = torch.randint(low, high + 1, layer.weight.shape, generator=draw)
    codes.view(-1)[:2] = torch.tensor([low, high])
    layer.weight.data = codes * scale
    if layer.bias is not None:
        layer.bias.data = torch.randn(layer.bias.shape, generator=draw)
    return layer


def conv(*sizes, **settings) -> nn.Module:
    """Returns a convolution of random weights of 4 bits, by default 3 → 5 channels, 3 × 3."""
    return weighted(nn.Conv2d(*(sizes or (3, 5, 3)), **settings))


def net(layer: nn.Module, before: nn.Module | None = None) -> nn.Module:
    """Returns a network of a quantiser, by default of 4 bits, and a layer."""
    return nn.Sequential(before or Fake(), layer)


def odd(bits: int) -> nn.Module:
    """Returns a convolution of odd codes alone, as DoReFa has them: 2q − (2ⁿ − 1)."""
    layer = weighted(nn.Conv2d(3, 5, 3), 0, 2**bits - 1, 1.0)
    layer.weight.data = (2 * layer.weight.data - (2**bits - 1)) * 0.01
    return layer


def per_channel(layer: nn.Module) -> nn.Module:
    """Returns the layer with another scale for each output channel."""
    scales = torch.arange(2, len(layer.weight) + 2).sqrt() * 0.013
    return weighted(layer, -7, 7, scales.reshape(-1, *[1] * (layer.weight.ndim - 1)))


def asymmetric(bits: int) -> nn.Module:
    """Returns a convolution each of whose channels spans all codes, from another zero point on."""
    layer = nn.Conv2d(3, 5, 3)
    codes = torch.randint(
        0, 2**bits, layer.weight.shape, generator=torch.Generator().manual_seed(7)
    )
    codes[:, 0, 0, 0], codes[:, 0, 0, 1] = 0, 2**bits - 1
    zeros = torch.tensor([0, 2**bits - 1, 1, 2 ** (bits - 1), 5]).reshape(-1, 1, 1, 1)
    layer.weight.data = (codes - zeros) * torch.arange(2, 7).sqrt().reshape(-1, 1, 1, 1) * 0.01
    return layer


def powers_of_two(low: int, high: int) -> nn.Module:
    """Returns a convolution whose scale is another power of two for each channel."""
    layer = weighted(nn.Conv2d(3, 5, 3), low, high, 1.0)
    layer.weight.data[:, 0, 0, 0], layer.weight.data[:, 0, 0, 1] = low, high
    layer.weight.data *= 2.0 ** -torch.arange(3, 8).reshape(-1, 1, 1, 1)
    return layer


def blocks(size: int, count: int) -> Tensor:
    """Returns `count` scales, the same for each block of `size`."""
    return torch.arange(2, 2 + count // size).sqrt().repeat_interleave(size)


class Function(nn.Module):
    """Computes by a function of activations and a weight, as hand-written layers do."""

    def __init__(self, shape: tuple[int, ...], function: Callable[[Tensor, Tensor], Tensor]):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.empty(shape)), None
        self.function = function
        weighted(self)

    def forward(self, x):
        return self.function(x, self.weight)


class WeightZero(nn.Conv2d):
    """Fake-quantises its weights to 8 bits with a zero point, as TFLite's old models are."""

    def forward(self, x):
        weight = torch.fake_quantize_per_tensor_affine(self.weight, 0.004, 97, 0, 255)
        return functional.conv2d(x, weight, self.bias)


class Transposed(nn.Linear):
    """Works on tokens that are transposed, with weights that are quantised on the way."""

    def forward(self, x):
        weight = torch.fake_quantize_per_tensor_affine(self.weight, 0.02, 0, -8, 7)
        return functional.linear(x.transpose(1, 2), weight, self.bias)


class Padded(nn.Conv2d):
    """Pads its map with a function, and more on one side than on the other."""

    def forward(self, x):
        return super().forward(functional.pad(x, (0, 1, 2, 1)))


class Tuple(nn.Conv2d):
    """Returns the output beside something else."""

    def forward(self, x):
        return super().forward(x), x


class Each(nn.Conv2d):
    """Works on the maps one after another."""

    def forward(self, x):
        return torch.stack([super(Each, self).forward(one) for one in x])


class First(nn.Module):
    """Takes the first of several outputs."""

    def forward(self, x):
        return x[0]


def own(layer: nn.Module) -> nn.Module:
    """Returns a layer of this project's quantisers, with scales from some inputs."""
    model = nn.Sequential(Values(torch.relu), layer)
    initialise_scales(model, inputs())
    return model


def brevitas(kind: str, *sizes, bits: int = 4, activation: str = "", **settings) -> nn.Module:
    """Returns a layer of Brevitas, with plain tensors between the layers, which is its default."""
    import brevitas.nn as qnn
    from brevitas import quant

    torch.manual_seed(2)
    before = qnn.QuantReLU(bit_width=bits)
    if activation:
        before = qnn.QuantIdentity(act_quant=getattr(quant, activation))
    if "weight_quant" in settings:
        settings["weight_quant"] = getattr(quant, settings["weight_quant"])
    layer = getattr(qnn, kind)(*sizes, weight_bit_width=bits, **settings)
    model = nn.Sequential(before, layer)
    model(inputs())  # in training mode, which sets the scales
    return model


def dynamic() -> nn.Module:
    """Returns a convolution of activations whose scale Brevitas computes from each input."""
    import brevitas.nn as qnn
    from brevitas_examples.common.generative.quantizers import Int8DynamicActPerTensorFloat

    return net(conv(), qnn.QuantIdentity(act_quant=Int8DynamicActPerTensorFloat))


class Dorefa(nn.Conv2d):
    """Quantises by DoReFa-Net's formulas, 2 bits of weights and of activations."""

    w_bits = a_bits = 2

    def forward(self, x):
        x = (x.clamp(0, 1) * 3).round() / 3
        weight = torch.tanh(self.weight)
        weight = weight / (2 * weight.abs().max()) + 0.5
        return functional.conv2d(x, 2 * ((weight * 3).round() / 3) - 1, self.bias)


def onnx(folder: Path, *, integers: bool = False) -> tuple[Path, Tensor]:
    """Returns an ONNX file, of QDQ pairs or of QLinearConv, as onnxruntime writes it."""
    from onnxruntime import quantization

    path, floats = folder / "quantised.onnx", folder / "float.onnx"
    model = nn.Sequential(nn.Conv2d(3, 5, 3, stride=2), nn.ReLU(), nn.Conv2d(5, 4, 2)).eval()
    one = inputs()[:1]
    torch.onnx.export(model, (one,), str(floats), input_names=["x"], dynamo=False)

    class Reader(quantization.CalibrationDataReader):
        def __init__(self):
            self.left = [{"x": x[None].numpy()} for x in inputs()]

        def get_next(self):
            return self.left.pop() if self.left else None

    kind = quantization.QuantFormat
    quantization.quantize_static(
        str(floats),
        str(path),
        Reader(),
        quant_format=kind.QOperator if integers else kind.QDQ,
        per_channel=not integers,
    )
    return path, inputs()


@dataclass(frozen=True)
class Animal:
    """A network, and the outcome that each of its layers must have."""

    make: Callable[[], nn.Module]
    inputs: Callable[[], Tensor] = inputs
    why_not: str = ""  # a part of the reason why its layer does not fit
    quantiser: str = ""  # package.module:function
    bits: tuple[int, int] | None = None  # of an activation and of a weight
    large: bool = False  # whether float32's rounding may hide a code that is one beside

    def judged(self, folder: Path, change: Callable = lambda product: product) -> list:
        """Returns the `Fit` or `FitError` of each product, after a change of the product."""
        quantiser = load_quantiser(self.quantiser) if self.quantiser else None
        made, x = self.make, self.inputs()
        if getattr(made, "func", made) is onnx:
            path, x = made(folder)
            return [judge(change(p), len(x), quantiser) for p in products_of(path, x)]
        model = pytorch_networks.quietly(made)
        with _changed(change):
            return [*fit_layers(model, x, quantiser=quantiser).values()]

    def layers(self, folder: Path) -> list[Fit]:
        """Returns the layers, all of which fit."""
        found = self.judged(folder)
        wrong = [str(one) for one in found if isinstance(one, FitError)]
        assert found, "no layer"
        assert not wrong, wrong
        return found


def _changed(change: Callable):
    """Returns a context in which each product is changed before it is judged."""
    import pytest

    from pymodel.own_network import fit

    patch = pytest.MonkeyPatch()
    patch.setattr(fit, "judge", lambda product, *rest: judge(change(product), *rest))
    return _Undone(patch)


class _Undone:
    """Undoes a patch at the end of a with statement."""

    def __init__(self, patch):
        self.patch = patch

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.patch.undo()


SIGNS = Values(lambda x: torch.where(x < 0, -1.0, 1.0))
RELU8 = Fake(8)
ZOO = {
    # Weights
    "binary weights": Animal(lambda: net(weighted(nn.Conv2d(3, 5, 3), 0, 1, 1.0)), bits=(4, 2)),
    "weights of one sign": Animal(lambda: net(odd(1)), bits=(4, 2)),
    "ternary weights": Animal(lambda: net(weighted(nn.Conv2d(3, 5, 3), -1, 1)), bits=(4, 2)),
    "weights of 3 bits": Animal(lambda: net(weighted(nn.Conv2d(3, 5, 3), -4, 3)), bits=(4, 3)),
    "weights of 5 bits": Animal(lambda: net(weighted(nn.Conv2d(3, 5, 3), -16, 15)), bits=(4, 5)),
    "weights of 8 bits": Animal(lambda: net(weighted(nn.Conv2d(3, 5, 3), -128, 127)), bits=(4, 8)),
    "a scale per channel": Animal(lambda: net(per_channel(nn.Conv2d(3, 5, 3)))),
    "odd codes of 2 bits": Animal(lambda: net(odd(2)), bits=(4, 2)),
    "odd codes of 4 bits": Animal(lambda: net(odd(4)), bits=(4, 4)),
    "zero point of weights": Animal(lambda: net(WeightZero(3, 5, 3))),
    "weights of 256 levels, most of one sign": Animal(
        lambda: net(weighted(nn.Conv2d(3, 5, 3), -40, 215)), bits=(4, 8)
    ),
    "weights with a zero point per channel": Animal(lambda: net(asymmetric(8)), bits=(4, 8)),
    "weights of 4 bits with zero points": Animal(lambda: net(asymmetric(4)), bits=(4, 4)),
    "codes of a symmetric quantiser that are lopsided": Animal(
        lambda: net(weighted(nn.Conv2d(3, 5, 3), -3, 4)), bits=(4, 4)
    ),
    "scales of powers of two": Animal(lambda: net(powers_of_two(-127, 127)), bits=(4, 8)),
    "2 bits, scales of powers of two": Animal(lambda: net(powers_of_two(-2, 1)), bits=(4, 2)),
    "weights far from 0": Animal(
        lambda: net(weighted(nn.Conv2d(3, 5, 3), 100, 300)),
        why_not="its weights and 0 lie on a grid of 301 levels, which are 9 bits",
    ),
    "weights of 9 bits": Animal(
        lambda: net(weighted(nn.Conv2d(3, 5, 3), -255, 255)), why_not="weights"
    ),
    # Activations
    "activations of 1 bit": Animal(lambda: net(conv(), Fake(1)), bits=(1, 4)),
    "activations of 2 bits": Animal(lambda: net(conv(), Fake(2)), bits=(2, 4)),
    "activations of 8 bits": Animal(lambda: net(conv(), RELU8), bits=(8, 4)),
    "8 by 8 bits": Animal(lambda: net(weighted(nn.Conv2d(3, 5, 3), -127, 127), RELU8), bits=(8, 8)),
    "signed activations": Animal(lambda: net(conv(), Fake(4, signed=True)), bits=(4, 4)),
    "signed, narrow": Animal(lambda: net(conv(), Fake(4, signed=True, narrow=True)), bits=(4, 4)),
    "signed 8 bits": Animal(lambda: net(conv(padding=1), Fake(8, signed=True)), bits=(8, 4)),
    "zero point": Animal(lambda: net(conv(padding=2), Fake(8, zero=117)), bits=(8, 4)),
    "signs with a border": Animal(lambda: net(conv(padding=1), SIGNS), bits=(2, 4)),
    "signs without a border": Animal(lambda: net(conv(), SIGNS)),
    "a scale per channel, depthwise": Animal(
        lambda: net(
            conv(3, 6, 3, groups=3),
            Values(lambda x: (x.relu() * 15).round() * torch.tensor([1, 0.3, 2]).view(3, 1, 1)),
        )
    ),
    "a scale per channel of activations": Animal(
        lambda: net(
            conv(), Values(lambda x: (x * 9).round() * torch.tensor([1, 0.37, 2.2]).view(3, 1, 1))
        ),
        why_not="its activations have several scales, expected one",
    ),
    "odd activations of 8 bits": Animal(
        lambda: net(conv(3, 5, 1), Values(lambda x: 2 * ((x + 1) * 127.5).round() - 255)),
        lambda: (inputs(2, 3, 40, 40) * 1.05).clamp(-1, 1),
        why_not="its activations and 0 lie on a grid of",
    ),
    "activations far from 0": Animal(
        lambda: net(conv(), Values(lambda x: ((x * 7).round() + 300) * 0.01)),
        why_not="its activations and 0 lie on a grid of",
    ),
    "one row of floats": Animal(
        lambda: net(weighted(nn.Linear(19, 7)), nn.Identity()),
        lambda: inputs(1, 19),
        why_not="its activations are not quantised",
    ),
    "a few floats, depthwise": Animal(
        lambda: net(conv(3, 6, 1, groups=3), nn.Identity()),
        lambda: inputs(1, 3, 1, 2),
        why_not="its activations are not quantised",
    ),
    "a grid beside 0": Animal(
        lambda: net(conv(), Values(lambda x: (x * 7).round() * 0.1 + 0.033)),
        why_not="but 0 is neither on it nor in the middle of a step",
    ),
    "sparse floats": Animal(
        lambda: net(conv(), Values(lambda x: (x - 0.8).relu())),
        why_not="its activations are not quantised",
    ),
    "a scale per image": Animal(
        lambda: net(conv(), Values(lambda x: (x * 9).round() * torch.rand(len(x), 1, 1, 1))),
        why_not="its activations have a scale for each input, expected one",
    ),
    "a scale per input channel of weights": Animal(
        lambda: net(weighted(nn.Linear(9, 30), -7, 7, torch.arange(2, 11).sqrt())),
        lambda: inputs(3, 9),
        why_not="its weights have a scale for each input channel",
    ),
    "a scale per block of weights": Animal(
        lambda: net(weighted(nn.Linear(64, 3), -7, 7, blocks(16, 64))),
        lambda: inputs(3, 64),
        why_not="its weights have a scale for each block of 16",
    ),
    "floats": Animal(lambda: net(conv(), nn.Identity()), why_not="activations are not quantised"),
    # Geometry
    "1 × 1": Animal(lambda: net(conv(3, 9, 1))),
    "5 × 5, stride 2": Animal(lambda: net(conv(3, 5, 5, stride=2, padding=2))),
    "sides that differ": Animal(
        lambda: net(conv(3, 5, (1, 4), stride=(2, 1), padding=(0, 2), dilation=(1, 1)))
    ),
    "same, even kernel": Animal(lambda: net(conv(3, 5, (2, 4), padding="same"))),
    "padding of one side": Animal(lambda: net(weighted(Padded(3, 5, 3)))),
    "reflected border": Animal(lambda: net(conv(padding=2, padding_mode="reflect"))),
    "circular border": Animal(lambda: net(conv(padding=1, padding_mode="circular"))),
    "dilation": Animal(lambda: net(conv(dilation=(2, 1), padding=1))),
    "groups": Animal(lambda: net(conv(3, 9, 3, groups=3, padding=1))),
    "transposed": Animal(
        lambda: net(weighted(nn.ConvTranspose2d(3, 4, 3, stride=2, padding=1, output_padding=1)))
    ),
    "transposed, groups": Animal(
        lambda: net(weighted(nn.ConvTranspose2d(3, 6, (2, 3), stride=(1, 2), groups=3)))
    ),
    "1D": Animal(
        lambda: net(weighted(nn.Conv1d(3, 5, 4, stride=2, dilation=2, padding=3))),
        lambda: inputs(2, 3, 17),
    ),
    "1D, transposed": Animal(
        lambda: net(weighted(nn.ConvTranspose1d(3, 4, 3, stride=2, padding=1))),
        lambda: inputs(2, 3, 11),
    ),
    "a kernel of 33": Animal(
        lambda: net(conv(3, 2, (33, 1), padding=(16, 0))),
        why_not="its kernel is 33×1, expected sides from 1 to 32",
    ),
    "a dilation of 70": Animal(
        lambda: net(conv(3, 2, 2, dilation=(1, 70), padding=(0, 40))),
        why_not="its dilation is 1×70, expected sides from 1 to 64",
    ),
    "3D": Animal(
        lambda: net(weighted(nn.Conv3d(3, 4, 2))),
        lambda: inputs(2, 3, 4, 5, 4),
        why_not="expected a 1D or 2D convolution or a linear layer",
    ),
    "linear": Animal(lambda: net(weighted(nn.Linear(19, 7))), lambda: inputs(3, 19)),
    "linear on tokens": Animal(lambda: net(weighted(nn.Linear(19, 7))), lambda: inputs(2, 5, 19)),
    "linear on maps": Animal(lambda: net(weighted(nn.Linear(6, 7)))),
    "function": Animal(
        lambda: net(Function((5, 3, 3, 3), lambda x, w: functional.conv2d(x, w, padding=1)))
    ),
    "matrix product": Animal(
        lambda: net(Function((19, 7), torch.matmul)), lambda: inputs(2, 5, 19)
    ),
    "linear on transposed tokens": Animal(
        lambda: net(Transposed(19, 7), Fake()), lambda: inputs(2, 19, 5)
    ),
    "linear on a transposed map": Animal(
        lambda: nn.Sequential(
            Fake(), Values(lambda x: x.permute(0, 2, 3, 1)), weighted(nn.Linear(3, 5))
        )
    ),
    "weights on the left of a batch": Animal(
        lambda: net(Function((7, 19), lambda x, w: w @ x)), lambda: inputs(2, 19, 5)
    ),
    "unfolded": Animal(
        lambda: net(Function((5, 27), lambda x, w: w @ functional.unfold(x, 3, padding=1)))
    ),
    "a batch of products and a bias": Animal(
        lambda: net(
            Function(
                (19, 7), lambda x, w: torch.baddbmm(torch.arange(7.0), x, w.expand(len(x), -1, -1))
            )
        ),
        lambda: inputs(2, 5, 19),
    ),
    "a product and a bias, scaled": Animal(
        lambda: net(
            Function((19, 7), lambda x, w: torch.addmm(torch.arange(7.0), x, w, beta=2, alpha=0.3))
        ),
        lambda: inputs(4, 19),
    ),
    "a product and a shortcut": Animal(
        lambda: net(Function((19, 7), lambda x, w: torch.addmm(x[:, :7], x, w))),
        lambda: inputs(1, 19),
    ),
    "a product of weights on the left and a bias": Animal(
        lambda: net(
            Function((7, 19), lambda x, w: torch.addmm(torch.arange(7.0)[:, None], w, x.t()))
        ),
        lambda: inputs(7, 19),
    ),
    "matrix times vector": Animal(
        lambda: net(Function((19,), torch.matmul)), lambda: inputs(4, 19)
    ),
    "weights on the left": Animal(
        lambda: net(Function((7, 19), lambda x, w: w @ x.t())), lambda: inputs(4, 19)
    ),
    "einsum": Animal(
        lambda: net(Function((7, 19), partial(torch.einsum, "btc,oc->bto"))),
        lambda: inputs(2, 5, 19),
    ),
    "frames that are maps": Animal(
        lambda: nn.Sequential(Fake(), nn.Flatten(0, 1), conv()), lambda: inputs(2, 4, 3, 6, 5)
    ),
    "a layer that is called for each image": Animal(lambda: net(weighted(Each(3, 5, 3)))),
    "a linear layer for each image": Animal(
        lambda: net(
            Function((7, 19), lambda x, w: torch.stack([functional.linear(one, w) for one in x]))
        ),
        lambda: inputs(3, 19),
    ),
    "a layer that returns more": Animal(
        lambda: nn.Sequential(Fake(), weighted(Tuple(3, 5, 3)), First())
    ),
    # Sums
    "25,088 inputs": Animal(
        lambda: net(weighted(nn.Linear(25_088, 2), -128, 127), RELU8),
        lambda: inputs(1, 25_088).abs(),
        large=True,
    ),
    "4,608 positive weights": Animal(
        lambda: net(weighted(nn.Linear(4_608, 2), 1, 127), RELU8),
        lambda: inputs(1, 4_608).abs(),
        large=True,
    ),
    # Quantisers
    "ours, 4 bits": Animal(
        lambda: own(QuantConv2d(3, 5, bits=4, kernel_size=3, padding=1)), bits=(4, 4)
    ),
    "ours, 3 bits, linear": Animal(lambda: own(QuantLinear(6, 5, bits=3)), bits=(3, 3)),
    "Brevitas": Animal(lambda: brevitas("QuantConv2d", 3, 5, 3), bits=(4, 4)),
    "Brevitas, 8 bits signed": Animal(
        lambda: brevitas(
            "QuantConv2d", 3, 5, 3, bits=8, activation="Int8ActPerTensorFloat", padding=1
        )
    ),
    "Brevitas, zero point": Animal(
        lambda: brevitas(
            "QuantConv2d", 3, 5, 3, bits=8, activation="ShiftedUint8ActPerTensorFloat", padding=1
        )
    ),
    "Brevitas, binary": Animal(
        lambda: brevitas(
            *("QuantConv2d", 3, 5, 3),
            weight_quant="SignedBinaryWeightPerTensorConst",
            activation="SignedBinaryActPerTensorConst",
            bits=1,
        ),
        bits=(2, 2),
    ),
    "Brevitas, scales from each input": Animal(
        dynamic, why_not="it computes new scales for its activations in each pass"
    ),
    "Brevitas, transposed": Animal(lambda: brevitas("QuantConvTranspose2d", 3, 5, 3, stride=2)),
    "torch.ao": Animal(pytorch_networks.eager, pytorch_networks.inputs),
    "PT2E": Animal(pytorch_networks.pt2e, pytorch_networks.inputs),
    "plug-in": Animal(
        lambda: nn.Sequential(Dorefa(3, 5, 3)), quantiser="training.examples.quantisers:dorefa"
    ),
    "ONNX, QDQ": Animal(onnx),
    "ONNX, QLinearConv": Animal(partial(onnx, integers=True)),
}
