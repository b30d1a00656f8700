"""Each kind of fault does no harm to a copy of this checkout, and a planted harm is found."""

import os
import signal
import time
from pathlib import Path
from random import Random

import pytest

from pymodel.checkpoint import SHIPPED
from tb.soak import harms
from tb.soak.checkout import Checkout, Ended, HarmError, kill
from tb.soak.tests.prepared import Prepared, figures, leave_results, passed, write

FAKE_NUMBERS = {fake.script: number for number, fake in enumerate(harms.FAKES)}
HANGS = Path(__file__).parent / "hangs_after_a_sign.sh"


class Least(Random):
    """Draws the least number, and chooses the first of several."""

    def random(self):
        return 0.0

    def uniform(self, low, high):
        return low

    def choice(self, some):
        return some[0]


@pytest.fixture
def copy(tmp_path):
    """Returns a copy of this checkout without a build."""
    return Checkout.copied_to(tmp_path / "copy")


@pytest.fixture
def prepared(tmp_path):
    """Returns a checkout without processes that holds the results of a right run of one image."""
    checkout = Prepared(tmp_path)
    leave_results(checkout)
    return checkout


def before_the_end(name: str, text: str, ended: Ended):
    """Returns a command that writes a file of the build folder, and ends."""

    def run(checkout: Prepared) -> Ended:
        write(checkout, name, text)
        return ended

    return run


REFUSED = Ended(2, "error: no room (No space left on device)\n")
SAID_NOTHING = Ended(1, "")
TRACEBACK = Ended(1, "Traceback (most recent call last):\n")


# Two runs at once


@pytest.mark.verify
def test_two_runs_at_once(copy):
    """Two runs that start with the same compilation end with their own figures each."""
    assert harms.two_at_once(copy, Least(), 0) == "both passed"


def test_two_runs_that_go_well(prepared):
    prepared.ends = [passed(1), passed(2)]
    assert harms.two_at_once(prepared, Least(), 0) == "both passed"


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        (passed(1), passed(1), "unearned pass: not the figures of 2 images"),
        (passed(2), passed(2), "unearned pass: not the figures of 1 images"),
        (SAID_NOTHING, passed(2), "lost: the run of 1 images"),
        (passed(1), before_the_end("results/layer.json", "{", passed(2)), "half-written: "),
        (passed(1), before_the_end(".a.tmp", "", passed(2)), r"lost: left behind: build/\.a\.tmp"),
    ],
)
def test_two_runs_that_get_in_each_others_way(prepared, first, second, words):
    prepared.ends = [first, second]
    with pytest.raises(HarmError, match=words):
        harms.two_at_once(prepared, Least(), 0)


def test_two_runs_without_results(tmp_path):
    checkout = Prepared(tmp_path)
    with pytest.raises(HarmError, match=r"lost: no build/results/layer\.json"):
        harms.check_both(checkout, [passed(1), passed(2)])


# A run that is killed


@pytest.mark.verify
@pytest.mark.parametrize("program", ["vvp", "iverilog"])
def test_a_killed_run_is_started_again(copy, program, tmp_path):
    """A run is killed in its first build or its simulation, where it hangs and cannot end."""
    leave_results(copy)
    before, sign = copy.figures(), tmp_path / "hangs"
    variables = harms.put_in_place(copy, program, HANGS)
    process = copy.start("make", "IMAGES=2", SIGN=str(sign), **variables)
    while not sign.exists():
        assert process.poll() is None, "the run ended before it was killed"
        time.sleep(0.02)
    kill(process, "all", signal.SIGKILL)
    assert copy.end(process).code == -signal.SIGKILL
    harms.check_after_kill(copy, before)


def test_a_part_of_a_run_is_killed(tmp_path):
    """Only the named program is killed; the shell that started it ends with the program's code."""
    checkout = Checkout(tmp_path)
    process = checkout.start("sh", "-c", "(exec sleep 1000); exit $?")
    harms.wait_for("sleep", process)
    kill(process, "sleep", signal.SIGKILL)
    assert checkout.end(process).code == 128 + signal.SIGKILL


def test_a_kill_that_does_no_harm(prepared):
    harms.check_after_kill(prepared, figures(1))
    assert prepared.figures() == figures(1)


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda c: (c.results / "layer.json").unlink(), "lost: the results of the run before"),
        (lambda c: write(c, "results/layer.json", "{"), "half-written: build/results/layer.json"),
        (lambda c: write(c, ".a.tmp", ""), r"lost: left behind: build/\.a\.tmp"),
        (lambda c: setattr(c, "ends", [SAID_NOTHING]), "lost: a good run ends with 1"),
        (
            lambda c: setattr(c, "ends", [before_the_end("waves/a.fst", "", passed(1))]),
            r"half-written: build/waves/a\.fst",
        ),
    ],
    ids=["results lost", "half a file", "leftover", "next run fails", "next run leaves half"],
)
def test_a_kill_that_does_harm(prepared, harm, words):
    harm(prepared)
    with pytest.raises(HarmError, match=words):
        harms.check_after_kill(prepared, figures(1))


# A write that fails


@pytest.mark.verify
def test_a_file_that_grows_too_large(copy):
    """A run that may write no file of more than 256 bytes is refused."""
    leave_results(copy)
    before = (copy.results / "layer.json").read_bytes()
    ended = harms.with_file_size(copy, ("make", "--no-print-directory", "IMAGES=2"), 256)
    assert harms.check_failed_write(copy, ended, before).startswith("refused, ")


@pytest.mark.verify
def test_a_disk_that_is_full(copy):
    """A run is refused on a disk that has not a byte of room."""
    if not harms.private_mounts():
        pytest.skip("no right to mount a small disk")
    leave_results(copy)
    before = (copy.results / "layer.json").read_bytes()
    ended = harms.on_small_disk(copy, ("make", "--no-print-directory", "IMAGES=2"), 0)
    assert harms.check_failed_write(copy, ended, before).startswith("refused, ")


@pytest.mark.parametrize(
    ("ended", "words"),
    [
        (passed(2), "unearned pass: figures of another run than 2 images"),
        (SAID_NOTHING, "unclear: 0 lines say why"),
        (TRACEBACK, "unclear: Traceback"),
    ],
)
def test_a_failed_write_that_is_not_refused(prepared, ended, words):
    with pytest.raises(HarmError, match=words):
        harms.check_failed_write(prepared, ended, (prepared.results / "layer.json").read_bytes())


def test_a_failed_write_that_does_harm(prepared):
    before = (prepared.results / "layer.json").read_bytes()
    assert harms.check_failed_write(prepared, REFUSED, before).startswith("refused, No space left")
    prepared.ends = [SAID_NOTHING]
    with pytest.raises(HarmError, match="lost: a good run ends with 1"):
        harms.check_failed_write(prepared, REFUSED, before)
    with pytest.raises(HarmError, match="lost: the results of the run before"):
        harms.check_failed_write(prepared, REFUSED, b"other results")


# A checkout that is read-only


def test_a_read_only_checkout(copy):
    if os.geteuid() == 0 and not harms.private_mounts():
        pytest.skip("no right to mount something read-only")
    number = harms.WRITERS.index("make vectors OUT=build/x")
    assert harms.read_only(copy, Least(), number) == "make: refused"


@pytest.mark.parametrize(
    ("ended", "words"),
    [
        (passed(1), "unearned pass"),
        (TRACEBACK, "unclear: Traceback"),
        (Ended(1, "error: no idea\n"), "unclear: error: no idea"),
    ],
)
def test_a_read_only_checkout_that_is_not_refused(ended, words):
    with pytest.raises(HarmError, match=words):
        harms.check_refused_to_write(ended)


# A stale build


@pytest.mark.verify
@pytest.mark.parametrize("number", range(len(harms.EDITS)), ids=[edit.file for edit in harms.EDITS])
def test_an_edit_is_found(copy, number):
    """An edit is found although the time stamp of the file stays the same."""
    edit = harms.EDITS[number]
    assert harms.stale_build(copy, Least(), number) == f"{edit.file}, same time: found"


@pytest.mark.parametrize("number", range(len(harms.EDITS)), ids=[edit.file for edit in harms.EDITS])
def test_a_stale_build_that_is_used(tmp_path, number):
    """Harm is found if each run passes, whatever was edited."""
    checkout, edit = Prepared.copied_to(tmp_path), harms.EDITS[number]
    with pytest.raises(HarmError, match=f"unearned pass: {edit.file} is wrong, yet"):
        harms.stale_build(checkout, Least(), number)
    assert len(edit.right) == len(edit.wrong)


# A simulator that crashes or hangs


@pytest.mark.verify
@pytest.mark.parametrize("script", FAKE_NUMBERS)
def test_a_dead_simulator_is_seen(copy, script):
    end = harms.fake_simulator(copy, Random(1), FAKE_NUMBERS[script])
    assert end.startswith(script.partition("_")[0])


def test_each_fake_is_tried():
    """Each fake is tried, and says in its script's second line what it does."""
    scripts = sorted((harms.HERE / "fakes").glob("[!_]*_*.*"))
    assert [script.name for script in scripts] == sorted(FAKE_NUMBERS)
    for script in scripts:
        assert script.read_text().splitlines()[1][0] in '#"', script


@pytest.mark.parametrize(
    ("ended", "words"),
    [
        (passed(1), "unearned pass"),
        (TRACEBACK, "unclear: Traceback"),
        (Ended(1, "FAILED: something\n"), "unclear: expected 'without results'"),
        (
            before_the_end("results/layer.json", "{", Ended(1, "FAILED: without results\n")),
            "half-written",
        ),
        (
            before_the_end("results/.tmp", "", Ended(1, "FAILED: without results\n")),
            "lost: left behind",
        ),
    ],
)
def test_a_dead_simulator_that_goes_unseen(prepared, ended, words):
    prepared.ends = [ended]
    with pytest.raises(HarmError, match=words):
        harms.fake_simulator(prepared, Least(), 0)


def test_a_simulator_after_which_no_run_passes(prepared):
    prepared.ends = [Ended(1, "FAILED: without results\n"), SAID_NOTHING]
    with pytest.raises(HarmError, match="lost: a good run ends with 1"):
        harms.fake_simulator(prepared, Least(), 0)


# A damaged checkpoint


def test_50_damaged_checkpoints(tmp_path):
    whole, rng = SHIPPED.read_bytes(), Random(1)
    for _ in range(50):
        end = harms.damaged_checkpoint(tmp_path / "damaged", rng, whole)
        assert end.endswith(": refused")


def test_a_damaged_checkpoint_that_is_taken(monkeypatch, tmp_path):
    whole = SHIPPED.read_bytes()
    monkeypatch.setattr(harms, "load_checkpoint", lambda path: None)
    with pytest.raises(HarmError, match=r"unearned pass: .*: taken for a checkpoint"):
        harms.damaged_checkpoint(tmp_path / "c", Random(1), whole)
    monkeypatch.setattr(harms, "load_checkpoint", lambda path: {}["x"])
    with pytest.raises(HarmError, match=r"unclear: .*KeyError"):
        harms.damaged_checkpoint(tmp_path / "c", Random(1), whole)
