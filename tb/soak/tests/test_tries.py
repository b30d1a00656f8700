"""The command tries the faults that are named, and has the right output, JSON and exit code."""

import json
import re

import pytest

from tb.soak import tries
from tb.soak.checkout import Checkout, Ended, HarmError
from tb.soak.harms import FaultKind


@pytest.fixture
def _working(monkeypatch):
    """Lets copies of the checkout pass without being run."""
    monkeypatch.setattr(Checkout, "good_run", lambda self: None)


@pytest.mark.usefixtures("_working")
def test_harm_fails_the_command(command, monkeypatch, tmp_path):
    """Harm shows in exit code, JSON and table; the faults that are not named are not tried."""

    def harm(checkout, rng, number):
        if number:
            return "well"
        raise HarmError("lost", "everything")

    kinds = (FaultKind("a fault", 2, harm), FaultKind("another", 2, harm))
    monkeypatch.setattr(tries, "FAULTS", kinds)
    results = tmp_path / "soak.json"
    code, out, _ = command(tries.main, "--only", "a fault", "--results", results)
    assert code == 1
    assert "a fault, try 0: lost: everything" in out
    assert re.search(r"a fault +2 +1 well +1 +0 +0 +0", out)
    assert "FAILED: 1 of 2 tries did harm, with seed 1" in out
    found = json.loads(results.read_text())
    assert (found["tries"], found["failed"], found["checkpoints_refused"]) == (2, 1, 0)
    (row,) = found["faults"]
    assert (row["name"], row["tries"], row["failed"]) == ("a fault", 2, 1)
    assert row["harms"] == ["lost: everything"]


@pytest.mark.usefixtures("_working")
def test_a_try_that_this_machine_does_not_allow(command, monkeypatch, tmp_path):
    """The command says how many tries this machine does not allow, and does not count them."""
    kinds = (FaultKind("a fault", 2, lambda *_: "not tried: no right to mount"),)
    monkeypatch.setattr(tries, "FAULTS", kinds)
    results = tmp_path / "soak.json"
    code, out, _ = command(tries.main, "--only", "a fault", "--results", results)
    assert code == 0
    assert "no unearned pass; 2 not tried, which this machine does not allow." in out
    found = json.loads(results.read_text())
    assert (found["tries"], found["skipped"], found["failed"]) == (0, 2, 0)


def test_a_checkout_that_does_not_work_without_a_fault(refused, monkeypatch, tmp_path):
    monkeypatch.setattr(Checkout, "make", lambda self, *_: Ended(2, "error: no\nMakefile:1\n"))
    words = ["a run fails without any fault", "ends with 2: error: no Makefile:1"]
    refused(tries.main, "--only", "stale", "--results", tmp_path / "soak.json", words=words)


def test_only_checkpoints(command, monkeypatch, tmp_path):
    monkeypatch.setattr(tries, "DAMAGED", 3)
    results = tmp_path / "soak.json"
    code, out, _ = command(tries.main, "--only", "checkpoint", "--results", results)
    assert code == 0
    assert "Nothing lost, nothing half-written, no unearned pass." in out
    assert json.loads(results.read_text())["checkpoints_refused"] == 3


def test_bad_input(refused):
    refused(tries.main, "--only", "no such", words=["no fault holds 'no such'", "a stale build"])
