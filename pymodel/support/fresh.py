"""Makes Python take this project's modules from their sources, and from nothing else.

Python takes a compiled file (.pyc) for good if it has the size of the source and the second of the
source's last change. So an edit just after a run could go unseen, and an old result would count.
"""

import os
import shutil
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path

from pymodel.support.files import ROOT

ROOMS = ("pymodel", "training", "tb")


def forget_compiled(root: Path = ROOT) -> None:
    """Remove what Python has compiled of this project, in `root`, and let nobody compile it again.

    That holds for this process and those that it starts. Other packages keep theirs.
    """
    sys.dont_write_bytecode = True
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    for room in ROOMS:
        for folder in (root / room).rglob("*"):
            if folder.name == "__pycache__":
                shutil.rmtree(folder, ignore_errors=True)


class SourceLoader(SourceFileLoader):
    """Loads one module from its source, always."""

    def path_stats(self, path: str) -> dict:
        """Raise OSError, so that Python neither reads nor writes a compiled file."""
        raise OSError
