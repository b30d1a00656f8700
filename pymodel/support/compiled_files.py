"""Makes Python run what the sources of this project say, and not an outdated compiled file.

Python trusts a compiled file (.pyc) that was made from a source of the same size, changed in the
same second. So an edit just after a run could go unseen, and an old result would count. A compiled
file that holds the hash of its source is compared with the source at each import (PEP 552), and
saves each simulation the time of compiling what it imports.
"""

import contextlib
import importlib.util
import marshal
import os
import py_compile
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path

from pymodel.support.errors import InputError
from pymodel.support.files import ROOT, replacing

PACKAGES = ("pymodel", "training", "tb")
# Flags in the header of a compiled file that holds the hash of its source, and that Python compares
# with the source at each import (PEP 552).
CHECKED = (0b11).to_bytes(4, "little")


def compile_changed(root: Path = ROOT) -> None:
    """Compiles the modules of this project in `root` that were changed since they were compiled.

    After the call, this process and the processes that it starts write no other compiled files. In
    a folder that cannot be written to, no module is compiled, and Python compiles the modules at
    each import.
    """
    sys.dont_write_bytecode = True
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    for source in (file for name in PACKAGES for file in (root / name).rglob("*.py")):
        compiled = Path(importlib.util.cache_from_source(source))
        # A source with a mistake is reported when it is imported, and a module without a compiled
        # file is compiled when it is imported. So neither is an error here.
        with contextlib.suppress(InputError, OSError, SyntaxError, ValueError):
            wanted = CHECKED + importlib.util.source_hash(source.read_bytes())
            if not compiled.exists() or compiled.read_bytes()[4:16] != wanted:
                compiled.unlink(missing_ok=True)
                _compile(source, compiled)


def _compile(source: Path, compiled: Path) -> None:
    """Writes the compiled file of `source`, whole or not at all.

    Python's own writer takes a part of the file for all of it if the disk fills up or the size of
    files is limited.
    """
    mode = py_compile.PycInvalidationMode.CHECKED_HASH
    with replacing(compiled) as temporary:
        py_compile.compile(
            str(source), str(temporary), doraise=True, invalidation_mode=mode, quiet=2
        )
        try:
            marshal.loads(temporary.read_bytes()[16:])
        except EOFError:
            raise OSError(f"{compiled}: not written as a whole") from None


def forget_compiled(source: Path) -> None:
    """Removes compiled files of a user's modules that could be outdated, before they are imported.

    These are the modules in the folder of `source`, and in all folders below it if it is the
    `__init__.py` of a package. Python makes the compiled files again. Those that hold the hash of
    their source stay, and so do all of installed packages, which nobody edits.
    """
    folder = source.absolute().parent
    if any(folder.is_relative_to(Path(one).resolve()) for one in (sys.prefix, sys.base_prefix)):
        return
    caches = (
        folder.rglob("__pycache__") if source.name == "__init__.py" else [folder / "__pycache__"]
    )
    for compiled in (file for cache in caches for file in cache.glob("*.pyc")):
        with contextlib.suppress(OSError):
            if compiled.read_bytes()[4:8] != CHECKED:
                compiled.unlink()


class SourceLoader(SourceFileLoader):
    """Loads a module from its source, never from a compiled file."""

    def path_stats(self, path: str) -> dict:
        """Raises OSError, so that Python neither reads nor writes a compiled file."""
        raise OSError
