"""Products of activations and weights are seen wherever they happen, and whoever quantised them."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.ao.quantization import FakeQuantize, MovingAverageMinMaxObserver
from torch.nn import functional
from torch.nn.utils import parametrize

from pymodel.convolution import Convolution
from pymodel.lsq_quantiser import QuantConv2d
from pymodel.own_network import fit
from pymodel.own_network.fit import Fit, fit_layers
from pymodel.own_network.tests.test_fit import brevitas, brevitas_convolution, inputs, own
from pymodel.reference.layer_data import AddBias
from pymodel.support.errors import InputError

pytestmark = pytest.mark.filterwarnings("ignore")


def judged(model: nn.Module) -> dict:
    """Returns what is found of the layers of a model, the reason as text."""
    found = fit_layers(model, inputs())
    return {n: one if isinstance(one, Fit) else str(one) for n, one in found.items()}


def grid(x: Tensor, levels: int = 15) -> Tensor:
    """Fake-quantises as DoReFa does, by a function of its own, straight through."""
    scale = x.detach().abs().max() / levels
    return x + ((x / scale).round() * scale - x).detach()


class Functional(nn.Module):
    """Convolves by a function, with weights that it quantises itself."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.kernel = nn.Parameter(torch.randn(6, 4, 3, 3))
        self.matrix = nn.Parameter(torch.randn(5, 6))

    def forward(self, x):
        x = functional.conv2d(grid(x), grid(self.kernel, 7), stride=2, padding=1).relu()
        return grid(x.mean((2, 3))) @ grid(self.matrix, 7).t()


def test_products_of_functions_on_grids_that_are_found():
    found = judged(nn.Sequential(Functional()))
    first, second = found["0"], found["0:2"]
    assert first.layer.convolution == Convolution(2, 1)
    assert second.layer.weight_codes.shape == (5, 6, 1, 1)
    for one in (first, second):
        assert one.kind == "Functional"
        assert one.weights.found
        assert one.activations.found
        assert (one.activations.high, one.weights.high) == (15, 7)
        assert one.error_steps < 1e-3


def test_products_of_the_model_itself_have_the_name_of_its_class():
    assert list(judged(Functional())) == ["Functional", "Functional:2"]


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = QuantConv2d(4, 4, bits=4, kernel_size=3, padding=1)

    def forward(self, x):
        return self.layer(self.layer(x).relu())


def test_a_layer_that_is_called_twice():
    found = judged(own(Twice()))
    assert list(found) == ["0.layer", "0.layer:2"]
    first, second = (one.layer for one in found.values())
    assert torch.equal(first.weight_codes, second.weight_codes)
    assert not torch.equal(first.activation_codes, second.activation_codes)


class Scaled(QuantConv2d):
    """A subclass that does more than convolve, before and after."""

    def forward(self, x):
        return functional.pixel_shuffle(super().forward(functional.pad(x, (1, 1, 0, 0))), 1) * 1.01


def test_a_subclass_around_the_convolution():
    """What stands around the operation does not matter; the tensors are those that it takes."""
    layer = judged(own(Scaled(4, 6, bits=4, kernel_size=3)))["0"].layer
    assert layer.activation_codes.shape[2:] == (8, 9)


class PerChannel(nn.Module):
    def forward(self, weights):
        scale = weights.abs().amax((1, 2, 3), keepdim=True) / 7
        return (weights / scale).round() * scale


def test_a_parametrised_weight():
    torch.manual_seed(0)
    layer = nn.Conv2d(4, 6, 3)
    parametrize.register_parametrization(layer, "weight", PerChannel())
    quantise = FakeQuantize(MovingAverageMinMaxObserver, quant_min=0, quant_max=15)
    model = nn.Sequential(quantise, layer)
    model(inputs())
    found = judged(model)["1"]
    assert found.weights.found
    assert found.layer.step.unique().numel() == 6
    assert not found.activations.found  # PyTorch's own operation states the grid
    assert found.layer.after.bias.any()


def test_the_zero_point_is_taken_off():
    """Values of one sign with a zero point of 0 or above are codes 0 to 15 without it."""
    quantise = FakeQuantize(MovingAverageMinMaxObserver, quant_min=0, quant_max=15)
    model = nn.Sequential(quantise, *own(QuantConv2d(4, 6, bits=4, kernel_size=3)))
    model(inputs() - 0.2)
    found = judged(nn.Sequential(nn.ReLU(), model))
    assert found["1.1"].layer.activation_codes.min() == 0


def test_brevitas_with_plain_tensors_between_layers():
    found = judged(brevitas(brevitas_convolution(), return_quant_tensor=False))["1"]
    assert not found.activations.found
    assert not found.weights.found
    assert (found.layer.weight_bits, found.layer.activation_bits) == (4, 4)


class Attention(nn.Module):
    def forward(self, x):
        x = x.flatten(2)
        return x @ x.transpose(1, 2)


class Dynamic(nn.Module):
    """A convolution whose kernel follows from the input."""

    def forward(self, x):
        return functional.conv2d(x, x[:2, :, :3, :3])


def test_products_of_activations_are_no_layers():
    assert judged(nn.Sequential(Attention())) == {}
    assert judged(nn.Sequential(Dynamic())) == {}


class Buffer(nn.Module):
    """Writes the input into a part of a buffer, in place, and convolves the buffer."""

    def __init__(self):
        super().__init__()
        self.layer = QuantConv2d(4, 6, bits=4, kernel_size=3)

    def forward(self, x):
        whole = torch.zeros(3, 4, 10, 10)
        whole[:, :, 1:9, 1:8] = x
        return self.layer(whole)


def test_a_buffer_that_the_input_was_written_to():
    assert isinstance(judged(own(Buffer()))["0.layer"], Fit)


def test_weights_in_memory_that_the_input_had():
    """Memory that an activation had is taken for a weight's: the weight is still no activation."""

    class Reused(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList(
                QuantConv2d(4, 4, bits=4, kernel_size=3, padding=1) for _ in range(20)
            )

        def forward(self, x):
            for layer in self.layers:
                x = layer(x).relu()
                x = x / x.amax()
            return x

    found = judged(own(Reused()))
    assert len(found) == 20
    assert all(isinstance(one, Fit) for one in found.values()), found


def test_our_own_exception_is_not_told_as_the_models(monkeypatch):
    def broken(*_):
        raise ZeroDivisionError("a fault of the export")

    monkeypatch.setattr(fit, "as_convolution", broken)
    with pytest.raises(ZeroDivisionError, match="a fault of the export"):
        judged(own(QuantConv2d(4, 6, bits=4, kernel_size=3)))


def test_the_models_exception_is_told_as_its_own():
    with pytest.raises(InputError, match=r"the forward pass: raises RuntimeError: .*channels"):
        judged(nn.Sequential(nn.Conv2d(3, 2, 1)))


def test_the_hooks_are_gone_afterwards():
    model = own(QuantConv2d(4, 6, bits=4, kernel_size=3))
    judged(model)
    seen = []
    monitor = nn.modules.module._global_forward_hooks
    seen.append(dict(monitor))
    assert seen == [{}]
    with pytest.raises(InputError):
        judged(nn.Sequential(nn.Conv2d(3, 2, 1)))
    assert dict(monitor) == {}


class Einsum(nn.Module):
    """Multiplies channels by a matrix, which PyTorch does as a batch of one."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.matrix = nn.Parameter(grid(torch.randn(6, 4), 7).detach())

    def forward(self, x):
        return torch.einsum("oc,nchw->nohw", self.matrix, grid(x))


def test_a_batch_of_one_is_a_matrix_product():
    (found,) = judged(Einsum()).values()
    assert found.layer.weight_codes.shape == (6, 4, 1, 1)
    assert found.layer.agrees(found.layer.sums())
    assert not found.layer.agrees(found.layer.sums() + 1)


@pytest.mark.parametrize("quantised", [False, True])
@pytest.mark.parametrize("later", [False, True])
def test_a_bias_that_is_added_afterwards_is_a_part_of_the_layer(quantised, later):
    """PyTorch splits a linear layer on an input that is not contiguous into two operations."""

    class Turned(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(5, 3)
            self.fc.weight.data = torch.arange(-7.0, 8).reshape(3, 5) * 0.25
            self.fc.bias.data = torch.tensor([3.0, -2.0, 0.5])

        def forward(self, x):
            x = grid(x[:, :1, :4, :5].squeeze(1)).transpose(1, 2).contiguous().transpose(1, 2)
            weight = self.fc.weight.clone() if quantised else self.fc.weight
            if later:
                return (x @ weight.t()).relu() + self.fc.bias
            return nn.functional.linear(x, weight, self.fc.bias)

    model = nn.Sequential(Turned())
    found = judged(model)["0"]
    bias = torch.zeros(3) if later else model[0].fc.bias.detach()
    assert torch.equal(found.layer.after.bias, bias)
    assert found.layer.agrees(found.layer.sums())
    assert not replace(found.layer, after=AddBias(bias + 0.25)).agrees(found.layer.sums())


@pytest.mark.parametrize(("alpha", "stated"), [(0.3, True), (-0.3, False)])
def test_a_product_that_is_scaled_has_the_stated_grid_times_that_number(alpha, stated):
    """A negative number leaves no grid of a positive scale, and one is found from the values."""

    class Scaling(nn.Module):
        def forward(self, x):
            w = torch.fake_quantize_per_tensor_affine(torch.randn(8, 5), 0.25, 0, -8, 7)
            return torch.addmm(
                torch.ones(5), grid(x[:, 0, 0, :]).repeat(1, 2)[:, :8], w, alpha=alpha
            )

    torch.manual_seed(0)
    found = judged(nn.Sequential(Scaling()))["0"]
    assert found.weights.found is not stated
    assert found.weights.scale.item() == pytest.approx(0.075)
    assert torch.equal(found.layer.after.bias, torch.ones(5))


def test_a_shortcut_in_a_product_is_no_bias():
    """addmm adds what follows from the input to the product of a single row."""

    class Shortcut(nn.Module):
        def forward(self, x):
            x = grid(x[:1, 0, 0, :5])
            return torch.addmm(x, x, torch.arange(-12.0, 13).reshape(5, 5) / 4)

    found = judged(nn.Sequential(Shortcut()))["0"]
    assert isinstance(found, Fit), found
    assert not found.layer.after.bias.any()


def test_what_else_is_added_in_place_is_no_bias():
    """A product is handed over before a shortcut is added to its output in place."""

    class Shortcut(nn.Module):
        def forward(self, x):
            x = grid(x[:, 0, :5, :5])
            y = x @ (torch.arange(-12.0, 13).reshape(5, 5) / 4)
            y += x
            return y

    found = judged(nn.Sequential(Shortcut()))["0"]
    assert isinstance(found, Fit), found
    assert not found.layer.after.bias.any()


class Heads(Einsum):
    """Multiplies each channel by a matrix of its own."""

    def forward(self, x):
        return torch.bmm(
            grid(x).flatten(2).transpose(0, 1), self.matrix[:, None].repeat(1, 56, 1)[:4]
        )


def test_a_batch_with_weights_of_its_own_is_said():
    (reason,) = judged(Heads()).values()
    assert reason == "it is a batch of 4 products, each with weights of its own"


def ones(*shape: int) -> Tensor:
    return torch.ones(shape)


MATRIX = torch.arange(-7.0, 8).repeat(2).reshape(6, 5) * 0.25


@pytest.mark.parametrize(
    ("multiply", "bias"),
    [
        (lambda x: torch.mm(x, MATRIX.t(), out=torch.empty(3, 6)), 0),
        (lambda x: torch.mm(MATRIX, x.t(), out=torch.empty(6, 3)), 0),
        (lambda x: ones(3, 6).addmm_(x, MATRIX.t()), 1),
        (lambda x: ones(6, 3).addmm_(MATRIX, x.t()), 1),
        (lambda x: x.repeat(1, 2)[:, :6].clone().addmm_(x, MATRIX.t()), 0),
        (lambda x: torch.addmv(ones(3), x, MATRIX[0]), 1),
        (lambda x: torch.addmv(ones(6), MATRIX, x[0]), 1),
    ],
)
def test_variants_of_matrix_products(multiply, bias):
    """Products that write into a tensor, or that add something, are those of the plain one."""

    class Variant(nn.Module):
        def forward(self, x):
            return multiply(grid(x[:, 0, 0, :5]))

    found = judged(nn.Sequential(Variant()))["0"]
    assert isinstance(found, Fit), found
    assert (found.layer.after.bias == bias).all()
    assert found.layer.activation_codes.shape[1] == 5


@pytest.mark.parametrize(
    ("multiply", "name"),
    [
        (lambda x: torch.dot(x[0], MATRIX[0]), "dot"),
        (lambda x: torch.addbmm(ones(3, 6), x[None], MATRIX.t()[None]), "addbmm"),
        (lambda x: torch.conv_tbc(x[:, None], ones(2, 5, 4), ones(4)), "conv_tbc"),
        (lambda x: torch.sparse.mm(MATRIX.to_sparse(), x.t()), "_sparse_addmm"),
        (lambda x: functional.bilinear(x, ones(3, 2), ones(4, 5, 2)), "_trilinear"),
    ],
)
def test_a_product_that_is_not_known_has_a_row(multiply, name):
    class Unknown(nn.Module):
        def forward(self, x):
            return multiply(grid(x[:, 0, 0, :5]))

    found = judged(nn.Sequential(Unknown()))
    assert found == {"0": f"PyTorch's aten::{name} is not known"}


class Plain(nn.Module):
    """Convolves and multiplies what it quantises by functions."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.convolution, self.linear = nn.Conv2d(4, 6, 3, bias=False), nn.Linear(6, 2)
        for layer in (self.convolution, self.linear):
            layer.weight.data = torch.randint(-7, 8, layer.weight.shape) * 0.1

    def forward(self, x):
        x = self.convolution((x * 4).round() / 4)
        return self.linear((x.mean((2, 3)) * 50).round() / 50)


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("traced", [False, True])
def test_torchscript(traced, frozen):
    """Programs of TorchScript call another operation for convolutions, and fuse what they can."""
    model = Plain().eval()
    expected = [one.layer for one in judged(model).values()]
    made = torch.jit.trace(model, inputs()) if traced else torch.jit.script(model)
    found = [one.layer for one in judged(torch.jit.freeze(made) if frozen else made).values()]
    assert len(found) == len(expected) == 2
    for ours, theirs in zip(found, expected, strict=True):
        assert torch.equal(ours.activation_codes, theirs.activation_codes)
        assert torch.equal(ours.sums(), theirs.sums())


def test_an_lstm_whose_parameters_are_packed_has_a_row():
    lstm = torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.LSTM(7, 5)), {nn.LSTM})
    found = judged(nn.Sequential(nn.Flatten(1, 2), lstm))
    assert list(found.values()) == ["its matrix products are inside one operation of PyTorch"]


@pytest.mark.parametrize("contiguous", [False, True])
@pytest.mark.parametrize("later", [False, True])
def test_tokens_before_images(contiguous, later):
    """Rows of [tokens, images, channels] are shared out so that an image has its own."""

    class Sequence(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(4, 5)
            self.fc.weight.data = MATRIX[:5, :4].contiguous()

        def forward(self, x):
            x = grid(x[..., 0]).permute(2, 0, 1)  # [8 tokens, 3 images, 4 channels]
            x = x.contiguous() if contiguous else x
            if later:
                return (x @ self.fc.weight.t() + self.fc.bias).transpose(0, 1)
            return self.fc(x).transpose(0, 1)

    model = nn.Sequential(Sequence())
    found = judged(model)["0" if later else "0.fc"]
    assert isinstance(found, Fit), found
    layer = found.layer
    values = grid(inputs()[..., 0])
    scale = values.abs().max() / 15
    codes = layer.activation_codes[..., 0] - layer.zero
    assert torch.allclose(codes * scale, values)
    assert torch.allclose(layer.reference[..., 0].transpose(1, 2), model(inputs()))
    assert torch.equal(layer.after.bias, model[0].fc.bias)


class Whole(nn.Module):
    """Attention, which PyTorch would compute as one operation."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.attention.in_proj_weight.data = grid(self.attention.in_proj_weight.data, 7)

    def forward(self, x):
        x = grid(x.flatten(1)[:, :56].reshape(len(x), 7, 8))
        return self.attention(x, x, x)[0]


def test_the_products_of_attention_are_seen():
    """The first product has the weights of query, key and value; PyTorch's setting stays."""
    assert torch.backends.mha.get_fastpath_enabled()
    found = judged(nn.Sequential(Whole()))
    assert torch.backends.mha.get_fastpath_enabled()
    assert found["0.attention"].layer.weight_codes.shape == (24, 8, 1, 1)
    assert "its activations are not quantised" in found["0.attention:2"]
    assert found["0.attention.out_proj"] == "'0.attention:2' uses its weights"


class Joined(nn.Module):
    """Joins channels of two scales, or changes the values behind a quantiser."""

    def __init__(self, joined: bool):
        super().__init__()
        torch.manual_seed(0)
        self.joined = joined
        self.layer = nn.Conv2d(8 if joined else 4, 3, 1)

    def forward(self, x):
        parts = [torch.fake_quantize_per_tensor_affine(x, s, 0, 0, 255) for s in (0.0041, 0.0067)]
        return self.layer(torch.cat(parts, 1) if self.joined else parts[0] ** 2)


def test_reasons_name_the_quantisers_before():
    assert judged(Joined(True)) == {"layer": "its activations have several scales, expected one"}
    assert judged(Joined(False)) == {
        "layer": "its activations do not lie on the grid of a quantiser before it (scale 0.0041), "
        "nor on any of at most 256 levels"
    }
