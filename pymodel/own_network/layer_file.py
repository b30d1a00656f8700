"""Writes and reads exported layers: safetensors, sealed by a SHA-256 (checksummed_tensors.py).

A file holds all that a run on an array needs, so the run does not need the network that the layers
come from. The tensors of layer X are `X.activation_codes`, `X.weight_codes`, `X.step`, `X.bias` and
`X.reference`, which is the float output of the layer itself. The metadata are `format`, `command`,
which exported the layers, and `layers`, which is JSON: stride and padding by name.
"""

import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from pymodel.reference.layer_data import LayerData
from pymodel.support.checksummed_tensors import read_sealed, write_sealed
from pymodel.support.errors import InputError
from pymodel.support.limits import check_geometry

FORMAT = "systolic-cosim layers 1"
# Dtype, number of dimensions, smallest and largest value of each tensor of a layer.
FORM = {
    "activation_codes": (torch.int8, 4, 0, 15),
    "weight_codes": (torch.int8, 4, -8, 7),
    "step": (torch.float32, 1, torch.finfo(torch.float32).tiny, None),
    "bias": (torch.float32, 1, None, None),
    "reference": (torch.float32, 4, None, None),
}


class AddBias(nn.Module):
    """Adds the bias, float32 [C_out], to the scaled sums of an exported layer."""

    def __init__(self, bias: Tensor):
        super().__init__()
        self.register_buffer("bias", bias)

    def forward(self, x: Tensor) -> Tensor:
        """Returns `x`, float [N, C_out, H, W], plus the bias of each channel."""
        return x + self.bias[:, None, None]


def save_layers(path: str | Path, layers: dict[str, LayerData], command: str) -> None:
    """Writes layers whose `after` is an `AddBias`, all in one file, whole or not at all.

    `command` is the command that exported the layers. Raises InputError if `path` cannot be
    written.
    """
    tensors = {}
    for name, layer in layers.items():
        tensors |= {
            f"{name}.activation_codes": layer.activation_codes,
            f"{name}.weight_codes": layer.weight_codes,
            f"{name}.step": layer.step.flatten(),
            f"{name}.bias": layer.after.bias,
            f"{name}.reference": layer.reference,
        }
    settings = {n: {"stride": v.stride, "padding": v.padding} for n, v in layers.items()}
    write_sealed(
        {name: tensor.contiguous() for name, tensor in tensors.items()},
        {"format": FORMAT, "command": command, "layers": json.dumps(settings)},
        path,
    )


def is_layer_file(path: str | Path) -> bool:
    """Returns whether the metadata of the file name this format. The file may still be damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            return (file.metadata() or {}).get("format") == FORMAT
    except (SafetensorError, OSError):
        return False


def load_layers(path: str | Path) -> dict[str, LayerData]:
    """Returns all layers of an exported file by name.

    Raises InputError for a file that is missing, truncated, altered or of another format, and for
    a file whose tensors differ in names, shapes, dtypes or ranges from those of a layer.
    """
    tensors, metadata = read_sealed(path)
    if metadata.get("format") != FORMAT:
        raise InputError(f"{path}: format is {metadata.get('format')!r}, expected {FORMAT!r}")
    settings = _settings(path, metadata.get("layers", ""))
    expected = {f"{name}.{part}" for name in settings for part in FORM}
    for name in sorted(expected ^ tensors.keys()):
        if name in expected:
            raise InputError(f"{path}: tensor {name} is missing")
        raise InputError(f"{path}: tensor {name!r} belongs to no layer")
    for name, tensor in tensors.items():
        _check_tensor(path, name, tensor)
    return {
        name: _layer(path, name, tensors, stride, padding)
        for name, (stride, padding) in settings.items()
    }


def load_layer(path: str | Path, name: str | None) -> LayerData:
    """Returns the layer `name`, or with None the only layer of the file.

    Raises InputError if there is no such layer, or for a file that `load_layers` refuses.
    """
    layers = load_layers(path)
    if name is None and len(layers) == 1:
        return next(iter(layers.values()))
    if name not in layers:
        found = "no layer is named" if name is None else f"layer '{name}' is not in the file"
        raise InputError(f"{path}: {found}, expected one of: {', '.join(layers)}")
    return layers[name]


def _settings(path: str | Path, text: str) -> dict[str, tuple[int, int]]:
    """Returns stride and padding of each layer by name, from the metadata `text`.

    Raises InputError if `text` does not hold them.
    """
    try:
        settings = {n: (v["stride"], v["padding"]) for n, v in json.loads(text).items()}
        usable = all(
            name.isprintable() and type(s) is type(p) is int and s >= 1 and p >= 0
            for name, (s, p) in settings.items()
        )
    except (ValueError, AttributeError, KeyError, TypeError):
        settings, usable = {}, False
    if not settings or not usable:
        raise InputError(
            f"{path}: layers is {text[:80]!r}, expected names with stride (1 or more) and padding "
            "(0 or more)"
        )
    return settings


def _check_tensor(path: str | Path, name: str, tensor: Tensor) -> None:
    """Raises InputError unless dtype, dimensions and values of `tensor` are as FORM states."""
    dtype, dimensions, low, high = FORM[name.rpartition(".")[2]]
    if tensor.dtype != dtype or tensor.ndim != dimensions or not tensor.numel():
        raise InputError(
            f"{path}: {name} is {tensor.dtype} {list(tensor.shape)}, expected {dtype} with "
            f"{dimensions} dimensions, none of them 0"
        )
    if not torch.isfinite(tensor).all():
        raise InputError(f"{path}: {name} holds NaN or infinity, expected finite values")
    smallest, largest = tensor.min().item(), tensor.max().item()
    if (low is not None and smallest < low) or (high is not None and largest > high):
        limits = f"{low} to {high}" if high is not None else "positive values"
        raise InputError(f"{path}: {name} holds {smallest:g} to {largest:g}, expected {limits}")


def _layer(
    path: str | Path, name: str, tensors: dict[str, Tensor], stride: int, padding: int
) -> LayerData:
    """Returns the layer `name`. Raises InputError if the shapes of its tensors do not agree."""
    codes, weights, step, bias, reference = (tensors[f"{name}.{part}"] for part in FORM)
    images, channels, *sides = codes.shape
    out_channels, kernel = len(weights), weights.shape[-1]
    geometry = {"kernel": kernel, "stride": stride, "padding": padding}
    check_geometry(f"{path}: {name}", **geometry, height=sides[0], width=sides[1])
    outputs = [(side + 2 * padding - kernel) // stride + 1 for side in sides]
    shapes = {
        "weight_codes": [out_channels, channels, kernel, kernel],
        "step": [out_channels],
        "bias": [out_channels],
        "reference": [images, out_channels, *outputs],
    }
    for part, shape in shapes.items():
        found = list(tensors[f"{name}.{part}"].shape)
        if found != shape:
            raise InputError(
                f"{path}: {name}.{part} is {found}, expected {shape} with activation codes of "
                f"{list(codes.shape)}, kernel {kernel}, stride {stride}, padding {padding}"
            )
    return LayerData(
        name,
        codes,
        weights,
        stride,
        padding,
        step[:, None, None],
        AddBias(bias),
        reference,
        f"output of {name}",
    )
