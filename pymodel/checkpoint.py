"""Writes and reads checkpoints: safetensors with packed 4-bit weight codes, sealed by a SHA-256.

The weight `X.weight` of each quantised convolution is stored as `X.weight_codes`: its codes in
two's complement, in the order of the flattened weight, two per byte, the first of the two in the
low nibble; codes of 5 to 8 bits have a byte each, int8. `X.weight_quantiser.scale`,
`X.activation_quantiser.scale` and all other entries of the state dict are stored as they are.
`REQUIRED_METADATA` lists the metadata.
"""

import re
from pathlib import Path

import torch
from torch import Tensor

from pymodel.lsq_quantiser import SMALLEST_SCALE, code_range, quantised_layers
from pymodel.support.checksummed_tensors import read_sealed, write_sealed
from pymodel.support.errors import InputError
from pymodel.vgg import PLAN, SQUEEZE, VGG16, WIDEST

FORMAT = "systolic-cosim checkpoint 1"
CORE_BITS = 4  # bits of the codes that the default core takes
WEIGHT_BITS = {str(bits): bits for bits in range(2, 9)}
ACTIVATION_BITS = {str(bits): bits for bits in range(1, 9)}
LAYERS = "systolic-cosim layers"  # the formats of exported layers begin so
REQUIRED_METADATA = {
    "format": "name and version of this format",
    "architecture": "network and its plan of layers",
    "weight_bits": "number of bits of a weight code",
    "activation_bits": "number of bits of an activation code",
    "accuracy": "share of the 10,000 test images classified correctly, 0..1",
    "seed": "seed of the training",
    "command": "command that trained the network",
    "recipe": "hyperparameters, JSON",
}
SHIPPED = Path(__file__).parents[1] / "training" / "shipped" / "vgg16_w4a4.safetensors"
# The network of 2-bit activations, whose squeezed layer has 16 → 16 channels
SHIPPED_2BIT = SHIPPED.with_name("vgg16_w4a2.safetensors")


def architecture(squeeze: int) -> str:
    """Returns the name of the network and its plan of layers, with `squeeze` channels squeezed.

    >>> architecture(8)
    'vgg16-cifar10 64 64 M 128 128 M 256 256 256 M 8 S 512 M 512 512 512 M'
    """
    return " ".join(["vgg16-cifar10", *(str(squeeze if e == "N" else e) for e in PLAN)])


SQUEEZES = {architecture(squeeze): squeeze for squeeze in range(1, WIDEST + 1)}


def pack_codes(codes: Tensor) -> Tensor:
    """Packs n int8 codes of any shape into uint8 [⌈n/2⌉], the first of two in the low nibble."""
    nibbles = codes.flatten().to(torch.uint8) & 0xF
    if len(nibbles) % 2:
        nibbles = torch.cat([nibbles, nibbles.new_zeros(1)])
    return nibbles[0::2] | nibbles[1::2] << 4


def unpack_codes(packed: Tensor, shape: torch.Size) -> Tensor:
    """Undoes `pack_codes`: returns int8 codes −8..7 of the given shape."""
    nibbles = torch.stack([packed & 0xF, packed >> 4], dim=1).flatten()[: shape.numel()]
    return ((nibbles.to(torch.int8) ^ 8) - 8).reshape(shape)


def save_checkpoint(model: VGG16, path: str | Path, metadata: dict[str, str]) -> None:
    """Writes `model` with `metadata` (accuracy, seed, command, recipe), whole or not at all.

    Raises InputError if the model is not squeezed, if a value of it is not finite, or if the file
    cannot be written.
    """
    if model.squeeze is None:
        raise InputError(f"{path}: not written, the network is not squeezed, expected one that is")
    tensors = {name: t.detach().cpu().contiguous() for name, t in model.state_dict().items()}
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise InputError(
                f"{path}: not written, {name} holds NaN or infinity, expected finite values"
            )
    for name, layer in quantised_layers(model).items():
        del tensors[f"{name}.weight"]
        codes = layer.weight_codes().cpu()
        packed = model.weight_bits <= 4
        tensors[f"{name}.weight_codes"] = pack_codes(codes) if packed else codes.flatten()
        for quantiser in ("weight_quantiser", "activation_quantiser"):
            # The quantiser uses no scale below the smallest one, whatever the parameter says.
            key = f"{name}.{quantiser}.scale"
            tensors[key] = tensors[key].clamp_min(SMALLEST_SCALE)
    write_sealed(
        tensors,
        {
            "format": FORMAT,
            "architecture": architecture(model.squeeze),
            "weight_bits": str(model.weight_bits),
            "activation_bits": str(model.activation_bits),
            **metadata,
        },
        path,
    )


def load_checkpoint(path: str | Path = SHIPPED) -> tuple[VGG16, dict[str, str]]:
    """Returns the model (float32, in evaluation mode, on the CPU) and the metadata of its file.

    Raises InputError for a file that is missing, truncated, altered, of another architecture, or
    whose metadata are incomplete, and for a file whose tensors differ in names, shapes, dtypes or
    ranges from those of the network.
    """
    tensors, metadata = read_sealed(path)
    if metadata.get("format", "").startswith(LAYERS):
        raise InputError(
            f"{path}: holds exported layers alone, expected a checkpoint of the whole network, as "
            "make train writes it; make LAYER=name MODEL=file runs a layer"
        )
    for key, meaning in REQUIRED_METADATA.items():
        if key not in metadata:
            raise InputError(f"{path}: metadata has no '{key}'; expected the {meaning}")
    known = {
        "format": ({FORMAT}, repr(FORMAT)),
        "architecture": (
            SQUEEZES,
            f"{architecture(SQUEEZE)!r}, or with another number than {SQUEEZE}, up to {WIDEST}",
        ),
        "weight_bits": (WEIGHT_BITS, "2 to 8"),
        "activation_bits": (ACTIVATION_BITS, "1 to 8"),
    }
    for key, (values, expected) in known.items():
        if metadata[key] not in values:
            raise InputError(f"{path}: {key} is {metadata[key]!r}, expected {expected}")

    if not re.fullmatch(r"0\.\d+|1\.0+", metadata["accuracy"]):
        raise InputError(f"{path}: accuracy is {metadata['accuracy']!r}, expected 0.0 to 1.0")

    model = VGG16(
        weight_bits=WEIGHT_BITS[metadata["weight_bits"]],
        activation_bits=ACTIVATION_BITS[metadata["activation_bits"]],
        squeeze=SQUEEZES[metadata["architecture"]],
    )
    stored = _stored_form(model)
    for name in sorted(stored.keys() | tensors.keys()):
        if name not in tensors:
            raise InputError(f"{path}: tensor {name} is missing")
        if name not in stored:
            raise InputError(f"{path}: tensor {name!r} is unknown to the network")
        shape, dtype = stored[name]
        tensor = tensors[name]
        if (tensor.shape, tensor.dtype) != (shape, dtype):
            raise InputError(
                f"{path}: {name} is {tensor.dtype} {list(tensor.shape)}, "
                f"expected {dtype} {list(shape)}"
            )
        if not torch.isfinite(tensor).all():
            raise InputError(f"{path}: {name} holds NaN or infinity, expected finite values")
        if name.endswith(".running_var") and (tensor < 0).any():
            raise InputError(f"{path}: {name} holds {tensor.min().item():g}, expected 0 or more")
        if name.endswith(".scale") and not (tensor >= SMALLEST_SCALE).all():
            raise InputError(
                f"{path}: {name} holds {tensor.min().item():g}, expected scales of at least "
                f"{SMALLEST_SCALE:g}"
            )

    low, high = code_range(model.weight_bits, signed=True)
    for name, layer in quantised_layers(model).items():
        codes = tensors.pop(f"{name}.weight_codes")
        shape = layer.weight.shape
        packed = model.weight_bits <= 4
        codes = unpack_codes(codes, shape) if packed else codes.reshape(shape)
        if codes.min() < low or codes.max() > high:
            raise InputError(
                f"{path}: {name}.weight_codes holds {codes.min()}..{codes.max()}, "
                f"expected {low}..{high}"
            )
        # Quantising code · scale gives the code again, and so the same float, bit for bit.
        weight = codes * tensors[f"{name}.weight_quantiser.scale"]
        if not torch.isfinite(weight).all():
            largest = tensors[f"{name}.weight_quantiser.scale"].max().item()
            raise InputError(
                f"{path}: {name}.weight_quantiser.scale holds {largest:g}, which is too large, "
                "expected scales whose weights are finite in float32"
            )
        tensors[f"{name}.weight"] = weight
    model.load_state_dict(tensors)
    return model.eval(), metadata


def load_for_core(path: str | Path) -> tuple[VGG16, dict[str, str]]:
    """Returns what `load_checkpoint` does, of a checkpoint whose codes the core takes.

    Raises InputError for a file that `load_checkpoint` refuses, and for codes of other than 4 bits.
    """
    model, metadata = load_checkpoint(path)
    if (model.weight_bits, model.activation_bits) != (CORE_BITS, CORE_BITS):
        raise InputError(
            f"{path}: has weights of {model.weight_bits} and activations of "
            f"{model.activation_bits} bits, expected {CORE_BITS} and {CORE_BITS}, which the core "
            f"takes; make MODEL={path} runs a layer on the array"
        )
    return model, metadata


def _stored_form(model: VGG16) -> dict[str, tuple[torch.Size, torch.dtype]]:
    """Returns the shape and dtype of every tensor of a checkpoint of `model`, by name."""
    form = {name: (t.shape, t.dtype) for name, t in model.state_dict().items()}
    for name, layer in quantised_layers(model).items():
        del form[f"{name}.weight"]
        count = layer.weight.numel()
        packed = (torch.Size([(count + 1) // 2]), torch.uint8)
        whole = (torch.Size([count]), torch.int8)
        form[f"{name}.weight_codes"] = packed if model.weight_bits <= 4 else whole
    return form
