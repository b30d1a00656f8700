"""Each check of a checkout passes on a right one, and fails on one where the harm is planted."""

import json

import psutil
import pytest

from tb.soak import checkout as checkouts
from tb.soak.checkout import Checkout, Ended, HarmError, still_there
from tb.soak.tests.prepared import Prepared, figures, leave_results, write


@pytest.fixture
def checkout(tmp_path):
    """Returns a checkout with the results of a right run of one image."""
    checkout = Prepared(tmp_path)
    leave_results(checkout)
    return checkout


def test_a_right_checkout(checkout):
    checkout.check_whole()
    checkout.check_no_leftovers()
    checkout.check_earned(Ended(0, ""))
    checkout.good_run()


@pytest.mark.parametrize(
    "name",
    [
        "results/layer.json",
        "results/results.xml",
        "results/codes.npz",
        "results/other.json",
        "waves/a.fst",
    ],
)
def test_a_file_that_is_half_written(checkout, name):
    write(checkout, name, "{<")
    with pytest.raises(HarmError, match=f"half-written: build/{name}: "):
        checkout.check_whole()


def test_a_hidden_file_is_of_a_run_that_was_killed(checkout):
    write(checkout, "results/.layer.json", "{")
    checkout.check_whole()


def test_a_temporary_folder_that_is_left(checkout):
    (checkout.build / "kept" / ".a.tmp").mkdir(parents=True)
    with pytest.raises(HarmError, match=r"lost: left behind: build/kept/\.a\.tmp"):
        checkout.check_no_leftovers()


@pytest.mark.parametrize(
    ("code", "change", "words"),
    [
        (2, {}, "lost: a good run ends with 2"),
        (0, {"images": 2}, "unearned pass: figures of another run than 1 images"),
        (0, {"psum_mismatches": 1}, "unearned pass: figures of another run"),
        (0, {"psums_checked": 0}, "unearned pass: figures of another run"),
    ],
)
def test_a_pass_that_is_not_earned(checkout, code, change, words):
    write(checkout, "results/layer.json", json.dumps(figures(1) | change))
    with pytest.raises(HarmError, match=words):
        checkout.check_earned(Ended(code, ""))


def test_a_pass_without_results(tmp_path):
    with pytest.raises(HarmError, match=r"lost: a good run without build/results/layer\.json"):
        Checkout(tmp_path).check_earned(Ended(0, ""))


def test_a_clear_refusal():
    assert Ended(2, "Compiling\nerror: x.v: no such file\n").refused() == "error: x.v: no such file"
    assert Ended(1, "FAILED: 3 psums differ\n").refused() == "FAILED: 3 psums differ"


@pytest.mark.parametrize(
    ("ended", "words"),
    [
        (Ended(0, "all is well"), "unearned pass: all is well"),
        (Ended(1, "Traceback (most recent call last):\n"), "unclear: Traceback"),
        (Ended(1, "hm"), "unclear: 0 lines say why"),
        (Ended(2, "error: one\nFAILED: two\n"), "unclear: 2 lines say why"),
    ],
)
def test_what_is_no_clear_refusal(ended, words):
    with pytest.raises(HarmError, match=words):
        ended.refused()


def test_a_command_that_ends(tmp_path):
    checkout = Checkout(tmp_path)
    assert checkout.end(checkout.start("sh", "-c", "echo $A; exit 3", A="b")) == Ended(3, "b\n")


def test_a_command_that_hangs(tmp_path, monkeypatch):
    """A command that hangs is named and killed; the test has no patience, as it hangs for ever."""
    monkeypatch.setattr(checkouts, "PATIENCE", 0)
    monkeypatch.setattr(checkouts, "FOLLOW", 0)
    checkout = Checkout(tmp_path)
    process = checkout.start("sleep", "1000")
    with pytest.raises(HarmError, match="unclear: still runs after 0 s"):
        checkout.end(process)
    assert process.wait() < 0
    process.stdout.close()


def test_a_process_that_outlives_its_command(tmp_path, monkeypatch):
    """A process that outlives its command is named and killed."""
    monkeypatch.setattr(checkouts, "FOLLOW", 0)
    checkout = Checkout(tmp_path)
    process = checkout.start("sh", "-c", "sleep 1000 >&- 2>&- & echo $!; exec >&-")
    orphan = psutil.Process(int(process.stdout.readline()))
    with pytest.raises(HarmError, match=r"unclear: \w+ goes on without the run that started it"):
        checkout.end(process)
    psutil.wait_procs([orphan])
    assert not still_there(process.pid, 0)


def test_a_copy_holds_the_sources_and_no_build(tmp_path):
    """A copy holds the tracked files, and nothing of the build folder of this checkout."""
    copy = Checkout.copied_to(tmp_path / "copy")
    assert (copy.folder / "rtl" / "pe.v").exists()
    assert not copy.build.exists()
    assert not copy.built()
