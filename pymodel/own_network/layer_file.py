"""Writes and reads exported layers: safetensors, sealed by a SHA-256 (checksummed_tensors.py).

A file holds all that a run on an array needs, so the run does not need the network that the layers
come from. The tensors of layer X are `X.activation_codes`, `X.weight_codes`, `X.step`, `X.bias`,
`X.reference`, which is the float output of the layer itself, and `X.weight_zeros` where weights
have zero points. The metadata are `format`, `command`, which exported the layers, and `layers`,
which is JSON: by name the arguments of `Convolution`, where a pair stands for rows and columns that
differ, the bits of the codes, and the zero point of the activations. A file of the first format has
stride and padding alone, and codes of 4 bits.
"""

import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from pymodel.convolution import Convolution, Pair, in_words, pair, single
from pymodel.reference.layer_data import AddBias, LayerData
from pymodel.support.checksummed_tensors import read_sealed, write_sealed
from pymodel.support.errors import InputError
from pymodel.support.limits import MOST_BITS, check_geometry

FORMAT = "systolic-cosim layers 2"
FIRST_FORMAT = "systolic-cosim layers 1"
# Dtypes, number of dimensions, smallest and largest value of each tensor of a layer; the values of
# codes follow from their bits.
FORM = {
    "activation_codes": ((torch.uint8, torch.int8), 4, None, None),
    "weight_codes": ((torch.int8,), 4, None, None),
    "step": ((torch.float32,), 1, torch.finfo(torch.float32).tiny, None),
    "bias": ((torch.float32,), 1, None, None),
    "reference": ((torch.float32,), 4, None, None),
    "weight_zeros": ((torch.float64,), 1, -256, 256),
}
NEEDED = [part for part in FORM if part != "weight_zeros"]
GEOMETRY = ("stride", "padding", "dilation")
# The settings of a layer that a file of the first format lacks
FIRST = {"dilation": 1, "groups": 1, "activation_bits": 4, "weight_bits": 4, "zero": 0}


def save_layers(path: str | Path, layers: dict[str, LayerData], command: str) -> None:
    """Writes layers whose `after` is an `AddBias`, all in one file, whole or not at all.

    `command` is the command that exported the layers. Raises InputError if `path` cannot be
    written.
    """
    tensors = {}
    for name, layer in layers.items():
        tensors |= {
            f"{name}.activation_codes": layer.activation_codes.to(torch.uint8),
            f"{name}.weight_codes": layer.weight_codes,
            f"{name}.step": layer.step.flatten(),
            f"{name}.bias": layer.after.bias,
            f"{name}.reference": layer.reference,
        }
        if layer.weight_zeros is not None:
            tensors[f"{name}.weight_zeros"] = layer.weight_zeros
    settings = {name: settings_of(layer) for name, layer in layers.items()}
    write_sealed(
        {name: tensor.contiguous() for name, tensor in tensors.items()},
        {"format": FORMAT, "command": command, "layers": json.dumps(settings)},
        path,
    )


def settings_of(layer: LayerData) -> dict[str, Pair]:
    """Returns the numbers of a layer beside its tensors, by name; pairs only where sides differ."""
    numbers = layer.convolution._asdict()
    return {
        **{name: single(numbers[name]) for name in GEOMETRY},
        "groups": layer.convolution.groups,
        "activation_bits": layer.activation_bits,
        "weight_bits": layer.weight_bits,
        "zero": layer.zero,
    }


def is_layer_file(path: str | Path) -> bool:
    """Returns whether the metadata of the file name this format. The file may still be damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            return (file.metadata() or {}).get("format") in (FORMAT, FIRST_FORMAT)
    except (SafetensorError, OSError):
        return False


def load_layers(path: str | Path) -> dict[str, LayerData]:
    """Returns all layers of an exported file by name.

    Raises InputError for a file that is missing, truncated, altered or of another format, and for
    a file whose tensors differ in names, shapes, dtypes or ranges from those of a layer.
    """
    tensors, metadata = read_sealed(path)
    if metadata.get("format") not in (FORMAT, FIRST_FORMAT):
        raise InputError(f"{path}: format is {metadata.get('format')!r}, expected {FORMAT!r}")
    settings = _settings(path, metadata.get("layers", ""))
    known = {f"{name}.{part}" for name in settings for part in FORM}
    needed = {f"{name}.{part}" for name in settings for part in NEEDED}
    for name in sorted((needed - tensors.keys()) | (tensors.keys() - known)):
        if name in needed:
            raise InputError(f"{path}: tensor {name} is missing")
        raise InputError(f"{path}: tensor {name!r} belongs to no layer")
    for name, tensor in tensors.items():
        _check_tensor(path, name, tensor, settings[name.rpartition(".")[0]])
    return {name: _layer(path, name, tensors, numbers) for name, numbers in settings.items()}


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


def _settings(path: str | Path, text: str) -> dict[str, dict[str, Pair]]:
    """Returns the numbers of each layer by name, those of `settings_of`, from the metadata `text`.

    Raises InputError if `text` does not hold them.
    """
    try:
        settings = {
            name: {key: _number(value) for key, value in (FIRST | numbers).items()}
            for name, numbers in json.loads(text).items()
        }
        usable = all(name.isprintable() and _usable(**one) for name, one in settings.items())
    except (ValueError, AttributeError, KeyError, TypeError):
        settings, usable = {}, False
    if not settings or not usable:
        raise InputError(
            f"{path}: layers is {text[:80]!r}, expected names with stride (1 or more), padding (0 "
            "or more), and perhaps dilation, groups, activation_bits, weight_bits (to 8) and zero"
        )
    return settings


def _number(value: object) -> Pair:
    """Returns a whole number, or a pair of them. Raises ValueError for anything else."""
    if isinstance(value, list) and len(value) == 2 and all(type(one) is int for one in value):
        return tuple(value)
    if type(value) is not int:
        raise ValueError
    return value


def _usable(stride, padding, dilation, groups, activation_bits, weight_bits, zero) -> bool:
    """Returns whether numbers may be those of a layer; raises TypeError for an unexpected pair."""
    return (
        min(pair(stride)) >= 1
        and min(pair(padding)) >= 0
        and min(pair(dilation)) >= 1
        and groups >= 1
        and 1 <= activation_bits <= MOST_BITS
        and 2 <= weight_bits <= MOST_BITS
        and 0 <= zero < 2**activation_bits
    )


def _check_tensor(path: str | Path, name: str, tensor: Tensor, numbers: dict[str, Pair]) -> None:
    """Raises InputError unless dtype, dimensions and values of `tensor` are as FORM states."""
    part = name.rpartition(".")[2]
    dtypes, dimensions, low, high = FORM[part]
    if tensor.dtype not in dtypes or tensor.ndim != dimensions or not tensor.numel():
        raise InputError(
            f"{path}: {name} is {tensor.dtype} {list(tensor.shape)}, expected {dtypes[0]} with "
            f"{dimensions} dimensions, none of them 0"
        )
    if not torch.isfinite(tensor).all():
        raise InputError(f"{path}: {name} holds NaN or infinity, expected finite values")
    if part == "activation_codes":
        low, high = 0, 2 ** numbers["activation_bits"] - 1
    elif part == "weight_codes":
        low, high = -(2 ** (numbers["weight_bits"] - 1)), 2 ** (numbers["weight_bits"] - 1) - 1
    smallest, largest = tensor.min().item(), tensor.max().item()
    if (low is not None and smallest < low) or (high is not None and largest > high):
        limits = f"{low} to {high}" if high is not None else "positive values"
        raise InputError(f"{path}: {name} holds {smallest:g} to {largest:g}, expected {limits}")


def _layer(
    path: str | Path, name: str, tensors: dict[str, Tensor], numbers: dict[str, Pair]
) -> LayerData:
    """Returns the layer `name`. Raises InputError if the shapes of its tensors do not agree."""
    codes, weights, step, bias, reference = (tensors[f"{name}.{part}"] for part in NEEDED)
    zeros = tensors.get(f"{name}.weight_zeros")
    convolution = Convolution(**{key: numbers[key] for key in Convolution._fields})
    images, channels, *sides = codes.shape
    out_channels, _, *kernel = weights.shape
    for side in (0, 1):
        check_geometry(
            f"{path}: {name}",
            kernel=kernel[side],
            **{key: pair(numbers[key])[side] for key in GEOMETRY},
            **{("height", "width")[side]: sides[side]},
        )
    groups = convolution.groups
    if channels % groups or out_channels % groups:
        raise InputError(
            f"{path}: {name} has {channels} → {out_channels} channels in {groups} groups, expected "
            "multiples of the number of groups"
        )
    outputs = convolution.output_size(tuple(sides), tuple(kernel))
    shapes = {
        "weight_codes": [out_channels, channels // groups, *kernel],
        "step": [out_channels],
        "bias": [out_channels],
        "reference": [images, out_channels, *outputs],
    } | ({} if zeros is None else {"weight_zeros": [out_channels]})
    for part, shape in shapes.items():
        found = list(tensors[f"{name}.{part}"].shape)
        if found != shape:
            raise InputError(
                f"{path}: {name}.{part} is {found}, expected {shape} with activation codes of "
                f"{list(codes.shape)}, kernel {in_words(tuple(kernel))}, {convolution}"
            )
    return LayerData(
        name,
        codes.to(torch.int16),
        weights,
        convolution,
        step[:, None, None],
        AddBias(bias),
        reference,
        f"output of {name}",
        numbers["activation_bits"],
        numbers["weight_bits"],
        numbers["zero"],
        zeros,
    )
