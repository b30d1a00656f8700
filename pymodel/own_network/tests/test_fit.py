"""A layer that fits gives its output back from integers; any other says in one line why not."""

from dataclasses import replace

import brevitas.nn as qnn
import pytest
import torch
from brevitas.quant import (
    Int8Bias,
    Int8WeightPerChannelFloat,
    ShiftedUint8ActPerTensorFloat,
    SignedBinaryWeightPerTensorConst,
    Uint8ActPerTensorFloat,
)
from torch import nn

from pymodel.convolution import Convolution, pair
from pymodel.lsq_quantiser import QuantConv2d, Quantiser, QuantLinear, initialise_scales
from pymodel.own_network.export import layer_rows, table
from pymodel.own_network.fit import UNUSED, Fit, FitError, fit_layers, layers_of
from pymodel.own_network.layer_file import save_layers

IMAGES = 3
BINARY = SignedBinaryWeightPerTensorConst
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # PyTorch and Brevitas warn


def own(*layers: nn.Module) -> nn.Module:
    """Returns a model of layers with this project's quantisers; their scales use all codes."""
    torch.manual_seed(1)
    model = nn.Sequential(*layers)
    initialise_scales(model, inputs())
    for module in model.modules():
        if isinstance(module, QuantConv2d | QuantLinear):
            scale = module.kernels.detach().abs().amax((1, 2, 3), keepdim=True)
            module.weight_quantiser.scale.data = scale / module.weight_quantiser.high
    return model


def convolution(bits: int = 4, **settings) -> QuantConv2d:
    return QuantConv2d(4, 6, bits=bits, **{"kernel_size": 3} | settings)


def brevitas(layer: nn.Module, **activation) -> nn.Module:
    """Returns a model of `layer` behind an activation of Brevitas that has seen some values."""
    torch.manual_seed(1)
    activation = {"bit_width": 4, "return_quant_tensor": True} | activation
    model = nn.Sequential(qnn.QuantReLU(**activation), layer)
    model(inputs())
    return model


def run(*layers: nn.Module) -> nn.Module:
    """Returns a model of layers that have seen some values."""
    model = nn.Sequential(*layers)
    model(inputs())
    return model


def brevitas_convolution(**settings) -> nn.Module:
    settings = {"weight_bit_width": 4, "padding": 1} | settings
    return qnn.QuantConv2d(4, 6, 3, **settings)


def inputs() -> torch.Tensor:
    return torch.rand(IMAGES, 4, 8, 7, generator=torch.Generator().manual_seed(2))


def fitted(model: nn.Module) -> Fit | FitError:
    """Returns what `fit_layers` finds for the last layer of `model` that runs on `inputs()`."""
    found = fit_layers(model, inputs())
    return [one for one in found.values() if str(one) != UNUSED][-1]


def fits(model: nn.Module, requantised: bool = False) -> Fit:
    """Asserts that the last layer fits, and that its integers give its own output.

    With `requantised`, the output of the model must differ from that of the layer's sums.
    """
    found = fitted(model)
    assert isinstance(found, Fit), found
    layer = found.layer
    sums = layer.sums()
    assert layer.reference.abs().max() > 0
    assert layer.agrees(sums)
    assert not layer.agrees(sums + 1)
    assert layer.error(sums + 1)[1] == pytest.approx(1, rel=0.05)
    with torch.no_grad():
        output = model(inputs())
    if isinstance(output, torch.Tensor) and output.ndim == 4 and output.shape[1] == 6:
        assert torch.equal(layer.reference, output) != requantised
    return found


@pytest.mark.parametrize("bits", [2, 3, 4, 5, 8])
def test_bits(bits):
    layer = fits(own(convolution(bits))).layer
    assert (layer.weight_bits, layer.activation_bits) == (bits, bits)
    assert layer.weight_codes.abs().max() == 2 ** (bits - 1) - 1


@pytest.mark.parametrize(
    ("settings", "stride", "padding"),
    [
        ({"stride": 2, "padding": 1}, 2, 1),
        ({"kernel_size": 1, "stride": 2}, 2, 0),
        ({"kernel_size": 5, "padding": 3, "stride": 3}, 3, 3),
        ({"padding": "same"}, 1, 1),
        ({"padding": "valid", "stride": 2}, 2, 0),
        ({"kernel_size": 2, "padding": "same"}, 1, 0),  # the padded border is part of the map
        ({"padding": 1, "padding_mode": "circular"}, 1, 0),
        ({"kernel_size": (3, 1), "padding": (1, 0)}, 1, (1, 0)),
        ({"stride": (1, 2), "padding": 1}, (1, 2), 1),
    ],
)
def test_geometry(settings, stride, padding):
    layer = fits(own(convolution(**settings))).layer
    assert layer.convolution == Convolution(stride, padding)


@pytest.mark.parametrize(
    ("settings", "dilation", "groups"),
    [
        ({"dilation": 2, "padding": 2}, 2, 1),
        ({"dilation": (2, 1)}, (2, 1), 1),
        ({"groups": 2, "padding": 1}, 1, 2),
    ],
)
def test_dilation_and_groups(settings, dilation, groups):
    layer = fits(own(convolution(**settings))).layer
    assert (layer.convolution.dilation, layer.convolution.groups) == (dilation, groups)
    assert layer.weight_codes.shape[1] == 4 // groups


def test_a_depthwise_layer_may_have_a_scale_for_each_channel():
    model = own(QuantConv2d(4, 8, bits=4, kernel_size=3, groups=4, padding=1))
    assert fits(model).layer.convolution.groups == 4
    model[0].activation_quantiser = Scales(torch.tensor([0.05, 0.0613, 0.0717, 0.0831]))
    layer = fits(model).layer
    assert layer.step.flatten().unique().numel() == 8


class Scales(nn.Module):
    """Quantises maps to 4 bits with a scale for each channel."""

    def __init__(self, scale: torch.Tensor):
        super().__init__()
        self.scale = scale[:, None, None]

    def forward(self, x):
        return (x / self.scale).round().clamp(0, 15) * self.scale


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"stride": 2, "padding": 1, "output_padding": 1},
        {"stride": (2, 3), "padding": 3, "dilation": (2, 1), "groups": 2},
        {"kernel_size": (1, 4), "stride": 3, "bias": False},
    ],
)
def test_a_transposed_convolution_is_one_of_a_map_with_zeros_between(settings):
    torch.manual_seed(4)
    layer = nn.ConvTranspose2d(4, 6, **{"kernel_size": 3} | settings)
    layer.weight.data = torch.randint(-7, 8, layer.weight.shape) * 0.125
    found = fits(nn.Sequential(Rounded(), layer))
    assert found.layer.convolution.stride == 1
    assert tuple(map(pair, found.transposed)) == (layer.stride, layer.padding)
    (row,) = layer_rows({"layer": found})
    words = f"{'×'.join(map(str, layer.kernel_size))}, transposed, stride "
    assert words in table([row])


@pytest.mark.parametrize("kind", [nn.Conv1d, nn.ConvTranspose1d])
def test_a_1d_convolution_has_maps_of_one_row(kind):
    torch.manual_seed(4)
    layer = kind(4, 6, 3, stride=2, padding=1)
    layer.weight.data = torch.randint(-7, 8, layer.weight.shape) * 0.125
    found = fits(nn.Sequential(nn.Flatten(2), Rounded(), layer)).layer
    assert found.weight_codes.shape == (6, 4, 1, 3)
    assert found.reference.shape[2] == 1


class Affine(nn.Module):
    """Fake-quantises with a scale, a zero point, and the smallest and the largest code."""

    def __init__(self, numbers):
        super().__init__()
        self.numbers = numbers

    def forward(self, x):
        return torch.fake_quantize_per_tensor_affine(x, *self.numbers)


@pytest.mark.parametrize(
    ("numbers", "bits", "zero"),
    [
        ((1 / 255, 0, 0, 255), 8, 0),
        ((1 / 255, 128, 0, 255), 8, 128),
        ((1 / 120, 0, -128, 127), 8, 128),
        ((1 / 14, 7, 0, 15), 4, 7),
        ((0.5, 0, -1, 1), 2, 2),
        ((1 / 15, -8, -8, 7), 4, 0),  # the zero point lies at the end, and no code is below it
    ],
)
@pytest.mark.parametrize("padding", [0, 1])
def test_activations_with_a_zero_point(numbers, bits, zero, padding):
    """The codes are those of the quantiser, shifted to begin at 0; the border has the code of 0."""
    layer = weighted(nn.Conv2d(4, 6, 3, padding=padding))
    model = nn.Sequential(Below() if zero else nn.Identity(), Affine(numbers), layer)
    found = fits(model).layer
    assert (found.activation_bits, found.zero) == (bits, zero)


@pytest.mark.parametrize("bits", [1, 3, 7])
def test_activations_without_a_code_for_0(bits):
    """Codes like −3, −1, 1, 3 have a zero point of a half: the steps are halved, and 0 has one."""
    most = 2**bits - 1

    class Odd(nn.Module):
        def forward(self, x):
            return (2 * ((x.clamp(-1, 1) + 1) / 2 * most).round() - most) * 0.25

    def quantiser(module, values, kind):
        return ((values / 0.25 + most) / 2, 0.5, most / 2) if kind == "activation" else None

    model = nn.Sequential(Odd(), weighted(nn.Conv2d(4, 6, 3, padding=1)))
    (found,) = fit_layers(model, inputs() * 2 - 1, quantiser=quantiser).values()
    assert isinstance(found, Fit), found
    assert found.activations.widened
    assert found.layer.activation_bits == bits + 1
    values = (found.layer.activation_codes - found.layer.zero) * 0.25
    assert torch.equal(values, Odd()(inputs() * 2 - 1))
    assert found.layer.agrees(found.layer.sums())


def weighted(layer: nn.Module, scale: float = 0.125, least: int = -7, most: int = 7) -> nn.Module:
    """Returns the layer with random weights, whole multiples of `scale`."""
    torch.manual_seed(5)
    layer.weight.data = torch.randint(least, most + 1, layer.weight.shape) * scale
    return layer


def test_a_zero_point_of_the_weights():
    """Codes of 8 bits that do not fit when their zero point is taken off stay as they are."""
    layer = weighted(nn.Conv2d(4, 6, 3, padding=1), 0.01, -20, 235)
    found = fits(nn.Sequential(Affine((1 / 14, 7, 0, 15)), Quantised(layer, 0.01, 20))).layer
    assert found.weight_bits == 8
    assert found.weight_zeros.tolist() == [20 - 128] * 6
    layer.weight.data.clamp_(-0.2, 1.07)
    found = fits(nn.Sequential(Affine((1 / 14, 7, 0, 15)), Quantised(layer, 0.01, 20))).layer
    assert found.weight_zeros is None


class Quantised(nn.Module):
    """Fake-quantises the weights of a convolution to 8 bits, with a zero point."""

    def __init__(self, layer: nn.Conv2d, scale: float, zero: int):
        super().__init__()
        self.layer, self.numbers = layer, (scale, zero, 0, 255)

    def forward(self, x):
        weight = torch.fake_quantize_per_tensor_affine(self.layer.weight, *self.numbers)
        return nn.functional.conv2d(x, weight, self.layer.bias, padding=self.layer.padding)


@pytest.mark.parametrize(("bits", "halves"), [(1, False), (2, True), (4, True), (8, True)])
def test_odd_weight_codes_as_of_dorefa(bits, halves):
    """The weights 2q − (2ⁿ − 1) have the codes q, of n bits, with a zero point of a half."""
    layer = nn.Conv2d(4, 6, 3, padding=1)
    torch.manual_seed(6)
    codes = torch.randint(0, 2**bits, layer.weight.shape)
    codes.view(-1)[:2] = torch.tensor([0, 2**bits - 1])
    layer.weight.data = (2 * codes - (2**bits - 1)) * 0.01
    found = fits(nn.Sequential(Rounded(), layer)).layer
    assert found.weight_bits == max(2, bits)
    assert (found.weight_zeros is not None) == halves


class OneBeside(nn.Module):
    """Moves one of a million values off its grid, by a small part of a step."""

    def forward(self, x):
        x = torch.fake_quantize_per_tensor_affine(x, 1 / 255, 0, 0, 255)
        x = x.repeat(1, 1, 64, 64)[:1, :, :512]
        x[0, 2, 300, 333] += 0.002 / 255
        return x


def test_a_quantiser_of_too_many_bits_is_said():
    """The message names the bits, although the values lie beside their grid.

    The rounding of float32 moves values of 16 bits further from their grid than the tolerance
    allows.
    """

    class Wide(nn.Module):
        def forward(self, x):
            return torch.fake_quantize_per_tensor_affine(x, 1 / 65535, 0, 0, 65535)

    model = nn.Sequential(Wide(), weighted(nn.Conv2d(4, 6, 1)))
    assert str(fitted(model)) == "its activations have 16 bits, expected at most 8"


def test_one_value_in_a_million_beside_its_grid_is_found():
    model = nn.Sequential(OneBeside(), weighted(nn.Conv2d(4, 6, 1)))
    (found,) = fit_layers(model, inputs()[:1]).values()
    assert isinstance(found, FitError)
    assert "do not lie on the grid of a quantiser before it (scale 0.003922)" in str(found)


def test_stride_and_dilation_are_not_exchanged():
    """Stride 2 and dilation 2 give outputs of the same size here, but different sums."""
    layer = fits(nn.Sequential(Rounded(), weighted(nn.Conv2d(4, 6, 4, stride=2, padding=1)))).layer
    exchanged = replace(layer, convolution=layer.convolution._replace(stride=1, dilation=2))
    assert exchanged.sums().shape == layer.reference.shape
    assert not exchanged.agrees(exchanged.sums())


def test_float32_may_round_the_sums_of_many_products():
    """25,088 inputs with a mean: the rounding of float32 is more than a hundredth of a step."""
    model = nn.Sequential(
        nn.AdaptiveAvgPool2d((49, 64)),
        nn.Flatten(),
        Affine((1 / 255, 0, 0, 255)),
        weighted(nn.Linear(4 * 49 * 64, 6), 0.001, 0, 127),
    )
    found = fitted(model)
    assert isinstance(found, Fit), found
    layer = found.layer
    assert (layer.allowed() > 0.01 * layer.step.double()).all()
    worse = replace(layer, reference=layer.reference * (1 + 4e-3))
    assert not worse.agrees(worse.sums())


def test_linear_layer_is_a_convolution_of_one_pixel():
    layer = fits(own(nn.Flatten(), QuantLinear(4 * 8 * 7, 5, bits=4))).layer
    assert layer.activation_codes.shape == (IMAGES, 224, 1, 1)
    assert layer.weight_codes.shape == (5, 224, 1, 1)
    assert layer.reference.shape == (IMAGES, 5, 1, 1)
    assert layer.after.bias.abs().min() > 0


def test_linear_layer_on_more_dimensions():
    """In [N, …, features], as a transformer has, all dimensions between the two are pixels."""
    layer = fits(own(QuantLinear(7, 5, bits=4, bias=False))).layer
    assert layer.activation_codes.shape == (IMAGES, 7, 4 * 8, 1)
    assert layer.reference.shape == (IMAGES, 5, 4 * 8, 1)


def test_one_scale_for_all_weights():
    model = own(convolution())
    model[0].weight_quantiser = Quantiser(4, signed=True)
    model[0].weight_quantiser.scale.data.fill_(0.02)
    assert fits(model).layer.step.shape == (6, 1, 1)


class Anywhere(nn.Module):
    """Layers outside nn.Sequential, among operations that must not change what is captured."""

    def __init__(self):
        super().__init__()
        self.parts = nn.ModuleDict({"first": convolution(padding=1)})
        self.norm = nn.BatchNorm2d(6)
        self.second = QuantConv2d(6, 6, bits=4, kernel_size=1)
        self.training_only = convolution()
        self.by_name = False

    def forward(self, x):
        x = nn.functional.dropout(x, 0.5, self.training)
        first = self.parts["first"](x)
        x.zero_()  # the layer has already used x
        first.relu_()  # overwrites the layer's output
        if self.training:
            self.training_only(x)
        second = self.norm(first).relu_()
        return self.second(x=second) if self.by_name else self.second(second)


def test_any_module_in_training_mode_and_with_operations_in_place():
    model = own(Anywhere()).train()
    model[0].norm.running_var.fill_(0.3)
    model[0].by_name = True
    found = fit_layers(model, inputs(), list(layers_of(model)))
    assert all(isinstance(found[f"0.{n}"], Fit) for n in ("parts.first", "second"))
    assert str(found["0.training_only"]) == "the forward pass does not call it"
    reference = found["0.parts.first"].layer.reference
    assert reference.min() < 0 < reference.max()
    assert found["0.second"].layer.activation_codes.max() > 0
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_float32_whatever_is_set_around():
    model = own(convolution())
    torch.set_float32_matmul_precision("medium")
    try:
        with torch.autocast("cpu", torch.bfloat16):
            found = fitted(model)
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")
    assert isinstance(found, Fit), found


class WithGradients(nn.Sequential):
    @torch.enable_grad()
    def forward(self, x):
        return super().forward(x)


class Inference(nn.Sequential):
    @torch.inference_mode()
    def forward(self, x):
        return super().forward(x)


@pytest.mark.parametrize("kind", [WithGradients, Inference])
def test_whatever_the_model_does_about_gradients(kind, tmp_path):
    model = kind(*own(nn.Flatten(), QuantLinear(4 * 8 * 7, 5, bits=4)))
    found = fits(model)
    save_layers(tmp_path / "layers", {"1": found.layer}, "test")


class Autocast(nn.Sequential):
    def forward(self, x):
        with torch.autocast("cpu", torch.bfloat16):
            return super().forward(x)


class Below(nn.Module):
    """Makes values of both signs."""

    def forward(self, x):
        return x - 0.5


class Infinite(nn.Module):
    """Makes values that no quantiser can take, but only in evaluation."""

    def forward(self, x):
        return x if self.training else x / torch.zeros_like(x).relu()


class Rounded(nn.Module):
    """Quantises to 15 steps without a quantiser that says so."""

    def forward(self, x):
        return (x * 15).round() / 15


class Twice(nn.Sequential):
    def forward(self, x):
        return super().forward(x) + super().forward(x)


def changed(model: nn.Module, change) -> nn.Module:
    """Returns `model` after `change` has changed its last layer."""
    change(list(layers_of(model).values())[-1])
    return model


def scale(quantiser: str, value: float):
    return lambda layer: getattr(layer, quantiser).scale.data.view(-1)[-1:].fill_(value)


def per_channel(layer):
    layer.activation_quantiser = Quantiser(4, signed=False, per_channel=3)
    layer.activation_quantiser.scale.data[:, 0, 0, 0] = torch.tensor([0.1, 0.1317, 0.1733])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda: nn.Sequential(Affine((1 / 999, 0, 0, 999)), weighted(nn.Conv2d(4, 6, 3))),
            "its activations have 10 bits, expected at most 8",
        ),
        (lambda: changed(own(convolution()), per_channel), "its activations have several scales"),
        (
            lambda: nn.Conv2d(4, 6, 3),
            "its activations are not quantised to 8 bits or fewer: they do not lie on a grid",
        ),
        (lambda: nn.Linear(7, 2), "its activations are not quantised"),
        (
            lambda: nn.Sequential(Rounded(), nn.Conv2d(4, 6, 3)),
            "its weights are not quantised to 8 bits or fewer: they do not lie on a grid of at "
            "most 256 levels",
        ),
        (lambda: nn.Sequential(nn.Unflatten(1, (2, 2)), nn.Conv3d(2, 1, 2)), "[1, 2, 2, 2, 2]"),
        (
            lambda: changed(own(convolution()), lambda m: setattr(m, "quantising", False)),
            "its activations are not quantised",
        ),
        (lambda: Autocast(*own(convolution())), "its activations are torch.bfloat16, expected"),
        (
            lambda: changed(own(convolution()), lambda m: m.weight.data.zero_()),
            "its weights are all 0, so a comparison would prove nothing",
        ),
        (
            lambda: changed(own(convolution()), scale("activation_quantiser", 100.0)),
            "its activations are all 0, so a comparison would prove nothing",
        ),
        (
            lambda: changed(own(convolution()), scale("weight_quantiser", float("nan"))),
            "its weights hold NaN or infinity",
        ),
        (
            lambda: changed(own(convolution()), scale("weight_quantiser", torch.inf)),
            "its weights hold NaN or infinity",
        ),
        (lambda: own(Infinite(), convolution()), "its activations hold NaN or infinity"),
        (
            lambda: nn.Sequential(
                nn.AdaptiveAvgPool2d((400, 100)),
                nn.Flatten(),
                Affine((1 / 255, 0, 0, 255)),
                weighted(nn.Linear(160_000, 1), 0.01, 1, 127),
            ),
            "more than 32 bits hold",
        ),
    ],
)
def test_why_not(make, words):
    found = fitted(make())
    assert isinstance(found, FitError)
    assert words in str(found)
    assert "\n" not in str(found)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"stride": 2, "bias": False},
        {"weight_quant": Int8WeightPerChannelFloat, "weight_bit_width": 3},
        {"weight_quant": Int8WeightPerChannelFloat, "bias_quant": Int8Bias},
        {"weight_narrow_range": False},
        {"output_quant": Uint8ActPerTensorFloat},
        {"padding": "same"},
    ],
)
def test_brevitas_convolution(settings):
    """Layers fit with weight scales per tensor or channel, biases, and a quantised output."""
    found = fits(brevitas(brevitas_convolution(**settings)), "output_quant" in settings)
    bits = found.layer.weight_bits
    assert bits == settings.get("weight_bit_width", 4)
    low = found.layer.weight_codes.min()
    assert low == (-8 if "weight_narrow_range" in settings else 1 - 2 ** (bits - 1))
    assert bool(found.layer.after.bias.any()) == settings.get("bias", True)


def test_brevitas_input_quantiser_and_quant_tensor_output():
    layer = brevitas_convolution(
        input_quant=Uint8ActPerTensorFloat, input_bit_width=3, return_quant_tensor=True
    )
    found = fits(brevitas(layer, return_quant_tensor=False))
    assert found.layer.activation_bits == 3


def test_brevitas_output_quantiser_shared_by_two_layers():
    shared = qnn.QuantIdentity(bit_width=4).act_quant
    model = nn.Sequential(
        qnn.QuantReLU(bit_width=4, return_quant_tensor=True),
        qnn.QuantConv2d(4, 4, 1, weight_bit_width=4, output_quant=shared),
        qnn.QuantReLU(bit_width=4, return_quant_tensor=True),
        qnn.QuantConv2d(4, 6, 1, weight_bit_width=4, output_quant=shared),
    )
    torch.manual_seed(1)
    model(inputs())
    found = fit_layers(model, inputs(), ["1", "3"])
    assert all(isinstance(fit, Fit) for fit in found.values()), found
    assert found["1"].layer.reference.shape[1] == 4
    assert found["3"].layer.reference.shape[1] == 6


def test_brevitas_linear_layer():
    model = brevitas(
        nn.Sequential(
            nn.Flatten(),
            qnn.QuantLinear(
                224, 5, bias=True, weight_bit_width=4, weight_quant=Int8WeightPerChannelFloat
            ),
        )
    )
    layer = fits(model).layer
    assert layer.weight_codes.shape == (5, 224, 1, 1)
    assert layer.step.unique().numel() == 5


@pytest.mark.parametrize(
    ("make", "zero"),
    [
        (lambda: brevitas(brevitas_convolution(weight_bit_width=8), bit_width=8), 0),
        (
            lambda: nn.Sequential(
                Below(),
                qnn.QuantIdentity(bit_width=4, return_quant_tensor=True),
                brevitas_convolution(),
            ),
            8,
        ),
        (
            lambda: run(
                Below(),
                brevitas_convolution(input_quant=ShiftedUint8ActPerTensorFloat, input_bit_width=4),
            ),
            None,
        ),
        (lambda: brevitas(brevitas_convolution(groups=2)), 0),
        (lambda: brevitas(qnn.QuantConvTranspose2d(4, 6, 3)), 0),
        (lambda: brevitas(qnn.QuantConv2d(4, 4, 3, groups=4, weight_quant=BINARY)), 0),
    ],
)
def test_brevitas_layers_of_other_kinds(make, zero):
    torch.manual_seed(3)
    layer = fits(make()).layer
    assert layer.zero == zero if zero is not None else layer.zero > 0


@pytest.mark.parametrize(
    ("make", "words"),
    [(lambda: brevitas(brevitas_convolution(weight_quant=None)), "its weights are not quantised")],
)
def test_why_not_with_brevitas(make, words):
    torch.manual_seed(3)
    test_why_not(make, words)
