"""Runs docs/squeezed_layer.ipynb from top to bottom and writes it with its outputs.

python -m tb.generate notebook
"""

import base64
import io
import os
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

from PIL import Image

from pymodel.support.command import CommandParser, conclude
from pymodel.support.errors import InputError
from pymodel.support.files import ROOT, replacing

NOTEBOOK = ROOT / "docs" / "squeezed_layer.ipynb"


class CellError(Exception):
    """A cell did not run to its end. The message is one line with the cell's number."""


def jupyter() -> tuple[ModuleType, ModuleType]:
    """Returns nbclient and nbformat; raises InputError with what to install if one is missing."""
    try:
        import ipykernel  # noqa: F401, the process that runs the cells
        import nbclient
        import nbformat
    except ModuleNotFoundError as error:
        raise InputError(
            f"{error.name} is not installed, expected what runs a notebook; install it with: "
            ".venv/bin/pip install nbclient nbformat ipykernel"
        ) from None
    return nbclient, nbformat


def read(path: Path) -> Any:
    """Returns the notebook in file `path`, an nbformat.NotebookNode.

    Raises InputError if the file cannot be read or is no valid notebook.
    """
    _, nbformat = jupyter()
    try:
        notebook = nbformat.read(path, as_version=nbformat.NO_CONVERT)
        nbformat.validate(notebook)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}, expected a notebook") from None
    except (ValueError, nbformat.ValidationError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: is no valid notebook ({reason})") from None
    return notebook


def execute(notebook: Any, folder: Path) -> None:
    """Runs all code cells of `notebook` in a new Python process with working directory `folder`.

    Their outputs replace those in `notebook`. Raises CellError for the first cell that raises an
    exception or ends the process; code cells are numbered from 1.
    """
    nbclient, _ = jupyter()
    number = 0

    def count(cell: Any, cell_index: int) -> None:
        nonlocal number
        if cell.cell_type == "code":
            number += 1

    client = nbclient.NotebookClient(
        notebook,
        timeout=None,  # a preset trains for hours
        startup_timeout=600,  # seconds: a busy machine takes its time
        record_timing=False,
        on_cell_start=count,
        resources={"metadata": {"path": str(folder)}},
    )
    with tempfile.TemporaryDirectory() as own:
        manager = client.create_kernel_manager()
        manager.connection_file = f"{own}/kernel.json"
        manager.transport, manager.ip = "ipc", f"{own}/kernel"  # sockets, which no other user sees
        try:
            # IPython's profile is there, too: no start-up file of the user's counts.
            client.execute(env=os.environ | {"IPYTHONDIR": own})
        except nbclient.exceptions.CellExecutionError as error:
            reason = " ".join(f"{error.ename}: {error.evalue}".split())
            raise CellError(f"code cell {number} raises {reason}") from None
        except nbclient.exceptions.DeadKernelError:
            raise CellError(f"code cell {number} ends the Python process that runs it") from None


def shrink_pictures(notebook: Any) -> None:
    """Replaces each PNG in the outputs by one of 256 colours, which takes a third of the bytes."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if png := output.get("data", {}).get("image/png"):
                picture = Image.open(io.BytesIO(base64.b64decode(png)))
                file = io.BytesIO()
                picture.convert("RGB").quantize(256).save(file, "PNG", optimize=True)
                output.data["image/png"] = base64.b64encode(file.getvalue()).decode()


def main() -> int:
    CommandParser("tb.generate notebook", __doc__).parse_args()
    notebook = read(NOTEBOOK)
    try:
        execute(notebook, NOTEBOOK.parent)
    except CellError as error:
        return conclude(f"FAILED: {NOTEBOOK.relative_to(ROOT)}: {error}", passed=False)
    shrink_pictures(notebook)
    _, nbformat = jupyter()
    with replacing(NOTEBOOK) as temporary:
        nbformat.write(notebook, temporary)
    return conclude(f"Written: {NOTEBOOK.relative_to(ROOT)}")
