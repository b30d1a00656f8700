"""Keeps results under the hash of all that they follow from, so that nothing stale ever counts.

What a result follows from is its identity, a JSON object: inputs, Verilog sources, our own code,
tools and their versions. A result is found again by its identity alone, in whatever order or on
whatever machine it came about.
"""

import ast
import functools
import hashlib
import json
import threading
import zipfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from pymodel.support.files import ROOT, replacing, temporary_folder, write_json

KEPT = ROOT / "build" / "kept"
Identity = dict[str, Any]  # JSON
_PARSING = threading.Lock()  # Python 3.11 fails if two threads parse (CPython issue 106905)


def digest(*parts: bytes | str) -> str:
    """Returns the SHA-256 of the parts, 64 hexadecimal digits; no two lists of parts share one."""
    sha = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        sha.update(len(data).to_bytes(8, "little") + data)
    return sha.hexdigest()


def files_digest(files: Iterable[Path]) -> str:
    """Returns the hash of files: of their paths below the project's root, and of their contents.

    Files elsewhere have their names alone, which several may share.
    """
    named = sorted(
        (str(file.relative_to(ROOT) if file.is_relative_to(ROOT) else file.name), file.read_bytes())
        for file in set(files)
    )
    return digest(*(part for pair in named for part in pair))


@functools.cache
def imported(module: str) -> frozenset[Path]:
    """Returns the Python sources of this project that a module ("tb.test_pe") follows from.

    These are its own, those of all modules that it imports, directly or through others, and the
    `__init__.py` of every package on the way.
    """
    found: dict[str, Path] = {}
    todo = [module]
    while todo:
        name = todo.pop()
        parent, _, _ = name.rpartition(".")
        path = ROOT / name.replace(".", "/")
        source = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        if name in found or not source.exists():
            continue
        found[name] = source
        todo += [parent] if parent else []
        todo += names_imported(source)
    return frozenset(found.values())


def names_imported(source: Path) -> list[str]:
    """Returns the names that a Python source imports, of modules and of what is in them.

    Raises SyntaxError if it is no Python.
    """
    return _names_imported(source.read_text(encoding="utf-8"))


@functools.cache
def _names_imported(text: str) -> list[str]:
    """Returns the names that a Python source of this text imports; most sources are asked often."""
    with _PARSING:
        tree = ast.parse(text)
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
    return names


def code_files(*modules: str, without: Sequence[str] = ()) -> frozenset[Path]:
    """Returns the files of this project that a result of these modules follows from.

    Beside the Python sources that they import, these are all other files in the same folders that a
    program reads: Verilog, C++, control files, tables. `without` names modules that are lists; the
    one entry that a result follows from is part of its identity instead.
    """
    sources = frozenset().union(*map(imported, modules))
    beside = {
        file
        for folder in {source.parent for source in sources}
        for file in folder.iterdir()
        if file.is_file() and file.suffix not in (".py", ".md") and not file.name.startswith(".")
    }
    return sources - {ROOT / f"{name.replace('.', '/')}.py" for name in without} | beside


def code(*modules: str, without: Sequence[str] = ()) -> str:
    """Returns the hash of the code that a result of these modules follows from; see `code_files`.

    It is the hash of the files as they are now, although the process may have loaded them earlier.
    """
    return files_digest(code_files(*modules, without=without))


class Store:
    """Keeps results of one kind in a folder of `build/kept`: JSON values, arrays, or whole folders.

    A result appears under its name when it is whole. A damaged result counts as missing.
    """

    def __init__(self, kind: str, root: Path = KEPT):
        self.folder = root / kind

    def path(self, identity: Identity, label: str = "") -> Path:
        """Returns where a result of this identity is kept; `label` makes its name readable."""
        key = digest(_text(identity))[:32]
        return self.folder / (f"{label[:120]}-{key}" if label else key)

    def load(self, identity: Identity) -> Any | None:
        """Returns a kept JSON value, or None if there is none or it is damaged."""
        try:
            kept = json.loads(self.path(identity).with_suffix(".json").read_text(encoding="utf-8"))
            return kept["value"] if kept["identity"] == json.loads(_text(identity)) else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def save(self, identity: Identity, value: Any) -> None:
        """Keeps a JSON value. Raises InputError if it cannot be written."""
        write_json(self.path(identity).with_suffix(".json"), {"identity": identity, "value": value})

    def load_arrays(self, identity: Identity) -> dict[str, np.ndarray] | None:
        """Returns kept arrays by name, or None if there are none or they are damaged."""
        try:
            with np.load(self.path(identity).with_suffix(".npz"), allow_pickle=False) as kept:
                arrays = dict(kept)
        except (EOFError, OSError, ValueError, zipfile.BadZipFile):
            return None
        return arrays if str(arrays.pop("identity", "")) == _text(identity) else None

    def save_arrays(self, identity: Identity, arrays: dict[str, np.ndarray]) -> None:
        """Keeps arrays by name. Raises InputError if they cannot be written."""
        path = self.path(identity).with_suffix(".npz")
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.savez(file, identity=np.array(_text(identity)), **arrays)

    def forget_arrays(self, identity: Identity) -> None:
        """Removes kept arrays, if there are any."""
        self.path(identity).with_suffix(".npz").unlink(missing_ok=True)

    def make(self, identity: Identity, label: str, write: Callable[[Path], None]) -> Path:
        """Returns a kept folder; if there is none yet, `write(folder)` fills a new one first."""
        place = self.path(identity, label)
        if not place.exists():
            with temporary_folder(label[:120], self.folder) as temporary:
                write(temporary)
                self.adopt(temporary, place)
        return place

    def adopt(self, folder: Path, place: Path) -> None:
        """Renames a whole folder to `place`, unless another process has made `place` before.

        Raises OSError if the folder cannot be renamed.
        """
        with suppress(OSError):
            folder.rename(place)
        if not place.exists():
            folder.rename(place)  # raises the reason why the folder cannot be renamed


def _text(identity: Identity) -> str:
    """Returns the one JSON text of an identity."""
    return json.dumps(identity, sort_keys=True)
