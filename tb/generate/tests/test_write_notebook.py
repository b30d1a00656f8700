"""docs/squeezed_layer.ipynb holds what it promises, runs, and is written whole or not at all."""

import ast
import copy
import importlib
import re
import sys
from collections.abc import Iterator

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from pymodel.reference.layer_data import MAX_ABS_ERROR
from tb.generate import write_notebook as command_of_notebook
from tb.generate.write_notebook import NOTEBOOK, execute, read

MOST_BYTES = 500 * 1024
SWITCH = 'TRAIN = "shipped"'
ELSEWHERE = r"/(?:home|root|tmp|usr|Users|opt)/"  # a path of the machine that ran the notebook


@pytest.fixture(scope="module")
def shipped_notebook() -> nbformat.NotebookNode:
    return read(NOTEBOOK)


def code_cells(notebook: nbformat.NotebookNode) -> list:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def printed(notebook: nbformat.NotebookNode) -> str:
    """Returns all that the cells print to standard output."""
    outputs = [output for cell in code_cells(notebook) for output in cell.outputs]
    return "\n".join(output.text for output in outputs if output.get("name") == "stdout")


def unresolved(source: str) -> Iterator[str]:
    """Yields the imports of a cell that lead nowhere."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found = [(alias.name, None) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found = [(node.module, alias.name) for alias in node.names]
        else:
            continue
        for module, name in found:
            try:
                if name and not hasattr(importlib.import_module(module), name):
                    importlib.import_module(f"{module}.{name}")
                elif not name:
                    importlib.import_module(module)
            except ImportError as error:
                yield f"import: {error}"


def wrong_text(notebook: nbformat.NotebookNode) -> Iterator[str]:
    """Yields what is wrong with the cells before they run."""
    promised = re.findall(r"^(\d+\. .+)$", notebook.cells[0].source, re.MULTILINE)
    words = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    headings = re.findall(r"^## (\d+\. .+)$", "\n".join(words), re.MULTILINE)
    if not promised or headings != promised:
        yield f"sections: {headings}, expected {promised}"
    for before, cell in zip([None, *notebook.cells], notebook.cells, strict=False):
        if cell.cell_type == "code":
            if before is None or before.cell_type != "markdown":
                yield f"explanation: none before {cell.source!r}"
            yield from unresolved(cell.source)
    for target in re.findall(r"\]\(([^)#]+)\)", "\n".join(words)):
        if not (NOTEBOOK.parent / target).exists():
            yield f"link: {target} is not there"


def wrong_outputs(notebook: nbformat.NotebookNode) -> Iterator[str]:
    """Yields what is wrong with the outputs of the cells."""
    cells = code_cells(notebook)
    counts = [cell.execution_count for cell in cells]
    if counts != list(range(1, len(cells) + 1)):
        yield f"order: cells ran as {counts}"
    for cell in cells:
        kinds = [output.output_type for output in cell.outputs]
        pictures = [output for output in cell.outputs if "image/png" in output.get("data", {})]
        if "error" in kinds or any(output.get("name") == "stderr" for output in cell.outputs):
            yield f"error: {cell.source!r} raises or complains"
        if "plt.subplots" in cell.source and not pictures:
            yield f"picture: none of {cell.source!r}"
    found = re.findall(r"^largest error of the .*output.*: (\S+) ", printed(notebook), re.M)
    if len(found) != 2 or not all(float(error) < MAX_ABS_ERROR for error in found):
        yield f"recovered: errors {found}, expected two below {MAX_ABS_ERROR:g}"
    if place := re.search(ELSEWHERE + r"\S*", printed(notebook)):
        yield f"path: {place[0]} is on one machine alone"


def wrong(notebook: nbformat.NotebookNode) -> list[str]:
    """Returns all that is wrong with a notebook that was run; the list is empty if it is right."""
    found = [*wrong_text(notebook), *wrong_outputs(notebook)]
    if (size := len(nbformat.writes(notebook).encode())) >= MOST_BYTES:
        found.append(f"size: {size:,} bytes, expected below {MOST_BYTES:,}")
    return found


def test_notebook_holds_what_it_promises(shipped_notebook):
    assert shipped_notebook.nbformat == 4
    assert sum(cell.source.count(SWITCH) for cell in code_cells(shipped_notebook)) == 1
    assert wrong(shipped_notebook) == []


def swap_sections(notebook):
    titles = [cell for cell in notebook.cells if cell.source.startswith("## ")]
    titles[2].source, titles[3].source = titles[3].source, titles[2].source


def explain_nothing(notebook):
    del notebook.cells[-3]


def import_what_is_not_there(notebook):
    code_cells(notebook)[-1].source += "\nfrom pymodel.layer_capture import captured"


def link_to_nothing(notebook):
    notebook.cells[0].source += " [more](more.md)"


def leave_a_cell_out(notebook):
    code_cells(notebook)[-1].execution_count = None


def raise_in_a_cell(notebook):
    error = new_output("error", ename="ValueError", evalue="", traceback=[])
    code_cells(notebook)[0].outputs = [error]


def complain_in_a_cell(notebook):
    complaint = new_output("stream", name="stderr", text="a warning")
    code_cells(notebook)[0].outputs = [complaint]


def draw_nothing(notebook):
    code_cells(notebook)[-1].outputs = []


def recover_badly(notebook):
    for output in (output for cell in code_cells(notebook) for output in cell.outputs):
        if "recovered from the RTL" in output.get("text", ""):
            output.text = re.sub(r": \S+ ", ": 2.00e-03 ", output.text)


def print_a_path(notebook):
    path = new_output("stream", name="stdout", text="written: /home/somebody/x")
    code_cells(notebook)[0].outputs = [path]


def grow(notebook):
    notebook.cells[0].source += " " * MOST_BYTES


@pytest.mark.parametrize(
    ("fault", "complaint"),
    [
        (swap_sections, "sections"),
        (explain_nothing, "explanation"),
        (import_what_is_not_there, "import"),
        (link_to_nothing, "link"),
        (leave_a_cell_out, "order"),
        (raise_in_a_cell, "error"),
        (complain_in_a_cell, "error"),
        (draw_nothing, "picture"),
        (recover_badly, "recovered"),
        (print_a_path, "path"),
        (grow, "size"),
    ],
)
def test_each_fault_is_found(shipped_notebook, fault, complaint):
    faulty = copy.deepcopy(shipped_notebook)
    fault(faulty)
    assert {found.partition(":")[0] for found in wrong(faulty)} == {complaint}


@pytest.fixture
def small_notebook(monkeypatch, tmp_path):
    """Returns a function that puts a notebook of some code cells in the place of ours."""
    path = tmp_path / "small.ipynb"
    monkeypatch.setattr(command_of_notebook, "ROOT", tmp_path)
    monkeypatch.setattr(command_of_notebook, "NOTEBOOK", path)

    def write(*sources: str):
        cells = [new_markdown_cell("Words"), *map(new_code_cell, sources)]
        nbformat.write(new_notebook(cells=cells), path)
        return path

    return write


@pytest.mark.verify
def test_command_writes_the_outputs(command, small_notebook):
    draw = "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()"
    path = small_notebook("print(6 * 7)", draw)
    code, out, err = command(command_of_notebook.main)
    assert (code, out, err) == (0, "Written: small.ipynb\n", "")
    number, picture = code_cells(read(path))
    assert (number.execution_count, number.outputs[0].text) == (1, "42\n")
    assert picture.outputs[0].data["image/png"].startswith("iVBORw0KGgo")  # as PNG files begin


@pytest.mark.verify
@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("raise ValueError('first line\\nsecond')", "raises ValueError: first line second"),
        pytest.param(
            "import os\nos._exit(1)",
            "ends the Python process that runs it",
            marks=pytest.mark.verify,
        ),
    ],
)
def test_failing_cell_is_one_line(command, small_notebook, source, reason):
    """A cell that fails gives one line with its number, and the file stays as it was."""
    path = small_notebook("x = 1", source, "x = 2")
    before = path.read_bytes()
    code, out, _ = command(command_of_notebook.main)
    assert code == 1
    assert out == f"FAILED: small.ipynb: code cell 2 {reason}\n"
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_bad_notebooks_are_refused(refused, small_notebook):
    path = small_notebook("x = 1")
    path.write_text("{}")
    refused(command_of_notebook.main, words=[str(path), "no valid notebook"])
    path.write_text("not even JSON")
    refused(command_of_notebook.main, words=[str(path), "no valid notebook"])
    path.unlink()
    refused(command_of_notebook.main, words=[str(path), "No such file"])


@pytest.mark.parametrize("missing", ["nbclient", "nbformat", "ipykernel"])
def test_missing_package_is_named(refused, small_notebook, monkeypatch, missing):
    small_notebook("x = 1")
    monkeypatch.setitem(sys.modules, missing, None)
    words = [f"{missing} is not installed", ".venv/bin/pip install"]
    refused(command_of_notebook.main, words=words)


@pytest.mark.verify
@pytest.mark.parametrize("train", ["shipped", "few steps"])
def test_notebook_runs_from_top_to_bottom(shipped_notebook, train):
    ours = copy.deepcopy(shipped_notebook)
    for cell in code_cells(ours):
        cell.source = cell.source.replace(SWITCH, f'TRAIN = "{train}"')
        cell.outputs, cell.execution_count = [], None
    execute(ours, NOTEBOOK.parent)
    command_of_notebook.shrink_pictures(ours)
    assert wrong(ours) == []
    assert f"{train}: accuracy" in printed(ours)
