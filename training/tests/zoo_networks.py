"""Holds networks of the kinds that people bring, and the outcome that their layers must have."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from pymodel.lsq_quantiser import initialise_scales, quantised_layers
from pymodel.own_network.tests import pytorch_networks
from pymodel.own_network.tests.zoo import SIGNS, Fake, conv, inputs, weighted
from pymodel.vgg import VGG16
from training.examples.brevitas_cnn import brevitas_cnn
from training.examples.resnet20 import resnet20


@dataclass(frozen=True)
class Network:
    """A network, and the outcome that each of its layers must have."""

    make: Callable[[], nn.Module]
    fitting: tuple[str, ...]  # names of the layers that fit
    inputs: Callable[[], Tensor] = inputs
    # A part of the reason why a layer does not fit, by the layer's name
    why_not: dict[str, str] = field(default_factory=dict)


def initialised(model: nn.Module, x: Tensor) -> nn.Module:
    """Returns a network of this project's quantisers with scales from some inputs."""
    initialise_scales(model, x)
    return model


def images() -> Tensor:
    """Returns float32 [2, 3, 32, 32]."""
    return inputs(2, 3, 32, 32)


class Separable(nn.Module):
    """A block of a MobileNet: expansion, a depthwise layer, a projection, and a shortcut."""

    def __init__(self):
        super().__init__()
        self.quant, self.wide, self.deep = Fake(8, signed=True), Fake(4), Fake(4)
        self.expand, self.project = conv(3, 12, 1), conv(12, 3, 1)
        self.depthwise = conv(12, 12, 3, padding=1, groups=12)

    def forward(self, x):
        x = self.quant(x)
        y = self.wide(nn.functional.relu6(self.expand(x)))
        return x + self.project(self.deep(nn.functional.relu6(self.depthwise(y))))


class UNet(nn.Module):
    """Goes down and up again, and joins maps of one scale."""

    def __init__(self):
        super().__init__()
        self.quant = Fake(4)
        self.down, self.low = conv(3, 8, 3, padding=1), conv(8, 8, 3, padding=1)
        self.up = weighted(nn.ConvTranspose2d(8, 8, 2, stride=2))
        self.last = conv(16, 4, 3, padding=1)

    def forward(self, x):
        a = self.quant(self.down(self.quant(x)))
        b = self.quant(self.low(nn.functional.max_pool2d(a, 2)))
        return self.last(torch.cat([a, self.quant(self.up(b))], 1))


class Joined(nn.Module):
    """Joins maps of two quantisers with scales of their own."""

    def __init__(self):
        super().__init__()
        self.one, self.other = Fake(4), Fake(3)
        self.a, self.b, self.last = conv(3, 4, 1), conv(3, 4, 3, padding=1), conv(8, 4, 1)

    def forward(self, x):
        x = self.one(x)
        return self.last(torch.cat([self.one(self.a(x)), self.other(self.b(x)) * 0.77], 1))


class Encoder(nn.Module):
    """A layer of a transformer, whose attention is a product of activations."""

    def __init__(self):
        super().__init__()
        self.quant, self.relu = Fake(8, signed=True), Fake(8)
        for name in ("query", "key", "value", "out", "down"):
            setattr(self, name, weighted(nn.Linear(16, 16), -127, 127, 0.003))
        self.norm = nn.LayerNorm(16)

    def forward(self, x):
        y = self.quant(self.norm(x))
        attention = (self.query(y) @ self.key(y).transpose(1, 2)).softmax(2)
        y = x + self.out(self.quant(attention @ self.value(y)))
        return y + self.down(self.relu(y.relu()))


class Temporal(nn.Module):
    """Convolves in time, each output from the past alone."""

    def __init__(self):
        super().__init__()
        self.quant = Fake(8, signed=True)
        self.layers = nn.ModuleList(weighted(nn.Conv1d(4, 4, 3, dilation=2**n)) for n in range(3))

    def forward(self, x):
        for number, layer in enumerate(self.layers):
            x = layer(nn.functional.pad(self.quant(x), (2 * 2**number, 0)))
        return x


class Larger(nn.Module):
    """Doubles the size of an image by a pixel shuffle in its forward pass."""

    def __init__(self):
        super().__init__()
        self.quant = Fake(8)
        self.inner, self.outer = conv(3, 12, 3, padding=1), conv(3, 3, 3, padding=1)

    def forward(self, x):
        x = nn.functional.pixel_shuffle(self.inner(self.quant(x)), 2)
        return self.outer(self.quant(x))


class Twins(nn.Module):
    """Sees two parts of its input with the same layers."""

    def __init__(self):
        super().__init__()
        self.see = nn.Sequential(Fake(4), conv(3, 6, 3))

    def forward(self, x):
        return (self.see(x[:, :, :4]) - self.see(x[:, :, 3:])).abs()


class Recurrent(nn.Module):
    """An LSTM, whose products are inside one operation, and a linear layer on its states."""

    def __init__(self):
        super().__init__()
        self.lstm, self.quant = nn.LSTM(5, 8, batch_first=True), Fake(8, signed=True)
        self.fc = weighted(nn.Linear(8, 3))

    def forward(self, x):
        return self.fc(self.quant(self.lstm(x)[0]))


def trained(model: nn.Module) -> nn.Module:
    """Returns a network of Brevitas after a forward pass in training, which sets its scales."""
    torch.manual_seed(0)
    model.train()(images())
    return model


def binary() -> nn.Module:
    """Returns a network of signs, with a linear layer of floats at its end."""
    torch.manual_seed(4)
    first, second = nn.Conv2d(3, 8, 3, bias=False), nn.Conv2d(8, 8, 1, bias=False)
    for layer in (first, second):
        layer.weight.data = torch.where(layer.weight.data > 0, 0.21, -0.21)
    norm = nn.BatchNorm2d(8)
    norm.running_mean.uniform_(-0.3, 0.3)
    return nn.Sequential(SIGNS, first, norm, SIGNS, second, nn.Flatten(), nn.Linear(160, 4))


def named(model: nn.Module) -> tuple[str, ...]:
    """Returns the names of the layers of this project's quantisers."""
    return tuple(quantised_layers(model))


NOT_QUANTISED = "its activations are not quantised"
NETWORKS = {
    "VGG16": Network(
        lambda: initialised(VGG16(), images()),
        named(VGG16()),
        images,
        {"features.0": NOT_QUANTISED, "classifier": NOT_QUANTISED},
    ),
    "ResNet-20": Network(
        lambda: initialised(resnet20(), images()),
        named(resnet20()),
        images,
        {"conv1": NOT_QUANTISED},
    ),
    "Brevitas": Network(
        lambda: trained(brevitas_cnn()), ("3", "6", "10"), images, {"0": NOT_QUANTISED}
    ),
    "MobileNet": Network(Separable, ("expand", "depthwise", "project")),
    "U-Net": Network(UNet, ("down", "low", "up", "last"), lambda: inputs(2, 3, 8, 6)),
    "joined scales": Network(Joined, ("a", "b"), why_not={"last": "several scales, expected one"}),
    "transformer": Network(
        Encoder, ("query", "key", "value", "out", "down"), lambda: inputs(2, 5, 16)
    ),
    "temporal": Network(Temporal, tuple(f"layers.{n}" for n in range(3)), lambda: inputs(2, 4, 11)),
    "pixel shuffle": Network(Larger, ("inner", "outer")),
    "twins": Network(Twins, ("see.1", "see.1:2")),
    "recurrent": Network(
        Recurrent,
        ("fc",),
        lambda: inputs(2, 4, 5),
        {"lstm": "its matrix products are inside one operation"},
    ),
    "binary": Network(binary, ("1", "4"), why_not={"6": "its weights are not quantised"}),
    "torch.ao in training": Network(
        lambda: pytorch_networks.of_graphs(qat=True, convert=""),
        tuple(pytorch_networks.LAYERS),
        pytorch_networks.inputs,
    ),
    "PT2E": Network(
        lambda: pytorch_networks.pt2e(qat=True),
        tuple(pytorch_networks.LAYERS),
        pytorch_networks.inputs,
    ),
}
