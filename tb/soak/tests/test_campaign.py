"""What make soak tries, a few times; and each of its checks fails on a checkout that does harm."""

import json
import os
import re
import shlex
import shutil
import signal
import sys
import time
from random import Random

import pytest

from pymodel.checkpoint import SHIPPED
from tb.soak import campaign
from tb.soak.campaign import Checkout, Ended, Fault, HarmError


class First(Random):
    """Takes the first of what there is to choose from: all of a run, by SIGKILL; and the most."""

    def choice(self, some):
        return some[0]

    def uniform(self, low, high):
        return high


@pytest.fixture
def checkout(tmp_path):
    """A copy of this checkout, without a build."""
    copy = Checkout(tmp_path / "copy")
    copy.seconds = {True: 5.0, False: 5.0}
    return copy


def test_two_runs_at_once(checkout):
    """They start with the same compilation, and each ends with its own figures."""
    assert campaign.two_at_once(checkout, Random(2), 0) == "both passed"


@pytest.mark.parametrize("name", ["iverilog", "vvp"])
def test_a_killed_run_is_started_again(checkout, name):
    """In its first build, and in its simulation: the run hangs there, so it cannot have ended."""
    checkout.good_run()
    checkout.forget_builds()
    before, sign = checkout.figures(), checkout.folder / "hangs"
    hang = f'[ "$1" = -V ] && exec REAL -V; touch {shlex.quote(str(sign))}; exec sleep 1000'
    process = checkout.start("make", "IMAGES=2", **campaign.fake(checkout, name, hang))
    while not sign.exists():
        assert process.poll() is None, "the run ended before it was killed"
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    assert checkout.end(process).code == -signal.SIGKILL
    campaign.check_after_kill(checkout, before)


def test_50_damaged_checkpoints(tmp_path):
    whole, rng = SHIPPED.read_bytes(), Random(1)
    for _ in range(50):
        end = campaign.damaged_checkpoint(tmp_path / "damaged", rng, whole)
        assert end.endswith(": refused")


# From here on: a Makefile that does harm, in place of ours.
GOOD = """
mkdir -p build/results build/waves
printf '{"images": %s, "psums_checked": %s, "psum_mismatches": 0, "outputs_checked": 0, ' \\
  $IMAGES $((IMAGES * 1152)) > build/results/.new
echo '"cycles": 0, "macs": 0}' >> build/results/.new
mv build/results/.new build/results/layer.json
if [ $IMAGES = 1 ]; then echo 'psums checked    1,152'; else echo 'psums checked    2,304'; fi
"""
ORPHAN = 'import os; os.setpgid(0, 0); os.execvp("sleep", ["sleep", "30"])'
TRACEBACK = "echo 'Traceback (most recent call last):'; exit 1"


@pytest.fixture
def harmful(checkout, monkeypatch):
    """Make the copy's `make` run a shell script; what the fault's check says then."""
    monkeypatch.setattr(campaign, "FOLLOW", 0.3)

    def run(provoke, script, number=0, before=True):
        (checkout.folder / "Makefile").write_text(
            "IMAGES ?= 1\nlayer check vectors test:\n\t@IMAGES=$(IMAGES) sh script.sh\n"
        )
        (checkout.folder / "script.sh").write_text(GOOD)
        if before:
            checkout.good_run()
        checkout.seconds = {True: 1.0, False: 1.0}
        (checkout.folder / "script.sh").write_text(script)
        with pytest.raises(HarmError) as harm:
            provoke(checkout, First(1), number)
        return str(harm.value)

    return run


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (f"IMAGES=1; {GOOD}", "unearned pass: not the figures of 2 images"),
        ("exit 1", "lost: the run of 1 images"),
        (f"{GOOD}rm build/results/layer.json", "lost: no build/results/layer.json"),
        (f"{GOOD}echo '<' > build/results/results.xml", "half-written: build/results/results.xml"),
        (f"{GOOD}head -c 400 /dev/zero > build/waves/a.fst", "half-written: build/waves/a.fst"),
        (f"{GOOD}mkdir -p build/.a.tmp", "lost: left behind: build/.a.tmp"),
    ],
)
def test_two_runs_that_get_in_each_others_way(harmful, script, words):
    assert words in harmful(campaign.two_at_once, script)


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (
            f"echo '{{' > build/results/layer.json; sleep 9; {GOOD}",
            "half-written: build/results/la",
        ),
        (f"rm build/results/layer.json; sleep 9; {GOOD}", "lost: the results of the run before"),
        (f"if [ ! -e build/.a.tmp ]; then mkdir build/.a.tmp; sleep 9; fi; {GOOD}", "lost: "),
        (
            f"{sys.executable} -c '{ORPHAN}' >/dev/null 2>&1 & wait",
            "unclear: sleep goes on without",
        ),
        ("if [ -e once ]; then exit 1; fi; touch once; sleep 9", "lost: a good run ends with 2"),
    ],
)
def test_a_kill_that_does_harm(harmful, script, words):
    assert words in harmful(campaign.killed, script)


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("exit 0", "unearned pass: figures of another run than 2 images"),
        ("exit 1", "unclear: 0 lines say why"),
        (TRACEBACK, "unclear: Traceback"),
        ("rm build/results/layer.json; echo error: full; exit 1", "lost: the results of the run"),
    ],
)
def test_a_failing_write_that_does_harm(harmful, script, words):
    assert words in harmful(campaign.write_fails, script)


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("exit 0", "unearned pass"),
        (TRACEBACK, "unclear: Traceback"),
        ("echo error: no idea; exit 1", "unclear: error: no idea"),
    ],
)
def test_a_read_only_checkout_that_is_not_refused(harmful, script, words):
    if os.geteuid() == 0 and not campaign.private_mounts():
        pytest.skip("no right to mount something read-only")
    assert words in harmful(campaign.read_only, script)


def test_a_stale_build_that_is_used(harmful):
    for number, (name, *_) in enumerate(campaign.EDITS):
        assert harmful(campaign.stale, GOOD, number).startswith(
            f"unearned pass: {name} is wrong, yet"
        )


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (GOOD, "unearned pass"),
        (TRACEBACK, "unclear: Traceback"),
        ("echo FAILED: something; exit 1", "unclear: expected 'without results'"),
        ("echo FAILED: without results; echo '{' > build/results/layer.json; exit 1", "half-writ"),
        ("echo FAILED: without results; exit 1", "lost: a good run ends with 2"),
    ],
)
def test_a_dead_simulator_that_goes_unseen(harmful, script, words):
    assert words in harmful(campaign.fake_simulator, script)


def test_a_damaged_checkpoint_that_is_taken(monkeypatch, tmp_path):
    whole = SHIPPED.read_bytes()
    monkeypatch.setattr(campaign, "load_checkpoint", lambda path: None)
    with pytest.raises(HarmError, match=r"unearned pass: .*: taken for a checkpoint"):
        campaign.damaged_checkpoint(tmp_path / "c", Random(1), whole)
    monkeypatch.setattr(campaign, "load_checkpoint", lambda path: {}["x"])
    with pytest.raises(HarmError, match=r"unclear: .*KeyError"):
        campaign.damaged_checkpoint(tmp_path / "c", Random(1), whole)


def test_a_command_that_hangs(checkout, monkeypatch):
    monkeypatch.setattr(campaign, "PATIENCE", 0.3)
    monkeypatch.setattr(campaign, "FOLLOW", 0.1)
    began = time.monotonic()
    with pytest.raises(HarmError, match=r"unclear: still runs after"):
        checkout.end(checkout.start("sleep", "30"))
    assert time.monotonic() - began < 20


def test_two_lines_are_not_one():
    with pytest.raises(HarmError, match="2 lines say why"):
        Ended(2, "error: one\nFAILED: two\n").refused()


def test_harm_fails_the_command(command, monkeypatch, tmp_path):
    """Exit code, JSON, table; the other faults are not tried."""

    def harm(checkout, rng, number):
        if number:
            return "well"
        raise HarmError("lost", "everything")

    monkeypatch.setattr(campaign, "FAULTS", (Fault("a fault", 2, harm), Fault("another", 2, harm)))
    monkeypatch.setattr(Checkout, "good_run", lambda self: "passed")
    results = tmp_path / "soak.json"
    code, out, _ = command(campaign.main, "--only", "a fault", "--results", results)
    assert code == 1
    assert "a fault, try 0: lost: everything" in out
    assert re.search(r"a fault +2 +1 well +1 +0 +0 +0", out)
    assert "FAILED: 1 of 2 tries did harm, with seed 1" in out
    found = json.loads(results.read_text())
    assert (found["tries"], found["failed"], found["checkpoints_refused"]) == (2, 1, 0)
    assert [(row["name"], row["tries"], row["failed"]) for row in found["faults"]] == [
        ("a fault", 2, 1)
    ]


def test_only_checkpoints(command, monkeypatch, tmp_path):
    monkeypatch.setattr(campaign, "DAMAGED", 3)
    results = tmp_path / "soak.json"
    code, out, _ = command(campaign.main, "--only", "checkpoint", "--results", results)
    assert code == 0
    assert "Nothing lost, nothing half-written, no unearned pass." in out
    assert json.loads(results.read_text())["checkpoints_refused"] == 3


def test_bad_input(refused):
    refused(campaign.main, "--only", "no such", words=["no fault holds 'no such'", "a stale build"])


def test_an_own_copy(checkout):
    """Tracked files only; what is done there is not done here."""
    assert (checkout.folder / "rtl" / "pe.v").exists()
    assert not (checkout.folder / "build").exists()
    assert shutil.which("make")
