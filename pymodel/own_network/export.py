"""Exports layers of any quantised network to a file, from which they run on the array.

    python -m pymodel.own_network package.module:factory --state weights.safetensors
    python -m pymodel.own_network "package.module:factory(10, width=0.5)" --state weights.pth \\
        --layer layer1.0.conv1 --output layers.safetensors
    make LAYER=layer1.0.conv1 MODEL=layers.safetensors

`factory` is a function or class that returns the torch.nn.Module, whose convolution and linear
layers are fake-quantised. docs/own-network.md has examples. Run the command in the folder that
holds the package, or name that folder in PYTHONPATH.
"""

import argparse
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from tabulate import tabulate
from torch import Tensor, nn

from pymodel.convolution import Convolution, in_words, pair, single
from pymodel.images import SHIPPED, normalise
from pymodel.own_network.exported_program import graph_of, input_of, is_program, load_program
from pymodel.own_network.factory import load_model, load_quantiser, of_the_user, without_warnings
from pymodel.own_network.fit import Fit, FitError, fit_layers, judge, layers_of
from pymodel.own_network.layer_file import is_layer_file, save_layers, settings_of
from pymodel.own_network.onnx_file import batch_of, is_onnx, operators_of, products_of
from pymodel.own_network.state_dict import load_state, read_saved
from pymodel.support.command import CommandParser, conclude, tell
from pymodel.support.errors import InputError
from pymodel.support.files import RESULTS, ROOT
from pymodel.support.result_files import write_results

INPUT_NAMES = ("images", "input")
RESULTS_FILE = RESULTS / "export.json"


def load_inputs(path: Path, count: int | None) -> Tensor:
    """Returns the first `count` inputs of a file, or all if it is None, as float32 or int64 [N, …].

    The file, of safetensors or of torch.save, holds one tensor named `images` or `input`; a file of
    NumPy, .npy, holds an array. Floats and int64 are taken as they are; bytes [N, 3, H, W] are
    normalised as the CIFAR-10 images are. Raises InputError for any other file.
    """
    if path.suffix == ".npy":
        try:
            tensors = {INPUT_NAMES[0]: torch.from_numpy(np.load(path, allow_pickle=False))}
        except (OSError, ValueError, TypeError, EOFError) as error:
            raise InputError(f"{path}: cannot be read as an array of NumPy: {error}") from None
    else:
        try:
            tensors = read_saved(path)
        except InputError as error:
            raise InputError(
                f"{error}; inputs are an array of NumPy (.npy), or a file of safetensors or "
                f"torch.save with a tensor '{INPUT_NAMES[0]}'"
            ) from None
    names = [name for name in INPUT_NAMES if name in tensors]
    if len(names) != 1:
        raise InputError(
            f"{path}: holds {', '.join(map(str, tensors)) or 'nothing'}, expected one tensor named "
            f"{' or '.join(INPUT_NAMES)}"
        )
    inputs = tensors[names[0]]
    if not isinstance(inputs, Tensor):
        raise InputError(f"{path}: {names[0]} is a {type(inputs).__name__}, expected a tensor")
    bytes_of_colour = inputs.dtype == torch.uint8 and inputs.ndim == 4 and inputs.shape[1] == 3
    used = inputs.ndim > 0 and (inputs.is_floating_point() or inputs.dtype == torch.int64)
    if not inputs.numel() or not (used or bytes_of_colour):
        raise InputError(
            f"{path}: {names[0]} is {inputs.dtype} {list(inputs.shape)}, expected floats [N, …], "
            "torch.int64 [N, …] or torch.uint8 [N, 3, H, W]"
        )
    inputs = inputs[:count]
    if inputs.dtype == torch.int64:  # indices, such as tokens
        return inputs
    inputs = normalise(inputs) if bytes_of_colour else inputs.float()
    if not torch.isfinite(inputs).all():
        raise InputError(f"{path}: {names[0]} holds NaN or infinity, expected finite values")
    return inputs


def layer_rows(found: dict[str, Fit | FitError]) -> list[dict]:
    """Returns a row for each layer of `found`, as a dictionary for JSON.

    Every row has `layer`, `kind` and `fits`. The row of a layer that fits also has sizes (pixels; a
    pair where rows and columns differ), numbers of bits, zero points and errors of the layer,
    stride and padding of a transposed one, and the grids that were found from the values, since no
    quantiser states them. The row of any other layer has the `reason`.
    """
    rows = []
    for name, result in found.items():
        row = {"layer": name, "kind": result.kind, "fits": isinstance(result, Fit)}
        if isinstance(result, Fit):
            data = result.layer
            row |= {
                "in_channels": data.activation_codes.shape[1],
                "out_channels": data.weight_codes.shape[0],
                "kernel": single(tuple(data.weight_codes.shape[2:])),
                **settings_of(data),
                "transposed": list(result.transposed) if result.transposed else None,
                "widened": result.activations.widened,
                "one_bit": [
                    kind
                    for kind, grid in (
                        ("weights", result.weights),
                        ("activations", result.activations),
                    )
                    if grid.levels == 2
                ],
                "map": list(data.activation_codes.shape[2:]),
                "weight_zeros": None if data.weight_zeros is None else data.weight_zeros.tolist(),
                "max_abs_error": result.error,
                "max_error_steps": result.error_steps,
                "grids_found": {
                    kind: {"scale": grid.scale.flatten().tolist(), "levels": grid.levels}
                    for kind, grid in (
                        ("weights", result.weights),
                        ("activations", result.activations),
                    )
                    if grid.found
                },
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
        convolution = Convolution(**{name: row[name] for name in Convolution._fields})
        kernel = "×".join(map(str, pair(row["kernel"])))
        cells.append(
            [
                row["layer"],
                row["kind"],
                f"{row['in_channels']} → {row['out_channels']}",
                f"{kernel}, {transposed(row) or convolution}",
                f"{height} × {width}",
                f"{row['weight_bits']}, {row['activation_bits']}",
                f"yes, error {row['max_error_steps']:.1e} step{zero_points(row)}{grids_found(row)}",
            ]
        )
    headers = ["layer", "kind", "channels", "kernel", "map", "bits", "fits"]
    return tabulate(cells, headers, tablefmt="simple", disable_numparse=True)


def transposed(row: dict) -> str:
    """Returns in words the geometry of a transposed convolution; "" for any other layer.

    The exported file holds an ordinary convolution with the same outputs.
    """
    if not row["transposed"]:
        return ""
    stride, padding = (in_words(pair(number)) for number in row["transposed"])
    return f"transposed, stride {stride}, padding {padding}"


def zero_points(row: dict) -> str:
    """Returns in words the zero points of a row that are not 0, and which codes need more bits."""
    words = f"; zero point {row['zero']}" if row["zero"] else ""
    words += ", and halved steps, so that 0 has a code" if row["widened"] else ""
    for kind in row["one_bit"]:
        bits = row[f"{kind.removesuffix('s')}_bits"]
        words += f"; {kind} of 1 bit, which take {bits}" if bits > 1 else ""
    return f"{words}; zero points of the weights" if row["weight_zeros"] else words


def grids_found(row: dict) -> str:
    """Returns in words which grids of a row were found from the values."""
    words = []
    for kind, grid in row["grids_found"].items():
        low, high = min(grid["scale"]), max(grid["scale"])
        scale = f"{low:.4g}" if low == high else f"{low:.4g} to {high:.4g}"
        words.append(f"; grid of {kind} found: scale {scale}, {grid['levels']} levels")
    return "".join(words)


def main() -> int:
    """Runs the command, and returns its exit code. Raises InputError for a mistake of the user."""
    parser = CommandParser("pymodel.own_network", __doc__)
    parser.add_argument(
        "factory",
        metavar="package.module:factory",
        help="factory of the network; it may have arguments, in brackets; or a file of ONNX or of "
        "torch.export, .onnx or .pt2",
    )
    parser.add_argument(
        "--state",
        default="",
        metavar="FILE",
        help="state dict of the network: a safetensors file, or one of torch.save",
    )
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument(
        "--layer", action="append", metavar="NAME", help="layer to export; repeatable"
    )
    chosen.add_argument(
        "--all",
        action="store_true",
        help="export all layers that fit; --output without --layer has the same effect",
    )
    chosen.add_argument(
        "--list",
        action="store_true",
        help="only print which layers fit, and why others do not; this is the default without "
        "--output, --layer and --all",
    )
    parser.add_argument(
        "--input",
        type=Path,
        help="array of NumPy (.npy), or safetensors file with a tensor 'images' or 'input': floats "
        "or int64 [N, …], which are used as they are, or bytes [N, 3, H, W], which are normalised "
        "as CIFAR-10 images; default: the shipped CIFAR-10 images",
    )
    parser.add_argument(
        "--quantiser",
        metavar="package.module:function",
        help="function that returns codes, scale and zero point of the values of a layer",
    )
    parser.add_argument(
        "--images", type=int, default=16, metavar="N", help="number of inputs to use; default 16"
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="file to write; default with --layer or --all: layers.safetensors",
    )
    arguments = parser.parse_args()
    if arguments.images < 1:
        raise InputError(f"--images is {arguments.images}, expected 1 or more")
    if not arguments.factory:
        raise InputError("no network is named, expected package.module:factory (make export: NET=)")
    whole_file = is_onnx(arguments.factory) or is_program(arguments.factory)
    if whole_file == bool(arguments.state):
        given = f"--state {arguments.state}" if arguments.state else "no state dict"
        wanted = "none" if arguments.state else "--state FILE (make export: STATE=file)"
        raise InputError(f"{arguments.factory}: {given} is named, expected {wanted}")
    output = output_of(arguments)

    inputs = load_inputs(arguments.input or SHIPPED, arguments.images)
    quantiser = load_quantiser(arguments.quantiser) if arguments.quantiser else None
    origin = "" if arguments.input else " (the shipped images; name others with --input)"
    judge_all = onnx_layers if is_onnx(arguments.factory) else torch_layers
    judge_all = program_layers if is_program(arguments.factory) else judge_all
    with without_warnings():
        found, notes, count = judge_all(arguments, inputs, quantiser, origin)
    for name in arguments.layer or ():
        if isinstance(found[name], FitError):
            raise InputError(f"layer '{name}' does not fit: {found[name]}")
    if not found:
        raise InputError(
            f"{arguments.factory}: has no convolution and no linear layer, expected at least one"
        )
    rows = layer_rows(found)
    fitting = {name: fit.layer for name, fit in found.items() if isinstance(fit, Fit)}
    tell(*notes, table(rows))
    if output:
        if not fitting:
            raise InputError("no layer fits, expected at least one; the table says why")
        command = shlex.join(["python", "-m", "pymodel.own_network", *sys.argv[1:]])
        save_layers(output, fitting, command)
    write_results(RESULTS_FILE, rows, passed=True, about={})
    if not output:
        return conclude(f"\n{len(fitting)} of {len(found)} layers fit.")
    return conclude(
        f"\n{len(fitting)} of {len(found)} layers on {count} images: {output}; run one with:\n"
        f"{run_command_of(next(iter(fitting)), output)}"
    )


class Judged(NamedTuple):
    """The layers of a network, and the notes that the command prints with them."""

    found: dict[str, Fit | FitError]  # layers by name
    notes: list[str]  # lines about the state dict and the inputs
    images: int  # number of inputs that were used


def torch_layers(
    arguments: argparse.Namespace, inputs: Tensor, quantiser: Callable | None, origin: str
) -> Judged:
    """Returns the layers of the network that a factory makes, and what was done to its state dict.

    `origin` says in a message where the inputs come from. Raises InputError for a mistake of the
    user.
    """
    model = load_model(arguments.factory)
    notes = load_state(model, Path(arguments.state))
    model = of_the_user("the model", model.to, "cpu", torch.float32)
    # A model that is itself a layer gets a name inside an nn.Sequential
    if any(layer is model for layer in layers_of(model).values()):
        model = nn.Sequential(model)
    what = f"the model's forward pass on {_kind(inputs)} {list(inputs.shape)}{origin}"
    found = fit_layers(model, inputs, arguments.layer, what, quantiser)
    for name in arguments.layer or ():
        if name not in found:
            raise InputError(_unknown(model, name))
    return Judged(found, notes, len(inputs))


def onnx_layers(
    arguments: argparse.Namespace, inputs: Tensor, quantiser: Callable | None, origin: str
) -> Judged:
    """Returns the layers of an ONNX file; the arguments and errors are those of `torch_layers`."""
    path, chosen, notes = Path(arguments.factory), arguments.layer, []
    batch = batch_of(path) or 1
    if len(inputs) % batch and len(inputs) > batch:
        inputs = inputs[: len(inputs) // batch * batch]
        notes.append(f"{path} takes {batch} inputs at a time: the first {len(inputs)} are used.")
    products = list(products_of(path, inputs, origin))
    if not products:
        raise InputError(
            f"{path}: has no convolution and no matrix product with weights; its operators are "
            f"{', '.join(operators_of(path))}"
        )
    names = [product.layer for product in products]
    for name in chosen or ():
        if name not in names:
            raise InputError(f"{path}: has no layer '{name}', expected some of: {', '.join(names)}")
    found = {
        product.layer: judge(product, len(inputs), quantiser)
        for product in products
        if chosen is None or product.layer in chosen
    }
    return Judged(found, notes, len(inputs))


def program_layers(
    arguments: argparse.Namespace, inputs: Tensor, quantiser: Callable | None, origin: str
) -> Judged:
    """Returns the layers of a program; the arguments and errors are those of `torch_layers`."""
    path, chosen, notes = Path(arguments.factory), arguments.layer, []
    program = load_program(path)
    shape, dtype = input_of(path, program)
    if shape and isinstance(batch := shape[0], int) and batch < len(inputs):
        notes.append(f"{path} takes {batch} inputs at a time: the first {batch} are used.")
        inputs = inputs[:batch]
    given = list(inputs.shape)
    what = f"{path}: on {_kind(inputs)} {given}{origin}"
    same = len(given) == len(shape) and inputs.dtype == dtype
    if not same or any(m not in ("?", n) for n, m in zip(given, shape, strict=True)):
        kind = str(dtype).removeprefix("torch.")
        raise InputError(f"{what}: expected {kind} [{', '.join(map(str, shape))}]")
    found = fit_layers(graph_of(program), inputs, None, what, quantiser)
    for name in chosen or ():
        if name not in found:
            raise InputError(f"{path}: has no layer '{name}', expected some of: {', '.join(found)}")
    return Judged({name: found[name] for name in chosen or found}, notes, len(inputs))


def _kind(inputs: Tensor) -> str:
    """Returns the dtype of inputs in words."""
    return str(inputs.dtype).removeprefix("torch.")


def output_of(arguments: argparse.Namespace) -> Path | None:
    """Returns the file to write, or None if only the table was requested.

    Raises InputError if the file exists and does not hold layers, for example if it is the state
    dict itself.
    """
    if arguments.list or not (arguments.output or arguments.layer or arguments.all):
        return None
    output = arguments.output or Path("layers.safetensors")
    if output.is_file() and not is_layer_file(output):
        raise InputError(
            f"{output}: exists and is no file of exported layers; expected another name"
        )
    return output


def run_command_of(layer: str, path: Path) -> str:
    """Returns the command that runs a layer of a file, for the shell and the folder of the user."""
    here = Path.cwd() == ROOT
    settings = [f"LAYER={layer}", f"MODEL={path if here else path.absolute()}"]
    where = [] if here else ["-C", str(ROOT)]
    # make takes a dollar sign for the start of a variable.
    return shlex.join(["make", *where, *(one.replace("$", "$$") for one in settings)])


def _unknown(model: nn.Module, name: str) -> str:
    """Returns the message for a `name` that is no convolution or linear layer."""
    modules = dict(model.named_modules())
    found = f"a {type(modules[name]).__name__}" if name in modules else "not in the network"
    layers = ", ".join(layers_of(model))
    return f"layer '{name}' is {found}, expected a convolution or linear layer: {layers}"
