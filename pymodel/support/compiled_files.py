"""Makes Python take this project's modules from their sources, or from exact copies of them.

Python trusts a compiled file (.pyc) that was made from a source of the same size, changed in the
same second. So an edit just after a run could go unseen, and an old result would count. A compiled
file that holds the hash of its source is compared with the source at each import (PEP 552), and
saves each simulation the time of compiling what it imports.
"""

import contextlib
import importlib.util
import os
import py_compile
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path

from pymodel.support.files import ROOT

ROOMS = ("pymodel", "training", "tb")
CHECKED = (0b11).to_bytes(4, "little")  # flags of a compiled file that is held to its source


def compile_changed(root: Path = ROOT) -> None:
    """Compiles the modules of this project in `root` that were changed since they were compiled.

    From then on neither this process nor those that it starts write other compiled files. In a
    folder that cannot be written to nothing is compiled: Python then does that at each import.
    """
    sys.dont_write_bytecode = True
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    for source in (file for room in ROOMS for file in (root / room).rglob("*.py")):
        compiled = Path(importlib.util.cache_from_source(source))
        # What does not compile, or cannot be written, says so where it is used.
        with contextlib.suppress(OSError, SyntaxError, ValueError):
            wanted = CHECKED + importlib.util.source_hash(source.read_bytes())
            if not compiled.exists() or compiled.read_bytes()[4:16] != wanted:
                compiled.unlink(missing_ok=True)
                mode = py_compile.PycInvalidationMode.CHECKED_HASH
                py_compile.compile(str(source), doraise=True, invalidation_mode=mode, quiet=2)


class SourceLoader(SourceFileLoader):
    """Loads a module from its source, never from a compiled file."""

    def path_stats(self, path: str) -> dict:
        """Raises OSError, so that Python neither reads nor writes a compiled file."""
        raise OSError
