"""Names that scripts and adapters of users may still say, and where what they mean lives now.

The files in pymodel/moved and tb/moved stand for the modules that were there; a package finds them
because its `__init__.py` adds that folder to its path.
"""

import importlib
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path

from pymodel.support.command import run_command
from pymodel.support.files import ROOT

FILES = {
    "tb/array.py": "tb/components/own_array.py",
    "tb/load_first_array.py": "tb/examples/load_first_array.py",
}


def forward(spec: ModuleSpec, new: str) -> None:
    """Make the module of `spec`, which is being imported or run, be the module `new`.

    One line on stderr says where it lives now.
    """
    print(f"note: {spec.name} lives in {new} now", file=sys.stderr)
    module = importlib.import_module(new)
    if sys.modules["__main__"].__spec__ is spec:
        run_command(module.main)
    sys.modules[spec.name] = module


def new_path(path: Path) -> Path:
    """Returns where a file of ours lives now; any other path as it is."""
    for old, new in FILES.items():
        if path == ROOT / old and not path.exists():
            print(f"note: {old} lives in {new} now", file=sys.stderr)
            return ROOT / new
    return path
