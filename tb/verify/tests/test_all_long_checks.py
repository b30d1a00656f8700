"""One failed part fails the whole run, and a part that passed counts until something changes."""

import json
import re
import sys

import pytest
import yaml

from pymodel.support.files import ROOT
from tb.sim.kept_results import Store
from tb.verify import all_long_checks
from tb.verify.all_long_checks import Part


def saying(name: str, code: int, line: str = "done") -> Part:
    """Returns a part that prints a line and ends with a code."""
    program = f"print('working'); print('{line}'); raise SystemExit({code})"
    return Part(name, "something", (sys.executable, "-c", program))


@pytest.fixture
def verify(command, monkeypatch, tmp_path):
    """Returns a function that runs the command, and returns code, output and results."""
    monkeypatch.setattr(all_long_checks, "STORE", Store("verify", tmp_path))

    def run(*some, arguments=()):
        monkeypatch.setattr(all_long_checks, "PARTS", some)
        results = tmp_path / "verify.json"
        code, out, _ = command(all_long_checks.main, "--results", results, *arguments)
        return code, out, json.loads(results.read_text())

    return run


def test_all_parts_run_although_one_fails(verify):
    """The parts after a failed one run too; the whole run ends with the failed part's code."""
    code, out, found = verify(saying("a", 0), saying("b", 1, "FAILED: it"), saying("c", 0))
    assert code == 1
    assert [(one["part"], one["code"], one["said"]) for one in found["parts"]] == [
        ("a", 0, "done"),
        ("b", 1, "FAILED: it"),
        ("c", 0, "done"),
    ]
    assert out.rstrip().endswith("FAILED: b")
    assert verify(saying("a", 2, "error: no such"))[0] == 2


def test_what_passed_counts_until_something_changes(verify, monkeypatch):
    """A part that failed runs again; one that passed runs again after a change, or with --fresh."""
    some = saying("a", 0), saying("b", 1)
    verify(*some)
    _, out, found = verify(*some)
    assert [one["kept"] for one in found["parts"]] == [True, False]
    assert "a: passed before" in out
    assert not verify(*some, arguments=["--fresh"])[2]["parts"][0]["kept"]
    monkeypatch.setattr(all_long_checks, "files_digest", lambda files: "changed")
    assert not verify(*some)[2]["parts"][0]["kept"]


def test_every_file_of_the_repository_is_in_the_key(monkeypatch):
    seen = []
    monkeypatch.setattr(all_long_checks, "files_digest", lambda files: seen.extend(files) or "")
    all_long_checks.identity(all_long_checks.PARTS[0])
    assert {ROOT / "rtl" / "pe.v", ROOT / "Makefile", ROOT / "tb" / "test_pe.py"} <= {*seen}


def test_options_of_pytest_and_a_filter_of_tests_change_no_part(verify, monkeypatch):
    """A part that ran with options of pytest or a filter of tests would pass without its tests.

    The pass would be kept.
    """
    for name in ("PYTEST_ADDOPTS", "COCOTB_TEST_FILTER"):
        program = f"import os; raise SystemExit('{name}' in os.environ)"
        part = Part("a", "something", (sys.executable, "-c", program))
        monkeypatch.setenv(name, "x")
        code, out, _ = verify(part, arguments=["--fresh"])
        said = re.search(rf"Left out, because results are kept: .*\b{name}\b", out)
        assert (code, bool(said)) == (0, True), out


def test_the_long_tests_fail_unless_all_of_them_run():
    assert "--all-must-run" in all_long_checks.PARTS[0].command


def test_what_the_rtl_reads_from_elsewhere_is_in_the_key(monkeypatch):
    """A header that the RTL includes is in the key, even if it is no file of the repository."""
    before = all_long_checks.identity(all_long_checks.PARTS[0])
    monkeypatch.setattr(all_long_checks, "rtl_digest", lambda simulator: "other")
    assert all_long_checks.identity(all_long_checks.PARTS[0]) != before


def test_without_the_test_images_what_needs_them_is_left_out(verify, monkeypatch):
    """It is named; a command that asks for it alone runs it, so that it can say what it needs."""
    needs = Part("b", "something", (*saying("b", 2).command, "--all"))
    monkeypatch.setattr(all_long_checks, "folder_at_hand", lambda root: None)
    code, out, found = verify(saying("a", 0), needs)
    assert (code, [one["part"] for one in found["parts"]]) == (0, ["a"])
    assert "CIFAR10_ROOT: b\n" in out
    assert verify(needs, arguments=["--only", "b"])[0] == 2
    monkeypatch.setattr(all_long_checks, "folder_at_hand", lambda root: "somewhere")
    assert verify(saying("a", 0), needs)[0] == 2


def test_bad_input(refused):
    refused(all_long_checks.main, "--only", "nothing", words=["--only nothing", "mutation", "soak"])


def test_each_part_is_a_command_of_its_own():
    """Each part is a command for which the Makefile has a target, or the long tests."""
    makefile = (ROOT / "Makefile").read_text()
    for part in all_long_checks.PARTS:
        words = " ".join(part.command[1:3]) + (" netlist" if part.name == "netlist" else "")
        assert f"$(PY) {words}" in makefile


def test_the_weekly_workflow_runs_every_part():
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "verify.yml").read_text())
    matrix = workflow["jobs"]["part"]["strategy"]["matrix"]["part"]
    assert matrix == [part.name for part in all_long_checks.PARTS]
