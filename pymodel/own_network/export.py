"""Exports layers of any quantised network to a file, from which they run on the array.

    python -m pymodel.own_network package.module:factory --state weights.safetensors --list
    python -m pymodel.own_network package.module:factory --state weights.safetensors \\
        --layer layer1.0.conv1 --output layers.safetensors
    make LAYER=layer1.0.conv1 MODEL=layers.safetensors

`factory` is a function or class without arguments that returns the torch.nn.Module. The convolution
and linear layers of the module may be quantised by pymodel/lsq_quantiser.py or by Brevitas.
docs/own-network.md has examples. Run the command in the folder that holds the package, or name that
folder in PYTHONPATH.
"""

import importlib
import operator
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from tabulate import tabulate
from torch import Tensor, nn

from pymodel.images import SHIPPED, normalise
from pymodel.own_network.fit import Fit, FitError, fit_layers, layers_of
from pymodel.own_network.layer_file import save_layers
from pymodel.support.command import CommandParser, conclude, tell
from pymodel.support.errors import InputError
from pymodel.support.files import RESULTS
from pymodel.support.result_files import write_results

BREVITAS = "brevitas==0.13.4"
INPUT_NAMES = ("images", "input")
RESULTS_FILE = RESULTS / "export.json"


def load_model(factory: str) -> nn.Module:
    """Returns the torch.nn.Module that `package.module:factory` makes.

    Raises InputError if the module does not import or has no such factory, and if the factory
    raises or returns anything but a torch.nn.Module.
    """
    module_name, colon, attribute = factory.partition(":")
    if not (colon and module_name and attribute):
        raise InputError(f"factory is '{factory}', expected package.module:factory")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if not f"{module_name}.".startswith(f"{error.name}."):
            raise InputError(f"{module_name}: does not import: {_words(error)}") from None
        raise InputError(
            f"{module_name}: no module '{error.name}' found; run this in the folder that holds it, "
            "or name that folder in PYTHONPATH"
        ) from None
    except (Exception, SystemExit) as error:
        raise InputError(f"{module_name}: does not import: {_words(error)}") from None
    try:
        make = operator.attrgetter(attribute)(module)
    except AttributeError:
        raise InputError(
            f"{module_name}: has no '{attribute}', expected the name of a factory"
        ) from None
    if not callable(make) or isinstance(make, nn.Module):
        raise InputError(
            f"{factory} is a {type(make).__name__}, expected a function or class that gives a "
            "torch.nn.Module"
        )
    model = _of_the_user(f"{factory}()", make)
    if not isinstance(model, nn.Module):
        raise InputError(f"{factory}() is a {type(model).__name__}, expected a torch.nn.Module")
    return model


def load_state(model: nn.Module, path: Path) -> None:
    """Loads the state dict of a safetensors file into `model`.

    Raises InputError if the file is missing or damaged, holds NaN or infinity, or belongs to
    another model.
    """
    state = _read(path)
    for name, tensor in state.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor.double()).all():
            raise InputError(f"{path}: {name} holds NaN or infinity, expected finite values")
    try:
        model.load_state_dict(state)
    except Exception as error:
        details = " ".join(str(error).partition("\n")[2].split()) or _words(error)
        shortened = details if len(details) <= 200 else f"{details[:200]}…"
        raise InputError(f"{path}: is not of this model: {shortened}") from None


def load_inputs(path: Path, count: int) -> Tensor:
    """Returns the first `count` inputs of a safetensors file, float32 [N, …].

    The file holds one tensor named `images` or `input`. Floats are taken as they are; bytes
    [N, 3, H, W] are normalised as the CIFAR-10 images are. Raises InputError for any other file.
    """
    tensors = _read(path)
    names = [name for name in INPUT_NAMES if name in tensors]
    if len(names) != 1:
        raise InputError(
            f"{path}: holds {', '.join(tensors) or 'nothing'}, expected one tensor named "
            f"{' or '.join(INPUT_NAMES)}"
        )
    inputs = tensors[names[0]]
    bytes_of_colour = inputs.dtype == torch.uint8 and inputs.ndim == 4 and inputs.shape[1] == 3
    floats = inputs.is_floating_point() and inputs.ndim > 0
    if not inputs.numel() or not (floats or bytes_of_colour):
        raise InputError(
            f"{path}: {names[0]} is {inputs.dtype} {list(inputs.shape)}, expected floats [N, …] "
            "or torch.uint8 [N, 3, H, W]"
        )
    inputs = inputs[:count]
    inputs = normalise(inputs) if bytes_of_colour else inputs.float()
    if not torch.isfinite(inputs).all():
        raise InputError(f"{path}: {names[0]} holds NaN or infinity, expected finite values")
    return inputs


def layer_rows(layers: dict[str, nn.Module], found: dict[str, Fit | FitError]) -> list[dict]:
    """Returns a row for each layer of `found`, as a dictionary for JSON.

    Every row has `layer`, `kind` and `fits`. The row of a layer that fits also has sizes (pixels),
    numbers of bits and errors of the layer, and the row of any other layer has the `reason`.
    """
    rows = []
    for name, result in found.items():
        row = {"layer": name, "kind": type(layers[name]).__name__, "fits": isinstance(result, Fit)}
        if isinstance(result, Fit):
            data = result.layer
            row |= {
                "in_channels": data.weight_codes.shape[1],
                "out_channels": data.weight_codes.shape[0],
                "kernel": data.weight_codes.shape[2],
                "stride": data.stride,
                "padding": data.padding,
                "map": list(data.activation_codes.shape[2:]),
                "weight_bits": result.weight_bits,
                "activation_bits": result.activation_bits,
                "max_abs_error": result.error,
                "max_error_steps": result.error_steps,
            }
        else:
            row["reason"] = str(result)
        rows.append(row)
    return rows


def table(rows: list[dict]) -> str:
    """Returns the rows of `layer_rows` as a text table.

    The column `bits` has the number of bits of a weight code, then that of an activation code.
    """
    cells = []
    for row in rows:
        if not row["fits"]:
            cells.append([row["layer"], row["kind"], "", "", "", "", f"no: {row['reason']}"])
            continue
        height, width = row["map"]
        cells.append(
            [
                row["layer"],
                row["kind"],
                f"{row['in_channels']} → {row['out_channels']}",
                "{kernel}×{kernel}, stride {stride}, padding {padding}".format(**row),
                f"{height} × {width}",
                f"{row['weight_bits']}, {row['activation_bits']}",
                f"yes, error {row['max_error_steps']:.1e} step",
            ]
        )
    headers = ["layer", "kind", "channels", "kernel", "map", "bits", "fits"]
    return tabulate(cells, headers, tablefmt="simple", disable_numparse=True)


def main() -> int:
    """Runs the command, and returns its exit code. Raises InputError for a mistake of the user."""
    parser = CommandParser("pymodel.own_network", __doc__)
    parser.add_argument("factory", metavar="package.module:factory", help="factory of the network")
    parser.add_argument(
        "--state", type=Path, required=True, help="state dict of the network, a safetensors file"
    )
    chosen = parser.add_mutually_exclusive_group(required=True)
    chosen.add_argument(
        "--layer", action="append", metavar="NAME", help="layer to export; repeatable"
    )
    chosen.add_argument("--all", action="store_true", help="export all layers that fit")
    chosen.add_argument(
        "--list", action="store_true", help="list which layers fit, and why others do not"
    )
    parser.add_argument(
        "--input",
        type=Path,
        help="safetensors file with a tensor 'images' or 'input': floats [N, …], which are used "
        "as they are, or bytes [N, 3, H, W], which are normalised as CIFAR-10 images; default: the "
        "shipped CIFAR-10 images",
    )
    parser.add_argument(
        "--images", type=int, default=16, metavar="N", help="number of inputs to use; default 16"
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("layers.safetensors"),
        metavar="FILE",
        help="file to write; default layers.safetensors",
    )
    arguments = parser.parse_args()
    if arguments.images < 1:
        raise InputError(f"--images is {arguments.images}, expected 1 or more")

    inputs = load_inputs(arguments.input or SHIPPED, arguments.images)
    model = load_model(arguments.factory)
    load_state(model, arguments.state)
    model = _of_the_user("the model", model.to, "cpu", torch.float32)
    layers = layers_of(model)
    if "" in layers:  # the model itself is the layer, which needs a name
        model = nn.Sequential(model)
        layers = layers_of(model)
    if not layers:
        raise InputError(
            f"{arguments.factory}: has no convolution and no linear layer, expected at least one"
        )
    names = list(dict.fromkeys(arguments.layer or layers))
    for name in names:
        if name not in layers:
            raise InputError(_unknown(model, name, layers))
    origin = "" if arguments.input else " (the shipped images; name others with --input)"
    found = _of_the_user(
        f"the model's forward pass on float32 {list(inputs.shape)}{origin}",
        fit_layers,
        model,
        inputs,
        names,
    )
    for name in arguments.layer or ():
        if isinstance(found[name], FitError):
            raise InputError(f"layer '{name}' does not fit: {found[name]}")
    rows = layer_rows(layers, found)
    fitting = {name: fit.layer for name, fit in found.items() if isinstance(fit, Fit)}
    tell(table(rows))
    if not arguments.list:
        if not fitting:
            raise InputError("no layer fits, expected at least one; the table says why")
        command = shlex.join(["python", "-m", "pymodel.own_network", *sys.argv[1:]])
        save_layers(arguments.output, fitting, command)
    write_results(RESULTS_FILE, rows, passed=True, about={})
    if arguments.list:
        return conclude(f"\n{len(fitting)} of {len(names)} layers fit.")
    return conclude(
        f"\n{len(fitting)} of {len(names)} layers on {len(inputs)} images: {arguments.output}; run "
        f"one with:\nmake LAYER={next(iter(fitting))} MODEL={arguments.output}"
    )


def _read(path: Path) -> dict[str, Tensor]:
    """Returns all tensors of a safetensors file. Raises InputError for any other file."""
    try:
        return load_file(path)
    except FileNotFoundError:
        raise InputError(f"{path}: not found, expected a safetensors file") from None
    except (SafetensorError, OSError, RuntimeError, ValueError, MemoryError) as error:
        raise InputError(
            f"{path}: truncated, or no safetensors file ({_words(error)}); write one with "
            "safetensors.torch.save_file(model.state_dict(), path)"
        ) from None


def _unknown(model: nn.Module, name: str, layers: dict[str, nn.Module]) -> str:
    """Returns the message for a `name` that is no convolution or linear layer."""
    modules = dict(model.named_modules())
    found = f"a {type(modules[name]).__name__}" if name in modules else "not in the network"
    return f"layer '{name}' is {found}, expected a convolution or linear layer: {', '.join(layers)}"


def _of_the_user(what: str, function: Callable, *arguments: Any) -> Any:
    """Calls a function that may run the user's code, and returns the result of the function.

    Any exception of that code becomes an InputError of one line, which starts with `what`.
    """
    try:
        return function(*arguments)
    except (Exception, SystemExit) as error:
        raise InputError(f"{what}: raises {_words(error)}") from None


def _words(error: BaseException) -> str:
    """Returns a line that describes an exception."""
    if isinstance(error, ModuleNotFoundError) and error.name == "brevitas":
        return f"Brevitas is not installed; type: {sys.executable} -m pip install {BREVITAS}"
    return f"{type(error).__name__}: {(str(error).strip() or 'no message').splitlines()[0]}"
