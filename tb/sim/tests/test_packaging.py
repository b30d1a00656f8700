"""File lists, FuseSoC's and Bender's descriptions of the RTL hold just what each top module needs.

Icarus and Verilator compile `rtl/X.f`, and FuseSoC builds and lints `systolic_cosim.core`, in a
copy of the files that somebody takes into another project. The sources in `Bender.yml` are compared
with what the top modules need; the tool itself is not run.
"""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from pymodel.support.files import ROOT
from tb.formal.prove import inside
from tb.sim.simulators import environment

TOPS = ("systolic_array", "core")
FUSESOC, BENDER = "systolic_cosim.core", "Bender.yml"
DESCRIPTIONS = (*(f"rtl/{top}.f" for top in TOPS), FUSESOC, BENDER)
COMPILERS = {  # folder and command
    "icarus": ("rtl", "iverilog -g2005 -Wall -t null -s {top} -f {top}.f"),
    "verilator": (".", "verilator --lint-only -Wall --top-module {top} -F rtl/{top}.f"),
}
HEADER = "core_registers.vh"
FLAGS = {"systolic_array": ["--flag", "array"], "core": []}


@pytest.fixture
def project(tmp_path):
    """Returns a folder with the RTL and its descriptions, and nothing else of this project."""
    shutil.copytree(ROOT / "rtl", tmp_path / "rtl")
    for name in (FUSESOC, BENDER):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def listed(project: Path) -> dict[tuple[str, str], list[str]]:
    """Returns the sources in the descriptions, without headers: (description, top) → files."""
    found = {}
    for top in TOPS:
        lines = (project / f"rtl/{top}.f").read_text().splitlines()
        names = [line for line in lines if not line.startswith(("//", "+"))]
        found[f"rtl/{top}.f", top] = [f"rtl/{name}" for name in names]
    core = yaml.safe_load((project / FUSESOC).read_text().removeprefix("CAPI=2:"))
    groups = [group["files"] for group in yaml.safe_load((project / BENDER).read_text())["sources"]]
    sets = [  # what is not a plain name is a header
        [name for name in core["filesets"][kind]["files"] if isinstance(name, str)]
        for kind in ("array", "core")
    ]
    for name, (array, rest) in ((FUSESOC, sets), (BENDER, groups)):
        found[name, "systolic_array"] = array
        found[name, "core"] = array + rest
    return found


def wrong(project: Path) -> set[str]:
    """Returns the descriptions that lack a file, hold one too many, or hold one twice."""
    needed = {
        top: sorted(f"rtl/{module}.v" for module in {top} | inside(top, project / "rtl"))
        for top in TOPS
    }
    return {name for (name, top), files in listed(project).items() if sorted(files) != needed[top]}


def compile_list(project: Path, compiler: str, top: str) -> subprocess.CompletedProcess:
    """Compiles the file list of module `top` with Icarus or Verilator."""
    folder, command = COMPILERS[compiler]
    with environment(compiler):
        return subprocess.run(
            command.format(top=top).split(), cwd=project / folder, capture_output=True, text=True
        )


def fusesoc(project: Path, target: str, top: str) -> subprocess.CompletedProcess:
    """Runs a target of FuseSoC's description; `top` chooses the core or the array."""
    command = [Path(sys.executable).parent / "fusesoc", "--cores-root", "."]
    command += ["run", "--build", "--target", target, *FLAGS[top], "systolic_cosim"]
    with environment("verilator", HOME=str(project), XDG_CONFIG_HOME=str(project)):
        return subprocess.run(command, cwd=project, capture_output=True, text=True)


def without(path: Path, name: str) -> None:
    """Removes the line of a source from a description."""
    lines = path.read_text().splitlines(keepends=True)
    kept = [line for line in lines if not line.rstrip().endswith(name)]
    assert len(kept) == len(lines) - 1
    path.write_text("".join(kept))


def test_descriptions_hold_what_is_needed_and_nothing_else(project):
    assert wrong(project) == set()


@pytest.mark.parametrize("description", DESCRIPTIONS)
def test_a_source_left_out_or_added_is_found(project, description):
    path = project / description
    text = path.read_text()
    without(path, "skew.v")
    assert wrong(project) == {description}
    path.write_text(text.replace("skew.v", "load_first_pe.v"))
    assert wrong(project) == {description}
    line = next(line for line in text.splitlines(keepends=True) if line.rstrip().endswith("skew.v"))
    path.write_text(text.replace(line, 2 * line))
    assert wrong(project) == {description}


@pytest.mark.parametrize("top", TOPS)
@pytest.mark.parametrize("compiler", COMPILERS)
def test_compilers_take_the_list(project, compiler, top):
    result = compile_list(project, compiler, top)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""


# Verilator looks for modules in the folders of headers too, and so finds one left out of core.f.
@pytest.mark.parametrize(
    ("compiler", "top"),
    [("icarus", "core"), ("icarus", "systolic_array"), ("verilator", "systolic_array")],
)
def test_compilers_stop_at_a_source_left_out(project, compiler, top):
    without(project / f"rtl/{top}.f", "skew.v")
    result = compile_list(project, compiler, top)
    assert result.returncode != 0
    assert "skew" in result.stderr


@pytest.mark.parametrize("compiler", COMPILERS)
def test_the_list_names_the_folder_of_the_header(project, compiler):
    (project / "elsewhere").mkdir()
    lists = project / "rtl" / "core.f"
    without(lists, "+incdir+.")
    if compiler == "icarus":  # which looks in the folder that it runs in by itself
        lists.write_text(lists.read_text().replace("\npe.v", "\n+incdir+../elsewhere\npe.v"))
        shutil.move(project / "rtl" / HEADER, project / "elsewhere" / HEADER)
        assert compile_list(project, compiler, "core").returncode == 0
        without(lists, "+incdir+../elsewhere")
    result = compile_list(project, compiler, "core")
    assert result.returncode != 0
    assert HEADER in result.stderr


def test_bender_names_the_folder_of_the_header(project):
    array, rest = yaml.safe_load((project / BENDER).read_text())["sources"]
    assert "include_dirs" not in array
    assert [(project / folder / HEADER).exists() for folder in rest["include_dirs"]] == [True]


@pytest.mark.parametrize(
    ("target", "top"),
    [
        ("lint", "core"),
        pytest.param("lint", "systolic_array", marks=pytest.mark.verify),
        ("sim", "core"),
    ],
)
def test_fusesoc_builds_and_lints(project, target, top):
    result = fusesoc(project, target, top)
    assert result.returncode == 0, result.stderr
    assert "arning" not in result.stdout + result.stderr


@pytest.mark.verify
def test_fusesoc_stops_at_a_source_or_header_left_out_and_at_a_warning(project):
    without(project / FUSESOC, "skew.v")
    result = fusesoc(project, "lint", "systolic_array")
    assert result.returncode != 0
    assert "Cannot find file containing module: 'skew'" in result.stderr

    shutil.copy(ROOT / FUSESOC, project)
    without(project / FUSESOC, "{is_include_file: true}")
    result = fusesoc(project, "lint", "core")
    assert result.returncode != 0
    assert HEADER in result.stdout + result.stderr

    shutil.copy(ROOT / FUSESOC, project)
    skew = project / "rtl" / "skew.v"
    skew.write_text(skew.read_text().replace("\nendmodule", "\n  wire idle;\nendmodule"))
    result = fusesoc(project, "lint", "systolic_array")
    assert result.returncode != 0
    assert "UNUSEDSIGNAL" in result.stderr


def test_version_is_that_of_the_project():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    core = yaml.safe_load((ROOT / FUSESOC).read_text().removeprefix("CAPI=2:"))
    assert core["name"] == f"::systolic_cosim:{version}"
