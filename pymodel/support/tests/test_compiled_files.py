"""Modules are what their sources say, and importing the project changes nothing in the process."""

import importlib.util
import os
import py_compile
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pymodel.support.compiled_files import compile_changed, forget_compiled
from pymodel.support.files import ROOT

READ = "from edited import VALUE; print(VALUE)"


@pytest.mark.parametrize(
    ("first", "seen"),
    [
        (
            "import sys; from pathlib import Path; "
            "from pymodel.support.compiled_files import compile_changed; "
            "compile_changed(Path(sys.argv[1]))",
            ["1", "2"],
        ),
        ("pass", ["1", "1"]),
    ],
    ids=["a command", "plain Python, which takes the compiled file"],
)
def test_an_edit_within_the_same_second_counts(first, seen, tmp_path):
    """An edit counts although its size is the same and plain Python has compiled the source."""
    room = tmp_path / "tb"
    room.mkdir()
    environment = os.environ | {"PYTHONPATH": os.pathsep.join((str(ROOT), str(room)))}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    found = []
    for value, program in ((1, READ), (2, f"{first}; {READ}")):
        (room / "edited.py").write_text(f"VALUE = {value}\n")
        os.utime(room / "edited.py", (time.time() - 100, 1_700_000_000))
        found.append(
            subprocess.check_output(
                [sys.executable, "-c", program, str(tmp_path)], text=True, env=environment
            ).strip()
        )
    assert found == seen


@pytest.mark.parametrize("inside", ["", "lanes"])
def test_an_edit_of_a_users_module_counts(inside, tmp_path):
    """A module is compiled again, also of the same size and time; a package with its folders."""
    source = tmp_path / "lanes" / "edited.py" if inside else tmp_path / "edited.py"
    source.parent.mkdir(exist_ok=True)
    named = tmp_path / inside / ("__init__.py" if inside else "adapter.py")
    named.touch()
    deep = named.parent / "deep"
    deep.mkdir()
    compiled = []
    for one in (source, deep / "other.py"):
        one.write_text("VALUE = 1\n")
        py_compile.compile(str(one))
        compiled.append(Path(importlib.util.cache_from_source(one)))
    assert all(file.exists() for file in compiled)
    forget_compiled(named)
    assert [file.exists() for file in compiled] == [False, not inside]


def test_what_is_held_to_its_source_stays(module):
    compiled = Path(importlib.util.cache_from_source(module))
    before = compiled.read_bytes()
    forget_compiled(module)
    assert compiled.read_bytes() == before


@pytest.fixture
def module(tmp_path):
    """Returns a module in a room of its own; the compiled file belongs to another value of it."""
    (tmp_path / "tb").mkdir()
    source = tmp_path / "tb" / "edited.py"
    source.write_text("VALUE = 1\n")
    compile_changed(tmp_path)
    source.write_text("VALUE = 2\n")
    return source


def value_of(source: Path) -> str:
    """Returns VALUE as a Python process sees it that writes no compiled file."""
    environment = os.environ | {"PYTHONPATH": str(source.parent), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.check_output([sys.executable, "-c", READ], text=True, env=environment).strip()


def test_a_compiled_file_is_held_to_its_source(module):
    assert value_of(module) == "2"


def test_only_what_changed_is_compiled_and_then_used(module, tmp_path):
    compiled = Path(importlib.util.cache_from_source(module))
    compile_changed(tmp_path)
    whole = compiled.read_bytes()
    before = compiled.stat().st_mtime_ns
    compile_changed(tmp_path)
    assert (compiled.read_bytes(), compiled.stat().st_mtime_ns) == (whole, before)
    module.write_text("VALUE = \n")
    compile_changed(tmp_path)
    assert not compiled.exists()


def test_a_folder_that_cannot_be_written_to_is_left(module, monkeypatch, tmp_path):
    def refuse(*arguments, **options):
        raise PermissionError

    monkeypatch.setattr(py_compile, "compile", refuse)
    compile_changed(tmp_path)
    assert value_of(module) == "2"


def test_importing_changes_nothing_in_the_process():
    """A user's program can import the project: that sets no hook, no setting, no variable."""
    program = (
        "import os, sys\n"
        "def state():\n"
        "    return ([*sys.path], [*sys.path_hooks], [*sys.meta_path], dict(os.environ),\n"
        "            sys.dont_write_bytecode, sys.pycache_prefix, sys.excepthook)\n"
        "before = state()\n"
        "import pymodel, tb, training\n"
        "assert state() == before\n"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)


def test_no_part_of_a_compiled_file_stays(tmp_path):
    """Where a compiled file cannot be written as a whole, none is left, and the module loads."""
    (tmp_path / "tb").mkdir()
    source = tmp_path / "tb" / "edited.py"
    source.write_text("VALUE = 1\n" + "".join(f"VALUE_{n} = {n}\n" for n in range(1000)))
    program = (
        "import resource, sys; from pathlib import Path; "
        "from pymodel.support.compiled_files import compile_changed; "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000)); "
        f"compile_changed(Path(sys.argv[1])); {READ}"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join((str(ROOT), str(tmp_path / "tb")))}
    found = subprocess.check_output(
        [sys.executable, "-c", program, str(tmp_path)], text=True, env=environment
    )
    assert found == "1\n"
    assert list(tmp_path.rglob("*.pyc*")) == []
