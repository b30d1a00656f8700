"""Loads state dicts as people save them: of which format, how nested, with which prefix.

Nothing is unpickled but tensors and plain containers (torch.load with weights_only=True).
"""

import re
import sys
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

from pymodel.own_network.factory import words
from pymodel.support.errors import InputError

# torch.save writes a zip archive; before version 1.6 it wrote pickles, first of a certain number.
OF_TORCH_SAVE = (b"PK\x03\x04", b"\x80\x02\x8a\x0a")
# The first bytes of files that people mistake for a file of tensors, and what each of them is
OTHER_FILES = {
    b"version https://git-lfs": "a pointer of Git LFS, not the file itself; type: git lfs pull",
    b"<": "a page of HTML or XML, perhaps a download that failed",
    b"\x89HDF": "an HDF5 file, such as Keras writes",
    b"GGUF": "a GGUF file",
    b"\x93NUMPY": "an array of NumPy",
    b"\x80": "a pickle, which is not read, since that could run any code",
}
USUAL_PLACES = ("", "state_dict", "model_state_dict", "model", "net")
USUAL_PREFIXES = ("", "module.", "_orig_mod.", "model.", "net.")
WRAPPERS = ("module", "_orig_mod")  # modules that DataParallel and torch.compile put around others
SHOWN = 3  # number of keys that a message shows


class _Choice(NamedTuple):
    """A dictionary of the file, whose names are read without a prefix."""

    place: str  # keys that lead to the dictionary, with dots; "" for the file itself
    tensors: Mapping[str, Any]
    prefix: str
    # Name without prefix and wrappers, by key; only keys that have the prefix
    names: dict[str, str]
    found: int  # number of these names that the model has

    def rank(self) -> tuple:
        """Returns how well this choice fits; the largest fits best."""
        usual = self.place in USUAL_PLACES, self.prefix in USUAL_PREFIXES
        return self.found, -len(self.renamed()), *usual

    def renamed(self) -> list[str]:
        """Returns the keys that are other names than those read, apart from the prefix."""
        return [key for key, name in self.names.items() if key != self.prefix + name]


def load_state(model: nn.Module, path: Path) -> list[str]:
    """Loads the state dict of a file into `model`; returns lines that say what was done to do so.

    The file is a safetensors file, or one of torch.save. The state dict may lie in a dictionary
    beside other things, and its names may have a prefix. Floats of any size become those of the
    model. Raises InputError if the file is missing or damaged, if it holds other than tensors and
    plain Python values, if a tensor holds NaN or infinity, and if the state is of another model.
    """
    saved = read_saved(path)
    choice = _best(model, path, saved)
    state = OrderedDict((name, choice.tensors[key]) for key, name in choice.names.items())
    for key, name in choice.names.items():
        if not all(map(_is_finite, _inner(state[name]))):
            raise InputError(f"{path}: {key} holds NaN or infinity, expected finite values")
    # PyTorch keeps the versions of modules in this attribute of a state dict.
    versions = getattr(choice.tensors, "_metadata", {})
    state._metadata = {f"{key}.".removeprefix(choice.prefix)[:-1]: v for key, v in versions.items()}
    lines = [*_stripped(saved, choice), *_converted(state), *_load(model, path, state)]
    return [f"{path}: {line}" for line in lines]


def read_saved(path: Path) -> Mapping:
    """Returns what a safetensors file or one of torch.save holds: a dictionary, on the CPU.

    Raises InputError for a file that is missing, damaged, or of another kind.
    """
    try:
        with path.open("rb") as file:
            start = file.read(64)
        if other := _other_kind(path, start):
            raise InputError(f"{path}: is {other}; expected a file of safetensors or torch.save")
        saved = _torch_load(path) if start.startswith(OF_TORCH_SAVE) else load_file(path)
    except IsADirectoryError:
        raise InputError(f"{path}: is a folder, expected a file") from None
    except FileNotFoundError:
        raise InputError(f"{path}: not found, expected a safetensors file") from None
    except (SafetensorError, OSError, RuntimeError, ValueError, MemoryError) as error:
        raise InputError(
            f"{path}: truncated, or no file of safetensors or torch.save ({words(error)}); write "
            "one with safetensors.torch.save_file(model.state_dict(), path)"
        ) from None
    if not isinstance(saved, Mapping):
        raise InputError(f"{path}: holds a {type(saved).__name__}, expected a state dict")
    return saved


def _other_kind(path: Path, start: bytes) -> str:
    """Returns what a file is that holds no tensors of PyTorch, as far as its start and names say.

    `start` is what the file begins with.
    """
    if not start:
        return "empty"
    if start[8:9] == b"{":  # a safetensors file, whose first bytes are a number
        return ""
    if start.startswith(b"PK\x03\x04"):
        try:
            with zipfile.ZipFile(path) as archive:
                names = archive.namelist()
        except (zipfile.BadZipFile, OSError):
            return ""
        if any(name.endswith("/constants.pkl") for name in names):
            return (
                "a TorchScript program; save its tensors alone: "
                "torch.save(torch.jit.load(path).state_dict(), other_path)"
            )
        if all(name.endswith(".npy") for name in names):
            return "an archive of NumPy (.npz)"
        return "" if any(name.endswith("data.pkl") for name in names) else "a zip archive"
    if start.startswith(OF_TORCH_SAVE):
        return ""
    return next((kind for begins, kind in OTHER_FILES.items() if start.startswith(begins)), "")


def _torch_load(path: Path) -> Any:
    """Returns what torch.save wrote. Raises InputError for what cannot be read without danger."""
    try:
        with warnings.catch_warnings(action="ignore"):  # PyTorch warns of TorchScript, and raises
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # PyTorch raises many kinds for damaged files
        refused = _classes(path, str(error))
        if not refused:
            raise InputError(
                f"{path}: truncated, or not of torch.save(model.state_dict(), path) "
                f"({words(error)})"
            ) from None
        raise InputError(
            f"{path}: holds {_some(refused)} beside tensors, which is not read, since that could "
            "run any code; save tensors alone: torch.save(model.state_dict(), path)"
        ) from None


def _classes(path: Path, message: str) -> list[str]:
    """Returns the names of the classes in a file of torch.save that weights_only=True refuses."""
    try:
        found = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except Exception:  # it reads no files of before version 1.6
        found = re.findall(r"(?:GLOBAL|global|class|function) ([\w.]+\.[\w.]+)", message)
    return sorted(set(found))


def _best(model: nn.Module, path: Path, saved: Mapping) -> _Choice:
    """Returns how a file is read so that most of the model's names are found.

    Raises InputError if the file holds no state dict, or several that fit equally.
    """
    names = list(model.state_dict())
    choices = [
        _choice(names, place, tensors, prefix)
        for place, tensors in _dictionaries(saved)
        for prefix in _prefixes(names, tensors)
    ]
    if not choices:
        raise InputError(f"{path}: holds {_some(saved) or 'nothing'}, expected a state dict")
    best = max(choices, key=_Choice.rank)
    equal = [f"{one.place}.{one.prefix}".strip(".") for one in choices if one.rank() == best.rank()]
    if best.found and len(equal) > 1:
        raise InputError(
            f"{path}: holds tensors of this model under {' and '.join(equal)}, expected one of them"
        )
    return best


def _dictionaries(value: Mapping, place: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yields each dictionary with tensors by name in a dictionary, and the keys that lead to it."""
    if all(isinstance(key, str) for key in value):
        if any(isinstance(one, Tensor) for one in value.values()):
            yield place, value
        for key, one in value.items():
            if isinstance(one, Mapping) and one:
                yield from _dictionaries(one, f"{place}.{key}" if place else key)


def _prefixes(names: list[str], tensors: Mapping[str, Any]) -> set[str]:
    """Returns what stands before the model's first names in the keys of a dictionary, and ""."""
    found = {""}
    for first in map(_plain, names[:SHOWN]):
        for key in tensors:
            parts = key.split(".")
            ends = [n for n in range(len(parts)) if _plain(".".join(parts[n:])) == first]
            if ends and ends[-1]:
                found.add(".".join([*parts[: ends[-1]], ""]))
    return found


def _choice(names: list[str], place: str, tensors: Mapping[str, Any], prefix: str) -> _Choice:
    """Returns a dictionary read with a prefix, and without wrappers where the names differ."""
    read = {key: key.removeprefix(prefix) for key in tensors if key.startswith(prefix)}
    plain = {_plain(name): name for name in names}
    if len(plain) == len(names) and not read.keys() >= set(names):
        read = {key: plain.get(_plain(name), name) for key, name in read.items()}
    return _Choice(place, tensors, prefix, read, len(set(read.values()) & set(names)))


def _plain(name: str) -> str:
    """Returns a name without the parts that wrappers add."""
    return ".".join(part for part in name.split(".") if part not in WRAPPERS)


def _stripped(saved: Mapping, choice: _Choice) -> list[str]:
    """Returns lines that say where in the file the state dict was, and how its names were read."""
    lines = []
    if choice.place:
        beside = [key for key in saved if key != choice.place.split(".")[0]]
        lines.append(f"read '{choice.place}'" + (f", and not: {_some(beside)}" if beside else ""))
    if choice.prefix:
        lines.append(f"stripped the prefix '{choice.prefix}'")
        outside = [key for key in choice.tensors if key not in choice.names]
        if outside:
            lines.append(f"did not read the keys without that prefix: {_some(outside)}")
    if renamed := choice.renamed():
        lines.append(f"matched without the parts {' and '.join(WRAPPERS)}: {_some(renamed)}")
    return lines


def _converted(state: Mapping[str, Any]) -> list[str]:
    """Returns a line for each dtype of floats that is not float32."""
    floats = [str(value.dtype) for value in state.values() if _is_float(value)]
    return [
        f"{floats.count(dtype)} of {len(floats)} tensors are {dtype} and were converted to "
        "torch.float32"
        for dtype in sorted(set(floats) - {str(torch.float32)})
    ]


def _load(model: nn.Module, path: Path, state: Mapping[str, Any]) -> list[str]:
    """Loads a state dict, and returns a line on what Brevitas computes itself.

    Raises InputError, with the first keys and their number, if the state is of another model.
    """
    try:
        missing, unexpected = model.load_state_dict(state, strict=False)
    except Exception as error:
        ours = model.state_dict()
        lines = [
            f"{key} is {list(value.shape)}, expected {list(ours[key].shape)}"
            for key, value in state.items()
            if isinstance(ours.get(key), Tensor) and isinstance(value, Tensor)
            if ours[key].shape != value.shape
        ]
        lines = lines or [" ".join(line.split()) for line in str(error).splitlines()[1:]]
        lines = lines or [words(error)]
        raise InputError(f"{path}: is not of this model: {_some(lines)}") from None
    computed = [key for key in missing if _is_computed(model, key)]
    missing = [key for key in missing if key not in computed]
    if missing or unexpected:
        parts = [
            f"{len(keys)} {'key' if len(keys) == 1 else 'keys'} {kind} ({_some(keys)})"
            for kind, keys in (("missing", missing), ("unexpected", unexpected))
            if keys
        ]
        raise InputError(f"{path}: is not of this model: {', '.join(parts)}")
    return [f"Brevitas computes from the weights {_some(computed)}"] if computed else []


def _is_computed(model: nn.Module, key: str) -> bool:
    """Returns whether a parameter of a model is one that Brevitas computes from the weights."""
    if "brevitas" not in sys.modules:  # it is optional, and such a model has imported it
        return False
    from brevitas.core.scaling import ParameterFromStatsFromParameterScaling
    from brevitas.core.zero_point import ParameterFromStatsFromParameterZeroPoint

    kinds = ParameterFromStatsFromParameterScaling, ParameterFromStatsFromParameterZeroPoint
    return isinstance(model.get_submodule(key.rpartition(".")[0]), kinds)


def _is_float(value: Any) -> bool:
    """Returns whether a value is a tensor of floats of any size."""
    return isinstance(value, Tensor) and value.is_floating_point()


def _is_finite(value: Any) -> bool:
    """Returns whether a value is no tensor of floats, or one without NaN and infinity."""
    return not _is_float(value) or bool(torch.isfinite(value.double()).all())


def _inner(value: Any) -> list:
    """Returns the plain tensors inside of a tensor of another class, such as torchao's; or itself.

    A class of tensors need not know all operations.
    """
    if not is_traceable_wrapper_subclass(value):
        return [value]
    names, _ = value.__tensor_flatten__()
    return [one for name in names for one in _inner(getattr(value, name))]


def _some(values: Iterable) -> str:
    """Returns the first few of the values as text, and the number of the others."""
    listed = [str(value) for value in values]
    more = f" and {len(listed) - SHOWN} more" if len(listed) > SHOWN else ""
    return ", ".join(listed[:SHOWN]) + more
