"""Writes and reads sealed files: safetensors with a SHA-256 of their tensors and metadata."""

import hashlib
import json
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, uint8

from pymodel.support.errors import InputError
from pymodel.support.files import replacing


def write_sealed(tensors: dict[str, Tensor], metadata: dict[str, str], path: str | Path) -> None:
    """Writes tensors and metadata with their SHA-256, which becomes the metadata key `sha256`.

    Raises InputError if `path` cannot be written.
    """
    with replacing(path) as temporary:
        save_file(tensors, temporary, {**metadata, "sha256": tensor_digest(tensors, metadata)})


def tensor_digest(tensors: dict[str, Tensor], metadata: dict[str, str]) -> str:
    """Returns the SHA-256 (hex) of metadata and tensors: names, dtypes, shapes, bytes, sorted."""
    sha = hashlib.sha256(json.dumps(metadata, sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        sha.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        sha.update(tensor.contiguous().flatten().view(uint8).numpy().tobytes())
    return sha.hexdigest()


def read_sealed(path: str | Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Returns tensors and metadata of a sealed file; the metadata lack the key `sha256`.

    Raises InputError if the file is missing, truncated, no safetensors file, or altered.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        with Path(path).open("rb") as file:
            header = file.read(int.from_bytes(file.read(8), "little"))
        # safetensors pads its header with spaces. Its reader takes a tab or a newline as well, so
        # without this check such a change of the file would not show.
        if min(header) < ord(" "):
            raise ValueError("a control character in the header")
        found = metadata.pop("sha256", None)
        computed = tensor_digest(tensors, metadata)
    except FileNotFoundError:
        raise InputError(f"{path}: not found; expected a file of this project") from None
    except (SafetensorError, OSError, RuntimeError, ValueError, MemoryError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise InputError(
            f"{path}: truncated, or no readable safetensors file ({reason}); expected a whole one"
        ) from None
    if found is None:
        raise InputError(f"{path}: has no sha256 in its metadata; expected a file of this project")
    if found != computed:
        raise InputError(
            f"{path}: altered, its SHA-256 is {computed[:12]}…, expected {found[:12]}…"
        )
    return tensors, metadata
