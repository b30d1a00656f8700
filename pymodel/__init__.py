"""What the trained network computes: quantisers, network, checkpoint, capture, tiles, reference."""

import sys
from importlib.machinery import SOURCE_SUFFIXES, FileFinder, SourceFileLoader
from pathlib import Path


class FreshLoader(SourceFileLoader):
    """Loads a module from its source, always.

    Python takes a .pyc file for good if size and second of the last change are the source's: an
    edit just after a run could go unseen.
    """

    def path_stats(self, path: str) -> dict:
        """None, without which a .pyc file is neither read nor written."""
        raise OSError


def _fresh(path: str) -> FileFinder:
    """For the modules of this project's folders, and nothing else."""
    root = Path(__file__).parents[1]
    inside = Path(path).relative_to(root).parts if Path(path).is_relative_to(root) else ()
    if not inside or inside[0].startswith("."):
        raise ImportError
    return FileFinder(path, (FreshLoader, SOURCE_SUFFIXES))


sys.path_hooks.insert(0, _fresh)
