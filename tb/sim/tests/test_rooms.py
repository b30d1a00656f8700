"""Imports run one way between the rooms, rooms are small, and nothing that ships imports a test."""

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pymodel.support.files import ROOT

TOP = ("pymodel", "training", "tb")
MOST_FILES = 20
# Folders with a file for each RTL module
PER_MODULE = {"rtl", "tb", "tb/formal/properties"}


def tracked() -> list[Path]:
    """Returns the files of this repository, relative to its root."""
    said = subprocess.check_output(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT)
    return [Path(name) for name in said.decode().splitlines() if (ROOT / name).exists()]


@pytest.fixture
def copy(tmp_path):
    """Returns a folder with a copy of the Python sources and of the rules."""
    for name in tracked():
        if (name.parts[0] in TOP and name.suffix == ".py") or name.name == "pyproject.toml":
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def order(folder: Path) -> tuple[int, str]:
    """Returns what import-linter says of the sources in `folder`: exit code and output."""
    program = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([program, "--no-cache"], cwd=folder, capture_output=True, text=True)
    return done.returncode, done.stdout


def test_imports_run_one_way():
    code, said = order(ROOT)
    assert code == 0, said


@pytest.mark.parametrize(
    ("file", "line", "broken"),
    [
        ("pymodel/vgg.py", "import training.recipe", "The folders at the top level BROKEN"),
        ("pymodel/support/files.py", "import pymodel.vgg", "The rooms of pymodel BROKEN"),
        ("tb/sim/run_bench.py", "import tb.components.array_adapter", "The rooms of tb BROKEN"),
        ("tb/sim/results_xml.py", "import tb.sim.run_bench", "No circles inside a room BROKEN"),
    ],
)
def test_an_import_the_other_way_is_found(copy, file, line, broken):
    (copy / file).write_text(f"{(copy / file).read_text()}\n{line}\n")
    code, said = order(copy)
    assert code == 1
    assert broken in said


def imports_of_tests(root: Path) -> list[str]:
    """Returns a line for each shipping source below `root` that imports a test."""
    found = []
    for top in TOP:
        for path in (root / top).rglob("*.py"):
            name = path.relative_to(root)
            if "tests" in name.parts or path.name.startswith("test_"):
                continue
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if not isinstance(node, ast.Import | ast.ImportFrom):
                    continue
                modules = [alias.name for alias in node.names]
                if isinstance(node, ast.ImportFrom):
                    modules = [node.module or "", *(f"{node.module}.{n}" for n in modules)]
                for module in modules:
                    parts = module.split(".")
                    if parts[0] in TOP and ("tests" in parts or parts[-1].startswith("test_")):
                        found.append(f"{name}: {module}")
    return found


def test_nothing_that_ships_imports_a_test(copy):
    """An import of a test by a shipping source is also found in a copy where it is planted."""
    assert imports_of_tests(ROOT) == []
    (copy / "tb" / "run" / "layer.py").write_text("from tb.test_pe import PE\n")
    (copy / "pymodel" / "vgg.py").write_text("import pymodel.tests\n")
    assert len(imports_of_tests(copy)) >= 2


def overfull(files: list[Path]) -> list[str]:
    """Returns a line for each folder with too many files, or a file that does not belong there."""
    found = []
    folders = {file.parent for file in files if len(file.parts) > 1}
    for folder in sorted(folders - {Path(name) for name in PER_MODULE}):
        count = sum(file.parent == folder for file in files)
        if count > MOST_FILES:
            found.append(f"{folder}: {count} files, expected at most {MOST_FILES}")
    for file in files:
        if file.parent == Path("tb") and file.name not in ("README.md", "__init__.py"):
            module = file.stem.removeprefix("test_")
            if not (ROOT / "rtl" / f"{module}.v").exists() and module not in SYSTEM_BENCHES:
                found.append(f"{file}: no bench of a module of rtl/, expected in a room")
    return found


# Benches of the array and the core as a whole
SYSTEM_BENCHES = {
    "assumptions",
    "contract",
    "core_layers",
    "core_packets",
    "core_random",
    "core_states",
    "core_wires",
}


def test_rooms_are_small_and_tb_holds_benches_alone():
    files = tracked()
    assert overfull(files) == []
    assert overfull([*files, *(Path(f"docs/{n}.md") for n in range(30))])
    assert overfull([*files, Path("tb/report.py")])


def test_every_room_has_a_sentence():
    """The `__init__.py` of each room has a sentence about the room; folders of tests have none."""
    for file in tracked():
        if file.name == "__init__.py" and "tests" not in file.parts:
            text = ast.get_docstring(ast.parse((ROOT / file).read_text())) or ""
            assert text.endswith("."), f"{file}: {text!r} is no sentence"
