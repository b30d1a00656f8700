"""Pre-hooks see what the convolutions get; names that do not fit are refused."""

from collections import OrderedDict

import pytest
import torch
from torch import nn

from pymodel.images import normalise
from pymodel.layer_capture import capture, find_layer, find_next
from pymodel.lsq_quantiser import QuantConv2d, QuantLinear
from pymodel.support.errors import InputError


def test_squeezed_layer(shipped, images):
    """Running the network in two halves gives the two inputs that were captured."""
    seen = capture(shipped, images.images[:4])
    with torch.no_grad():
        before = shipped.features[:27](normalise(images.images[:4]))
        after = shipped.features[27:29](before.clone())
    assert torch.equal(seen.input, before)
    assert torch.equal(seen.next_input, after)
    assert seen.next_name == "features.29"
    assert [type(m) for m in seen.between] == [nn.ReLU]
    assert seen.input.dtype == seen.next_input.dtype == torch.float32


def test_no_hook_stays(shipped, images):
    capture(shipped, images.images[:1])
    assert not any(m._forward_pre_hooks for m in shipped.modules())


def test_float32_even_under_autocast(shipped, images):
    plain = capture(shipped, images.images[:2])
    with torch.autocast("cpu", torch.bfloat16):
        inside = capture(shipped, images.images[:2])
    assert torch.equal(plain.next_input, inside.next_input)


def test_cudnn_computes_without_tf32(shipped, images):
    """During the pass cuDNN is in use, and rounds no input to TF32; the setting then comes back."""
    cudnn, settings = torch.backends.cudnn, []
    before = cudnn.enabled, cudnn.allow_tf32
    hook = shipped.features[27].register_forward_pre_hook(
        lambda *_: settings.append((cudnn.enabled, cudnn.allow_tf32))
    )
    try:
        with cudnn.flags(enabled=True, allow_tf32=True):
            capture(shipped, images.images[:1])
    finally:
        hook.remove()
    assert settings == [(True, False)]
    assert (cudnn.enabled, cudnn.allow_tf32) == before


def test_what_is_captured_keeps_no_graph(shipped, images):
    """The inputs are plain numbers, and do not hold the activations of all layers in memory."""
    seen = capture(shipped, images.images[:1])
    assert any(parameter.requires_grad for parameter in shipped.parameters())
    assert not seen.input.requires_grad
    assert not seen.next_input.requires_grad


def test_what_lies_between_includes_batchnorm_and_pool(shipped):
    name, between = find_next(shipped, "features.20")
    assert name == "features.24"
    assert [type(m) for m in between] == [nn.BatchNorm2d, nn.ReLU, nn.MaxPool2d]


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("features.99", "not in the network"),
        ("features.0", "a Conv2d"),
        ("classifier", "a Linear"),
        ("features.28", "a ReLU"),
        ("", "a VGG16"),
    ],
)
def test_not_a_quantised_convolution(shipped, name, found):
    with pytest.raises(InputError, match=found) as error:
        find_layer(shipped, name)
    assert "features.27" in str(error.value)  # the choices
    assert "\n" not in str(error.value)


def test_a_quantised_linear_layer_is_no_convolution():
    model = nn.Sequential(QuantConv2d(1, 1, bits=4, kernel_size=1), QuantLinear(1, 1, bits=4))
    with pytest.raises(InputError, match=r"a QuantLinear, expected .* convolution: 0$"):
        find_layer(model, "1")


def test_any_sequential_will_do():
    """The nn.Sequential may be the whole network, and its children may have names."""
    first, second = (QuantConv2d(1, 1, bits=4, kernel_size=1) for _ in range(2))
    assert find_next(nn.Sequential(first, nn.ReLU(), second), "0")[0] == "2"
    named = nn.Sequential(OrderedDict(a=first, b=nn.ReLU(), c=second))
    assert find_next(nn.ModuleDict({"body": named}), "body.a")[0] == "body.c"


def test_last_convolution_has_no_next_one(shipped):
    with pytest.raises(InputError, match="last convolution"):
        find_next(shipped, "features.39")
