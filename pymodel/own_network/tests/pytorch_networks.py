"""Makes small networks that PyTorch's own tools quantise: torch.ao, and PT2E of torchao."""

import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.ao import quantization

LAYERS = {"a": (3, 8), "b": (8, 8), "fc": (8, 4)}  # their channels, by name


class Plain(nn.Module):
    """Two convolutions, one of them depthwise with sides that differ, and a linear layer."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.a = nn.Conv2d(3, 8, 3, padding=1)
        self.relu = nn.ReLU()
        self.b = nn.Conv2d(8, 8, (3, 1), stride=2, groups=8)
        self.fc = nn.Linear(8, 4)

    def forward(self, x):
        return self.fc(self.b(self.relu(self.a(x))).mean((2, 3)))


class Stubs(Plain):
    """The same network with the stubs that eager quantisation needs."""

    def __init__(self):
        super().__init__()
        self.quant, self.dequant = quantization.QuantStub(), quantization.DeQuantStub()

    def forward(self, x):
        return self.dequant(super().forward(self.quant(x)))


def inputs(count: int = 8) -> Tensor:
    """Returns float32 [count, 3, 12, 12]."""
    return torch.randn(count, 3, 12, 12, generator=torch.Generator().manual_seed(1))


def eager() -> nn.Module:
    """Returns a converted network of torch.ao's eager mode, whose parameters are packed."""
    model = Stubs().eval()
    model.qconfig = quantization.get_default_qconfig("x86")
    model = quantization.fuse_modules(model, [["a", "relu"]])
    quantization.prepare(model, inplace=True)
    model(inputs())
    return quantization.convert(model)


def of_graphs(*, qat: bool = False, convert: str = "convert_fx") -> nn.Module:
    """Returns a network of torch.ao's FX mode, converted by a function, or with "" prepared."""
    from torch.ao.quantization import quantize_fx

    kind = "qat_qconfig" if qat else "qconfig"
    mapping = getattr(quantization, f"get_default_{kind}_mapping")("x86")
    prepare = quantize_fx.prepare_qat_fx if qat else quantize_fx.prepare_fx
    model = prepare(Plain().train(qat), mapping, (inputs(),))
    model(inputs())
    return getattr(quantize_fx, convert)(model.eval()) if convert else model


def pt2e(*, qat: bool = False, convert: bool = True) -> nn.Module:
    """Returns a network of PT2E, as torchao has it, converted or prepared for training."""
    from torchao.quantization.pt2e import quantize_pt2e
    from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86

    batch = torch.export.Dim.AUTO
    program = torch.export.export(Plain().train(qat), (inputs(),), dynamic_shapes=({0: batch},))
    quantiser = x86.X86InductorQuantizer()
    quantiser.set_global(x86.get_default_x86_inductor_quantization_config(is_qat=qat))
    prepare = quantize_pt2e.prepare_qat_pt2e if qat else quantize_pt2e.prepare_pt2e
    model = prepare(program.module(), quantiser)
    model(inputs())
    return quantize_pt2e.convert_pt2e(model) if convert else model


def of_integers() -> nn.Module:
    """Returns a network of torchao that computes a new scale for each row of its activations."""
    from torchao.quantization import Int8DynamicActivationInt8WeightConfig, quantize_

    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 16)).eval()
    quantize_(model, Int8DynamicActivationInt8WeightConfig())
    return model


def quietly(make: Callable[[], nn.Module]) -> nn.Module:
    """Returns what a function makes, without PyTorch's warnings that its tools are old."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return make()
