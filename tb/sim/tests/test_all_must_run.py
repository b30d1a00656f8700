"""make test does not pass if tests that it collects do not run."""

import os
import subprocess
import sys

import pytest

from pymodel.support.files import ROOT

TEXT = "def test_one(): pass\n\ndef test_two(): pass\n"


def run(folder, *options: str, text: str = TEXT, **variables: str) -> tuple[int, str]:
    """Returns the exit code and the output of pytest with our conftest on tests in `folder`."""
    (folder / "test_some.py").write_text(text)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "conftest", "-c", "/dev/null"]
    done = subprocess.run(
        [*command, "--rootdir", str(folder), *options, str(folder)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | variables,
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout


def test_a_collection_alone_fails(tmp_path):
    code, out = run(tmp_path, "--all-must-run", PYTEST_ADDOPTS="--collect-only")
    assert (code, "FAILED: 0 of 2 tests ran, expected all of them" in out) == (1, True), out
    assert run(tmp_path, PYTEST_ADDOPTS="--collect-only")[0] == 0


@pytest.mark.parametrize("name", ["COCOTB_TEST_FILTER", "COCOTB_TESTCASE"])
def test_no_variable_leaves_out_tests_of_benches(tmp_path, name):
    """pytest does not see what a simulation leaves out."""
    text = f"import os\n\ndef test_one(): assert '{name}' not in os.environ\n"
    code, out = run(tmp_path, "--all-must-run", "-n", "1", text=text, **{name: "one"})
    assert (code, f"{name} is left out: all tests must run" in out) == (0, True), out
    assert run(tmp_path, text=text, **{name: "one"})[0] == 1


def test_another_file_of_settings_is_refused(tmp_path):
    """Without ours pytest would collect fewer tests, and all of those would run."""
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, "-m", "pytest", "-q", "--all-must-run", "--collect-only"]
    options = ["-c", str(tmp_path / "pytest.ini"), "--rootdir", str(ROOT), "docs"]
    done = subprocess.run([*command, *options], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 4
    assert "expected those of pyproject.toml" in done.stderr


def test_a_run_of_all_passes(tmp_path):
    code, out = run(tmp_path, "--all-must-run", "-n", "2")
    assert (code, "2 passed" in out) == (0, True), out


def test_make_test_has_the_option():
    text = (ROOT / "Makefile").read_text()
    (recipe,) = [line for line in text.splitlines() if "tests.xml" in line and "pytest" in line]
    assert " --all-must-run " in recipe


@pytest.mark.parametrize("target", ["test", "lint"])
def test_options_left_in_the_environment_leave_out_no_test(target):
    """`make test` and `make lint` run without options such as -k that somebody exported."""
    names = ("PYTEST_ADDOPTS", "PYTEST_PLUGINS", "COCOTB_TEST_FILTER", "COCOTB_TESTCASE")
    command = ["make", "-n", "-o", "setup", target]
    environment = os.environ | {"MAKEFLAGS": ""} | dict.fromkeys(names, "-k one")
    recipe = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    unset, _, rest = recipe.stdout.partition("; ")
    assert "-m pytest" in rest
    command = f"{unset}; env"
    done = subprocess.run(["sh", "-c", command], env=environment, capture_output=True, text=True)
    assert not any(name in done.stdout for name in names)


@pytest.mark.parametrize("options", ["-i", "-t", "--ignore-errors", "-ki", "-kt SIM=icarus"])
@pytest.mark.parametrize("exported", [False, True])
def test_make_is_refused_that_ignores_errors(options, exported):
    """Errors that are ignored, and targets that are touched alone, would look like a pass."""
    command = ["make", "help", *([] if exported else options.split())]
    environment = os.environ | {"MAKEFLAGS": options.removeprefix("-") if exported else ""}
    if exported and options.startswith("--"):
        environment["MAKEFLAGS"] = options
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 2
    assert "make is told to ignore errors (-i) or to touch files (-t)" in done.stderr


def test_make_is_refused_that_reads_other_files_first(tmp_path):
    """make is refused if MAKEFILES names a file.

    That file may hold .IGNORE, after which a failing target ends with 0.
    """
    (tmp_path / "ignore.mk").write_text(".IGNORE:\n")
    environment = os.environ | {"MAKEFLAGS": "", "MAKEFILES": str(tmp_path / "ignore.mk")}
    done = subprocess.run(["make", "help"], cwd=ROOT, env=environment, capture_output=True)
    assert done.returncode == 2
    assert b"which may tell it to ignore errors" in done.stderr


def test_make_is_refused_that_evaluates_more():
    """--eval=.IGNORE: would make a failing target end with 0."""
    environment = os.environ | {"MAKEFLAGS": "--eval=.IGNORE:"}
    done = subprocess.run(["make", "help"], cwd=ROOT, env=environment, capture_output=True)
    assert done.returncode == 2
    assert b"MAKEFLAGS has --eval" in done.stderr


def test_what_is_left_in_the_environment_is_told():
    """ARGS="--rtl old", exported long ago, would check another folder than somebody thinks."""
    for environment, typed, told in (
        ({"ARGS": "--rtl old", "IMAGES": "3"}, [], "note: from the environment: IMAGES='3' ARGS="),
        ({"ARGS": "--rtl old"}, ["ARGS=--fresh"], ""),
        ({"SIM": "verilator"}, [], ""),
    ):
        environment = os.environ | {"MAKEFLAGS": ""} | environment
        line = ["make", "help", *typed]
        done = subprocess.run(line, cwd=ROOT, env=environment, capture_output=True, text=True)
        assert done.returncode == 0
        assert ("note: from the environment" in done.stdout) == bool(told)
        assert told in done.stdout


@pytest.mark.parametrize("options", ["-k", "-j2", "-s --no-print-directory", "SIM=iti", "ARGS=-it"])
def test_other_options_of_make_are_taken(options):
    command = ["make", "help", *options.split()]
    environment = os.environ | {"MAKEFLAGS": ""}
    assert subprocess.run(command, cwd=ROOT, env=environment, capture_output=True).returncode == 0


def test_another_checkout_never_comes_first(tmp_path):
    """PYTHONSAFEPATH would let PYTHONPATH decide which checkout's code judges this one's RTL."""
    text = (ROOT / "Makefile").read_text()
    line = next(line for line in text.splitlines() if "PYTHONSAFEPATH" in line)
    (tmp_path / "Makefile").write_text(f'{line}\nall:\n\t@echo "$${{PYTHONSAFEPATH-none}}"\n')
    environment = os.environ | {"PYTHONSAFEPATH": "1"}
    command = ["make", "-s", "-C", str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.stdout == "none\n"
