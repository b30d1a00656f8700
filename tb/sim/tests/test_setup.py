"""setup.sh says what it installs, and leaves pip's own variables to pip."""

import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import find_libpython
import pip
import pytest

from pymodel.support.files import ROOT
from tb.modules.pytest_runs import first_few

PINS = """\
find_libpython==0.5.1

# What these bring along
needed==1.0
"""
SOURCES = {  # how each of pip's variables says where packages come from
    "a folder": {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "{wheels}"},
    "an index": {"PIP_INDEX_URL": "file://{index}"},
    "another index": {"PIP_INDEX_URL": "file://{empty}", "PIP_EXTRA_INDEX_URL": "file://{index}"},
}


def wheel(folder: Path, name: str, version: str, source: str = "") -> Path:
    """Writes the wheel of a package that consists of one module; returns its path."""
    path = folder / f"{name}-{version}-py3-none-any.whl"
    about = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(f"{name}.py", source)
        file.writestr(
            f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        )
        file.writestr(
            f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        file.writestr(f"{about}/RECORD", "")
    return path


@pytest.fixture
def set_up(tmp_path):
    """Returns a function that runs setup.sh on a list of two packages.

    One of the two packages has a build of its own, as torch has.
    """
    wheels, empty = tmp_path / "wheels", tmp_path / "empty"
    for folder in (wheels, empty):
        folder.mkdir()
    library = find_libpython.find_libpython()
    wheel(wheels, "find_libpython", "0.5.1+cpu", f"find_libpython = lambda: {library!r}\n")
    wheel(wheels, "needed", "1.0")
    wheel(wheels, "jupyterlab", "4.6.6")
    for path in wheels.iterdir():
        page = tmp_path / "index" / path.name.split("-")[0].replace("_", "-") / "index.html"
        page.parent.mkdir(parents=True)
        page.write_text(f'<a href="{path.as_uri()}">{path.name}</a>')

    checkout = tmp_path / "checkout"
    checkout.mkdir()
    for name in ("setup.sh", "requirements-notebook.txt"):
        shutil.copy(ROOT / name, checkout)
    (checkout / "requirements.txt").write_text(PINS)
    # Made here without pip, which takes long to install: it is found beside the environment.
    venv.create(checkout / ".venv", symlinks=True)
    (checkout / ".venv" / "bin" / "pip").symlink_to("/bin/true")
    (tmp_path / "pip").mkdir()
    (tmp_path / "pip" / "pip").symlink_to(Path(pip.__file__).parent)
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    clean |= {"PIP_CONFIG_FILE": os.devnull, "PYTHONPATH": str(tmp_path / "pip")}
    clean["PYTHON"] = sys.executable

    def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess:
        where = {"wheels": wheels, "index": tmp_path / "index", "empty": empty}
        chosen = {name: value.format(**where) for name, value in variables.items()}
        return subprocess.run(
            ["sh", "setup.sh", *arguments],
            cwd=checkout,
            env=clean | chosen,
            capture_output=True,
            text=True,
        )

    run.checkout = checkout
    return run


def installed(checkout: Path) -> set[str]:
    """Returns the packages in the environment of a checkout, with their versions."""
    return {path.stem for path in checkout.glob(".venv/lib/python*/site-packages/*.dist-info")}


@pytest.mark.parametrize("source", first_few(SOURCES, 1))
def test_pips_variables_choose_the_source(set_up, source):
    result = set_up(**SOURCES[source])
    assert result.returncode == 0, result.stderr
    assert installed(set_up.checkout) == {"find_libpython-0.5.1+cpu", "needed-1.0"}


@pytest.mark.verify
def test_a_script_that_overrides_pips_variables_is_found(set_up):
    script = set_up.checkout / "setup.sh"
    text = script.read_text()
    assert text.count(" install -r ") == 1
    script.write_text(text.replace(" install -r ", " --isolated install --no-index -r "))
    assert set_up(**SOURCES["a folder"]).returncode == 1
    assert installed(set_up.checkout) == set()


def test_what_is_installed_is_said_once(set_up):
    first, second = (set_up(**SOURCES["a folder"]) for _ in range(2))
    assert first.stdout.startswith(
        "Installing into .venv: find_libpython, and what these bring along (1)\nTo download"
    )
    assert "several GB with CUDA" in first.stdout
    assert (second.returncode, second.stdout) == (0, "")


@pytest.mark.verify
def test_a_constraint_of_the_users_counts(set_up, tmp_path):
    """The user's constraint asks for another version than the pinned one: nothing is installed."""
    constraint = tmp_path / "constraint.txt"
    constraint.write_text("needed==2.0\n")
    result = set_up(**SOURCES["a folder"], PIP_CONSTRAINT=str(constraint))
    assert result.returncode == 1
    assert "Cannot install needed==1.0" in result.stderr
    assert result.stderr.splitlines()[-1].startswith("error: pip could not install what ")
    assert installed(set_up.checkout) == set()
    assert not (set_up.checkout / ".venv" / "installed").exists()


@pytest.mark.verify
def test_jupyter_is_installed_when_asked_for(set_up):
    assert set_up(**SOURCES["a folder"]).returncode == 0
    assert "jupyterlab-4.6.6" not in installed(set_up.checkout)
    result = set_up("notebook", **SOURCES["a folder"])
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("Installing into .venv: jupyterlab\n")
    assert "jupyterlab-4.6.6" in installed(set_up.checkout)
