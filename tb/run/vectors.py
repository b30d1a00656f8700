"""Writes a layer as the text files that hand-written array benches read.

python -m tb.run vectors --out folder
python -m tb.run vectors --out folder --image 3 --no-header
python -m tb.run vectors --out folder --model layers.safetensors --layer conv2 --weights rows
"""

from dataclasses import fields, replace
from pathlib import Path

from tabulate import tabulate

from pymodel.checkpoint import SHIPPED, load_checkpoint
from pymodel.convolution import Convolution, in_words, single
from pymodel.images import load_images
from pymodel.layer_capture import DEFAULT_LAYER, capture
from pymodel.own_network.layer_file import is_layer_file, load_layer
from pymodel.reference.layer_data import LayerData, layer_data
from pymodel.support.command import CommandParser, conclude, tell, whole_number
from pymodel.support.errors import InputError
from pymodel.tile_files.conventions import Conventions, add_options, fixed_by
from pymodel.tile_files.inputs import Geometry
from pymodel.tile_files.layouts import HALF
from pymodel.tile_files.write_folder import (
    JOINT,
    PER_CORE,
    SERIES,
    FileNames,
    Written,
    write_folder,
)

NAMES = [field.name for field in fields(FileNames) if isinstance(field.default, str)]
PARTS = {"both": (SERIES, JOINT), SERIES: (SERIES,), JOINT: (JOINT,)}


def main() -> int:
    """Runs the command; returns 0 when all files are written."""
    parser = CommandParser("tb.run vectors", __doc__)
    parser.add_argument("--out", default="", help="folder to write to")
    parser.add_argument(
        "--layer",
        help=f"a quantised convolution; default {DEFAULT_LAYER}, or the only one of a file",
    )
    parser.add_argument("--model", default=str(SHIPPED), help="checkpoint, or exported layers")
    parser.add_argument("--image", default="0", help="number of the image, from 0")
    parser.add_argument(
        "--no-header", action="store_true", help="leave out the files' header lines"
    )
    add_options(parser, "the first choice of each is the default")
    group = parser.add_argument_group("names and sizes of the files")
    for name in NAMES:
        group.add_argument(
            f"--{name.replace('_', '-')}-name",
            metavar="NAME",
            help="name of these files; {k} stands for the kernel position, {i} and {o} for tiles "
            "of input and output channels, {c} for a core; "
            f"default {getattr(FileNames, name)}, with --cores "
            f"{getattr(PER_CORE['outputs'], name)}",
        )
    group.add_argument("--first", default="0", help="number of the first kernel position, 0 or 1")
    group.add_argument(
        "--files",
        default="both",
        help=f"how to write weights and psums: one of {', '.join(PARTS)} (the default)",
    )
    group.add_argument("--rows", help="input channels in a file of activations, 8 or 16")
    group.add_argument("--cols", default="8", help="output channels in a file of outputs, 8 or 16")
    group.add_argument("--weight-width", default="32", help="bits in a line of weights, 32 or 64")
    arguments = parser.parse_args()

    if not arguments.out:
        raise InputError("OUT is not set, expected the folder to write to: make vectors OUT=folder")
    conventions = Conventions(**fixed_by(arguments))
    layer = read_layer(arguments.model, arguments.layer, arguments.image)
    geometry = geometry_of(layer)
    inputs, outputs = layer.weight_codes.shape[1::-1]
    rows = arguments.rows
    if rows is None:  # sixteen channels of two bits fit into a line of 32 bits
        rows = "16" if conventions.activation_bits == "2" and inputs >= 2 * HALF else "8"
    given = {n: getattr(arguments, f"{n}_name") for n in NAMES}
    names = replace(
        PER_CORE.get(arguments.cores, FileNames()),
        **{name: text for name, text in given.items() if text is not None},
        first=whole_number("--first", arguments.first, 0, 1),
        parts=_choice("--files", arguments.files, PARTS),
    )
    written = Written(
        layer.activation_codes[0].numpy(),
        layer.weight_codes.numpy(),
        geometry,
        conventions,
        names,
        not arguments.no_header,
        _choice("--rows", rows, {"8": 8, "16": 16}),
        _choice("--weight-width", arguments.weight_width, {"32": 8, "64": 16}),
        _choice("--cols", arguments.cols, {"8": 8, "16": 16}),
    )
    folder = Path(arguments.out)
    files = write_folder(folder, written)

    height, width = layer.activation_codes.shape[2:]
    padding = geometry.padding
    table = [
        ["layer", layer.name],
        ["image", arguments.image],
        ["channels", f"{inputs} → {outputs}"],
        ["map", f"{height} × {width}, padded {height + 2 * padding} × {width + 2 * padding}"],
        ["header", "none" if arguments.no_header else "3 lines"],
        ["files", len(files)],
    ]
    tell("\n" + tabulate(table, tablefmt="simple", disable_numparse=True) + "\n")
    return conclude(f"Written: {folder}. Run them on the array with: make replay DIR={folder}")


def geometry_of(layer: LayerData) -> Geometry:
    """Returns the geometry of a layer; raises InputError if the text files cannot hold the layer.

    They have a square kernel, one stride and padding, one group, and codes of 4 bits.
    """
    kernel = single(tuple(layer.weight_codes.shape[2:]))
    numbers = kernel, layer.convolution.stride, layer.convolution.padding
    if (
        not all(isinstance(number, int) for number in numbers)
        or layer.convolution != Convolution(*numbers[1:])
        or max(layer.activation_bits, layer.weight_bits) > 4
        or layer.zero
        or layer.weight_zeros is not None
    ):
        zeros = layer.zero or layer.weight_zeros is not None
        raise InputError(
            f"layer '{layer.name}' has a kernel of {in_words(kernel)}, {layer.convolution}, "
            f"weights of {layer.weight_bits} and activations of {layer.activation_bits} bits"
            f"{', and zero points' if zeros else ''}; expected what tile files hold: a square "
            "kernel, one stride and padding, one group, and codes of 4 bits without zero points"
        )
    return Geometry(*numbers)


def read_layer(model: str, name: str | None, image: str) -> LayerData:
    """Returns a layer of a checkpoint or of an exported file on one image.

    Raises InputError if the file is neither, or lacks the layer or the image.
    """
    if is_layer_file(model):
        layer = load_layer(model, name)
        number = whole_number("--image", image, 0, len(layer.activation_codes) - 1)
        codes = layer.activation_codes[number : number + 1]
        return replace(layer, activation_codes=codes)
    images = load_images().images
    number = whole_number("--image", image, 0, len(images) - 1)
    network, _ = load_checkpoint(model)
    chosen = DEFAULT_LAYER if name is None else name
    return layer_data(capture(network, images[number][None], chosen))


def _choice(option: str, value: str, choices: dict) -> object:
    """Returns what `value` chooses; raises InputError if it is no choice of the option."""
    if value not in choices:
        raise InputError(f"{option} is '{value}', expected {' or '.join(choices)}")
    return choices[value]
