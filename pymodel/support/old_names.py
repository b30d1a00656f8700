"""Keeps old names of modules and files working, which scripts and adapters of users may hold.

The files in pymodel/old_names and tb/old_names stand for modules that now live elsewhere. A package
finds them because its `__init__.py` adds that folder to its path.
"""

import importlib
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path

from pymodel.support.command import run_command
from pymodel.support.files import ROOT

FILES = {
    "tb/array.py": "tb/components/systolic_array_adapter.py",
    "tb/load_first_array.py": "tb/examples/load_first_array.py",
}


def forward(spec: ModuleSpec, new: str) -> None:
    """Makes the module of `spec`, which is being imported or run, be the module `new`.

    One line on stderr says where the module lives now.
    """
    print(f"note: {spec.name} lives in {new} now", file=sys.stderr)
    module = importlib.import_module(new)
    if sys.modules["__main__"].__spec__ is spec:
        run_command(module.main)
    sys.modules[spec.name] = module


def new_path(path: Path) -> Path:
    """Returns where a moved file of this project lives now, or any other path as it is.

    One line on stderr says so if the file has moved.
    """
    for old, new in FILES.items():
        if path == ROOT / old and not path.exists():
            print(f"note: {old} lives in {new} now", file=sys.stderr)
            return ROOT / new
    return path
