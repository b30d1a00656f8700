"""Writes a trained layer as the text files that hand-written array benches read.

python -m tb.run vectors --out folder
python -m tb.run vectors --out folder --image 3 --no-header
"""

from pathlib import Path

from tabulate import tabulate
from torch.nn import functional

from pymodel.capture import DEFAULT_LAYER, capture
from pymodel.checkpoint import SHIPPED, load_checkpoint
from pymodel.hardware.tile_text import LANES, write_folder
from pymodel.images import load_images
from pymodel.reference.integer_convolution import integer_convolution, raster_psums
from pymodel.reference.layer_data import LayerData, layer_data
from pymodel.support.command import CommandParser, conclude, tell
from pymodel.support.errors import InputError


def main() -> int:
    parser = CommandParser("tb.run vectors", __doc__)
    parser.add_argument("--out", default="", help="folder to write to")
    parser.add_argument("--layer", default=DEFAULT_LAYER, help="a convolution from 8 to 8 channels")
    parser.add_argument("--model", default=str(SHIPPED), help="checkpoint")
    parser.add_argument("--image", default="0", help="number of the shipped image, from 0")
    parser.add_argument(
        "--no-header", action="store_true", help="leave out the files' header lines"
    )
    arguments = parser.parse_args()

    if not arguments.out:
        raise InputError("OUT is not set, expected the folder to write to: make vectors OUT=folder")
    images = load_images().images
    if not arguments.image.isdecimal() or int(arguments.image) >= len(images):
        raise InputError(
            f"--image is '{arguments.image}', expected a whole number from 0 to {len(images) - 1}"
        )
    model, _ = load_checkpoint(arguments.model)
    image = images[int(arguments.image)]
    layer = layer_data(capture(model, image[None], arguments.layer))
    folder = Path(arguments.out)
    names = write_layer(layer, folder, header=not arguments.no_header)

    height, width = layer.activation_codes.shape[2:]
    rows = [
        ["layer", layer.name],
        ["image", arguments.image],
        ["map", f"{height} × {width}, padded {height + 2} × {width + 2}"],
        ["header", "none" if arguments.no_header else "3 lines"],
        ["files", len(names)],
    ]
    tell("\n" + tabulate(rows, tablefmt="simple", disable_numparse=True) + "\n")
    return conclude(f"Written: {folder}. Run them on the array with: make replay DIR={folder}")


def write_layer(layer: LayerData, folder: Path, header: bool = True) -> list[str]:
    """Writes the layer on its first image into `folder`, and returns the names of the files.

    PyTorch computes the psums and outputs. Raises InputError, with nothing written, for a layer
    that the format cannot hold.
    """
    codes, weights = layer.activation_codes[0], layer.weight_codes
    shape, fitting = tuple(weights.shape), (LANES, LANES, 3, 3)
    if shape != fitting or (layer.stride, layer.padding) != (1, 1):
        out_channels, in_channels, *kernel = shape
        raise InputError(
            f"layer '{layer.name}' is of {in_channels} to {out_channels} channels, kernel "
            f"{kernel[0]}, stride {layer.stride}, padding {layer.padding}; tile text files hold "
            f"{LANES} to {LANES} channels, kernel 3, stride 1, padding 1"
        )
    padded = functional.pad(codes, (1, 1, 1, 1))
    outputs = integer_convolution(codes[None], weights, 1, 1)[0].relu()
    return write_folder(
        folder,
        padded.numpy(),
        weights.numpy(),
        raster_psums(padded, weights).numpy(),
        outputs.flatten(1).T.numpy(),
        header,
    )
