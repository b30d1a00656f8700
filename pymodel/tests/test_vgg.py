"""The network has the layers, channels and map sizes that the array needs."""

import torch
from torch import nn

from pymodel.lsq_quantiser import QuantConv2d, quantised_layers
from pymodel.vgg import VGG16


def test_layers():
    model = VGG16()
    convolutions = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
    assert len(convolutions) == 13
    assert all(m.bias is None for m in convolutions)
    assert type(model.features[0]) is nn.Conv2d
    assert type(model.classifier) is nn.Linear
    assert len(quantised_layers(model)) == 12
    sizes = {
        i: (model.features[i].in_channels, model.features[i].out_channels) for i in (24, 27, 29)
    }
    assert sizes == {24: (256, 8), 27: (8, 8), 29: (8, 512)}
    assert all(isinstance(model.features[i], QuantConv2d) for i in sizes)


def test_batchnorm_everywhere_but_after_the_squeezed_layer():
    features = VGG16().features
    for index, module in enumerate(features):
        if isinstance(module, nn.Conv2d):
            expected = nn.ReLU if index == 27 else nn.BatchNorm2d
            assert isinstance(features[index + 1], expected)


def test_other_widths():
    """Weights and activations have bits of their own; the squeezed layer has the given channels."""
    model = VGG16(weight_bits=4, activation_bits=2, squeeze=16)
    layer = model.features[27]
    assert layer.weight.shape[:2] == (16, 16)
    assert (layer.weight_quantiser.high, layer.activation_quantiser.high) == (7, 3)
    assert isinstance(model.features[28], nn.ReLU)


def test_the_ordinary_network_has_batchnorm_everywhere():
    features = VGG16(squeeze=None).features
    assert features[27].weight.shape[:2] == (512, 512)
    assert isinstance(features[28], nn.BatchNorm2d)


def test_squeezed_layer_works_on_4x4_maps():
    model = VGG16().eval()
    shapes = []
    model.features[27].register_forward_pre_hook(lambda _, x: shapes.append(x[0].shape))
    assert model(torch.zeros(2, 3, 32, 32)).shape == (2, 10)
    assert shapes == [(2, 8, 4, 4)]
