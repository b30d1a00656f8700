"""Keeps old names of modules and files working, which scripts and adapters of users may contain.

Each file in pymodel/old_names and tb/old_names has the old name of a module that was moved. A
package finds these files because its `__init__.py` adds the folder to the path of the package.
"""

import importlib
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path

from pymodel.support.command import run_command
from pymodel.support.files import ROOT

# New path of each file that was moved, by its old path; both are relative to the repository.
FILES = {
    "tb/array.py": "tb/components/systolic_array_adapter.py",
    "tb/load_first_array.py": "tb/examples/load_first_array.py",
}


def forward(spec: ModuleSpec, new: str) -> None:
    """Replaces the module of `spec`, which is being imported or run, by the module named `new`.

    One line on stderr names the new module.
    """
    print(f"note: {spec.name} lives in {new} now", file=sys.stderr)
    module = importlib.import_module(new)
    if sys.modules["__main__"].__spec__ is spec:
        run_command(module.main)
    sys.modules[spec.name] = module


def new_path(path: Path) -> Path:
    """Returns the new path if `path` is the old path of a moved file, and otherwise `path`.

    One line on stderr names the new path of a moved file.
    """
    for old, new in FILES.items():
        if path == ROOT / old and not path.exists():
            print(f"note: {old} lives in {new} now", file=sys.stderr)
            return ROOT / new
    return path
