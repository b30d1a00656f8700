"""Makes Python take this project's modules from their sources, and from nothing else.

Python trusts a compiled file (.pyc) that was made from a source of the same size, changed in the
same second. So an edit just after a run could go unseen, and an old result would count.
"""

import os
import shutil
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path

from pymodel.support.files import ROOT

ROOMS = ("pymodel", "training", "tb")


def forget_compiled(root: Path = ROOT) -> None:
    """Removes the compiled files of this project in `root`, and keeps Python from writing others.

    From then on neither this process nor those that it starts write compiled files. Those of other
    packages stay.
    """
    sys.dont_write_bytecode = True
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    for room in ROOMS:
        for folder in (root / room).rglob("*"):
            if folder.name == "__pycache__":
                shutil.rmtree(folder, ignore_errors=True)


class SourceLoader(SourceFileLoader):
    """Loads a module from its source, never from a compiled file."""

    def path_stats(self, path: str) -> dict:
        """Raises OSError, so that Python neither reads nor writes a compiled file."""
        raise OSError
