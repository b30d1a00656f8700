"""Mutants of the judging Python are other code, are found, and are kept; a survivor fails."""

import ast
import json

import pytest

from pymodel.support.errors import InputError
from tb.python_mutation import campaign
from tb.python_mutation.judges import JUDGES, Judge
from tb.python_mutation.python_mutants import PythonMutant, mutants, operators
from tb.sim.kept_results import Store

SOURCE = '''
from functools import cache

LIMIT = 1e-3


@cache
def near(a, b, limit=LIMIT):
    """Returns whether two numbers are near."""
    return abs(a - b) < limit
'''


def test_mutants_are_other_code_each_once():
    """Constants, defaults and decorated functions change too, tolerances by a factor."""
    found = mutants("near", SOURCE)
    texts = [ast.dump(ast.parse(mutant.text)) for mutant in found]
    assert len(set(texts)) == len(texts)
    assert ast.dump(ast.parse(SOURCE)) not in texts
    changes = {(mutant.before, mutant.after) for mutant in found}
    assert ("LIMIT = 1e-3", "LIMIT = 0.002") in changes
    assert any(before == "@cache" for before, _ in changes)
    assert any(after.startswith("return abs(a") for _, after in changes)
    assert [mutant.text for mutant in mutants("near", SOURCE)] == [m.text for m in found]


def test_the_operators_do_what_their_examples_say():
    """cosmic-ray's operators and ours are the ones that we think they are."""
    from cosmic_ray.mutating import mutate_code

    known = operators()
    assert {"NumberReplacer", "AddNot", "RemoveDecorator", "ScaleNumber"} <= set(known)
    for example in known["ScaleNumber"].examples():
        text = mutate_code(example.pre_mutation_code, known["ScaleNumber"], example.occurrence)
        assert ast.dump(ast.parse(text)) == ast.dump(ast.parse(example.post_mutation_code))


def test_every_judge_and_its_tests_are_there():
    assert len({judge.module for judge in JUDGES}) == len(JUDGES)
    for judge in JUDGES:
        assert judge.path.is_file()
        assert all((campaign.ROOT / tests).exists() for tests in judge.tests)


@pytest.mark.verify
def test_every_harmless_mutant_is_one():
    """An entry whose line has changed is of no mutant any more, and is to be read again."""
    reasons = campaign.harmless()
    modules = {module for module, _, _ in reasons}
    judges = [judge for judge in JUDGES if judge.module in modules]
    made = {(m.module, m.before, m.after) for _, m in campaign.every_mutant(judges)}
    assert set(reasons) <= made
    assert all(len(reason) > 20 for reason in reasons.values())


@pytest.fixture
def kept_apart(monkeypatch, tmp_path):
    """Puts verdicts elsewhere, with none kept from before."""
    monkeypatch.setattr(campaign, "STORE", Store("python-verdict", tmp_path))
    monkeypatch.setattr(campaign, "MADE", Store("python-mutants", tmp_path))


def test_a_handful_of_mutants(command, monkeypatch, tmp_path, kept_apart):
    """Mutants of a small module are found, and their verdicts are kept."""
    module, results = "pymodel.reference.numpy_convolution", tmp_path / "results.json"
    judge = Judge(module, ("pymodel/reference/tests/test_numpy_convolution.py",))  # the quickest
    monkeypatch.setattr(campaign, "JUDGES", (judge,))
    few = [module, "--number", 2, "--jobs", 1, "--results", results]
    code, out, _ = command(campaign.main, *few)
    assert code == 0, out
    assert json.loads(results.read_text())["killed"] == 2
    monkeypatch.setattr(campaign.Worker, "verdict", BrokenWorker.verdict)
    assert command(campaign.main, *few)[0] == 0


def test_a_drawn_run_shows_the_last_whole_run(command, monkeypatch, tmp_path):
    """A drawn run prints the last whole run from README's table and leaves its results as is."""
    mutant = PythonMutant(JUDGES[0].module, "x", 1, "a", "b", "b")
    monkeypatch.setattr(campaign, "run", lambda *_: [campaign.Outcome(mutant, "killed", "x")])
    monkeypatch.setattr(campaign, "every_mutant", lambda judges: [])
    readme = tmp_path / "README.md"
    monkeypatch.setattr(campaign, "README", readme)
    for name in ("WHOLE", "PART"):
        monkeypatch.setattr(campaign, name, tmp_path / name)
    readme.write_text("| Faults | 0 of 1,600 | `make mutate-python` |\n")
    code, out, _ = command(campaign.main, "--number", 100)
    assert (code, "The last whole run: 0 of 1,600\n" in out) == (0, True)
    assert ((tmp_path / "PART").exists(), (tmp_path / "WHOLE").exists()) == (True, False)
    readme.write_text("| Faults | 0 of 1,600 | `make mutate` |\n")
    assert campaign.last_whole_run() == "none is recorded in README.md"
    assert "last whole run" not in command(campaign.main)[1]
    assert (tmp_path / "WHOLE").exists()


@pytest.mark.verify
def test_a_survivor_fails(command, monkeypatch, tmp_path, kept_apart):
    """Tests that look at something else find nothing: each mutant is listed, and the exit is 1."""
    judge = Judge("pymodel.reference.numpy_convolution", ("pymodel/tests/test_vgg.py",))
    monkeypatch.setattr(campaign, "JUDGES", (judge,))
    results = tmp_path / "results.json"
    code, out, _ = command(campaign.main, "--number", 2, "--jobs", 1, "--results", results)
    assert code == 1
    assert "FAILED: 2 survived" in out
    (first, _) = json.loads(results.read_text())["survivors"]
    assert f"line {first['line']}: {first['before']} => {first['after']}" in out


@pytest.mark.verify
def test_tests_that_fail_without_a_fault_are_refused(refused, monkeypatch, kept_apart):
    """What makes tests fail now would make each mutant look found."""
    judge = Judge("pymodel.reference.numpy_convolution", ("pymodel/no_such_test.py",))
    monkeypatch.setattr(campaign, "JUDGES", (judge,))
    refused(campaign.main, "--number", 1, "--jobs", 1, words=["fails without a fault"])


def test_bad_input_is_one_line(refused):
    refused(campaign.main, "no.such", words=["no mutants of module 'no.such'"])
    refused(campaign.main, "--number", "0", words=["--number"])
    refused(campaign.main, "--jobs", "none", words=["--jobs"])


def test_a_test_that_does_not_end_is_a_failure():
    assert campaign.failure(campaign.STOPPED, "", "tb/test_x.py") == "tb/test_x.py did not end"
    log = "....\nFAILED tb/test_x.py::test_y - assert 1\n1 failed\n"
    assert campaign.failure(1, log, "tb") == "FAILED tb/test_x.py::test_y"
    with pytest.raises(InputError):
        campaign.time_limit(BrokenWorker(), JUDGES[0])


def test_a_verdict_follows_from_the_tests_and_all_that_they_run():
    """The tests of another module do not count; RTL, simulators and what tests import do."""
    files = campaign.tracked_files()
    by_module = {judge.module: judge for judge in JUDGES}
    found = campaign.followed(by_module["pymodel.hardware.tiling"], files)
    names = {str(file.relative_to(campaign.ROOT)) for file in found}
    assert names >= {
        "pymodel/hardware/tests/test_tiling.py",
        "pymodel/reference/integer_convolution.py",
        "rtl/pe.v",
        "tb/run/layer_bench.py",
        "conftest.py",
    }
    assert not names & {"pymodel/reference/tests/test_layer_data.py", "README.md"}


class BrokenWorker:
    """A worker whose tests fail."""

    def verdict(self, *_) -> tuple[int, str]:
        """Returns a failure."""
        return 1, "everything"
