"""Every signal that a save file names exists in the array, and each viewer gets the right files."""

import re
import subprocess
from pathlib import Path

import pytest
from pylibfst import lib
from pylibfst.helpers import get_scopes_signals2

from pymodel.support.files import ROOT
from tb.modules.module_table import SIMULATORS
from tb.run import layer, mismatch_screen
from tb.sim import waves
from tb.sim.run_bench import run_bench
from tb.sim.sources import faulty_rtl
from tb.sim.tests.waves_bench import SIGNALS
from tb.sim.waves import Watch


@pytest.mark.parametrize("top", SIGNALS)
@pytest.mark.parametrize("simulator", SIMULATORS)
def test_save_file(simulator, top):
    run_bench("tb.sim.tests.waves_bench", top, simulator=simulator, variant=top)


@pytest.mark.verify
def test_main_job_keeps_the_waveform_of_a_failing_run_too(command, monkeypatch, tmp_path):
    monkeypatch.setattr(layer, "WAVEFORM", tmp_path / "w.fst")
    monkeypatch.setattr(waves, "WAVEFORM", tmp_path / "w.fst")
    rtl = faulty_rtl(tmp_path, "pe.v", ("<= psum_i + product", "<= psum_i - product"))
    code, _, _ = command(
        layer.main,
        "--images",
        1,
        "--waves",
        "--quiet",
        "--rtl",
        rtl,
        "--results",
        tmp_path / "r.json",
    )
    assert code == 1
    assert (tmp_path / "w.fst").stat().st_size > 0
    assert str(tmp_path / "w.fst") in (tmp_path / "w.gtkw").read_text()
    commands = (tmp_path / "w.sucl").read_text()
    assert len(added(commands)) == SIGNALS["systolic_array"]
    assert {*added(commands)} <= signals(tmp_path / "w.fst")


@pytest.mark.verify
def test_another_arrays_waveform(command, monkeypatch, tmp_path):
    """The waveform is copied, and its save file names the signals of that array's top module."""
    monkeypatch.setattr(layer, "WAVEFORM", tmp_path / "w.fst")
    monkeypatch.setattr(waves, "WAVEFORM", tmp_path / "w.fst")
    dut = ROOT / "tb" / "examples" / "dot_engine.py"
    code, _, _ = command(
        layer.main, "--images", 1, "--waves", "--dut", dut, "--results", tmp_path / "r.json"
    )
    assert code == 0
    assert (tmp_path / "w.fst").stat().st_size > 0
    names = (tmp_path / "w.gtkw").read_text().splitlines()
    assert {"dot_engine.clk", "dot_engine.rst_n", "dot_engine.p_data[127:0]"} <= {*names}
    shown = {*added((tmp_path / "w.sucl").read_text())}
    assert {"dot_engine.clk", "dot_engine.rst_n", "dot_engine.p_data"} <= shown
    assert shown <= signals(tmp_path / "w.fst")
    assert not shown | {"dot_engine.no_such_signal"} <= signals(tmp_path / "w.fst")


def added(commands: str) -> list[str]:
    """Returns the signals that a command file has Surfer show; every command takes one word."""
    found = re.fullmatch(
        r"(?:(?:variable_add (\S+)|divider_add [^\s#;]+|cursor_set \d+)\n)+", commands
    )
    assert found, commands
    return re.findall(r"^variable_add (\S+)$", commands, re.MULTILINE)


def signals(path: Path) -> set[str]:
    """Returns the names of all signals in an FST file, without their ranges of bits."""
    reader = lib.fstReaderOpen(str(path).encode())
    _, found = get_scopes_signals2(reader)
    lib.fstReaderClose(reader)
    return {name.split(" [")[0] for name in found.by_name}


def test_both_files_show_the_same_in_the_same_groups(tmp_path):
    def trace(save):
        with save.group("a group"):
            save.trace("top.word[3:0]", "alias", datafmt="signed")
            save.trace("top.g[2].bit")

    Watch(str(tmp_path / "w.fst"), marker=70).write_save_file(trace)
    assert (tmp_path / "w.sucl").read_text() == (
        "divider_add a_group\nvariable_add top.word\nvariable_add top.g[2].bit\ncursor_set 70\n"
    )
    text = (tmp_path / "w.gtkw").read_text()
    assert "*-16.300000 70 " in text
    assert "-a group\n" in text
    assert "+{alias} top.word[3:0]\n" in text
    Watch(str(tmp_path / "w.fst")).write_save_file(trace)
    assert "cursor_set" not in (tmp_path / "w.sucl").read_text()


@pytest.fixture
def viewers(monkeypatch, tmp_path):
    """Returns a function that installs viewers which note their arguments; a waveform is there."""
    (tmp_path / "waves").mkdir()
    (tmp_path / "bin").mkdir()
    for name in ("mismatch.fst", "mismatch.gtkw", "mismatch.sucl"):
        (tmp_path / "waves" / name).touch()
    monkeypatch.setattr(waves, "WAVES", tmp_path / "waves")
    monkeypatch.setattr(waves, "ROOT", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))

    def install(*names: str):
        for name in names:
            script = tmp_path / "bin" / name
            script.write_text(f'#!/bin/sh\necho {name} "$@" > {tmp_path}/call\nexit 3\n')
            script.chmod(0o755)
        return tmp_path

    return install


SURFER = "surfer waves/mismatch.fst --command-file waves/mismatch.sucl\n"
GTKWAVE = "gtkwave waves/mismatch.fst waves/mismatch.gtkw\n"


@pytest.mark.parametrize(
    ("names", "chosen", "call"),
    [
        (["surfer", "gtkwave"], [], SURFER),
        (["gtkwave"], [], GTKWAVE),
        (["surfer", "gtkwave"], ["--viewer", "gtkwave"], GTKWAVE),
        (["surfer", "gtkwave"], ["--viewer", "surfer"], SURFER),
    ],
)
def test_viewer_that_is_there_or_chosen(command, viewers, names, chosen, call):
    folder = viewers(*names)
    code, _, _ = command(waves.main, "mismatch", *chosen)
    assert code == 3  # that of the viewer
    assert (folder / "call").read_text() == call


@pytest.mark.parametrize(("name", "suffix"), [("surfer", ".sucl"), ("gtkwave", ".gtkw")])
def test_waveform_without_the_viewers_file(command, viewers, name, suffix):
    folder = viewers(name)
    (folder / "waves" / f"mismatch{suffix}").unlink()
    command(waves.main, "mismatch")
    assert (folder / "call").read_text() == f"{name} waves/mismatch.fst\n"


@pytest.mark.parametrize(
    ("names", "chosen", "words"),
    [
        ([], [], ["neither surfer nor gtkwave is installed", "type: apt-get"]),
        (["surfer"], ["--viewer", "gtkwave"], ["gtkwave is not installed", "apt-get"]),
        (
            ["gtkwave"],
            ["--viewer", "surfer"],
            ["surfer is not installed", "WAVEFORM_VIEWER=gtkwave"],
        ),
        (["gtkwave"], ["--viewer", "vim"], ["WAVEFORM_VIEWER is 'vim'", "surfer or gtkwave"]),
    ],
)
def test_viewer_that_is_not_there(refused, viewers, names, chosen, words):
    viewers(*names)
    refused(waves.main, "mismatch", *chosen, words=words)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["waves", "WAVE=mismatch"], "tb.sim mismatch"),
        (["waves", "WAVEFORM_VIEWER=gtkwave"], "tb.sim --viewer gtkwave"),
        (["gtkwave", "WAVE=mismatch"], "tb.sim mismatch --viewer gtkwave"),
    ],
)
def test_make(arguments, words):
    command = ["make", "-n", "--no-print-directory", *arguments]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    *_, line = result.stdout.splitlines()
    assert line.replace('"', "").split() == f".venv/bin/python -m {words}".split()


def test_a_run_forgets_the_files_of_the_one_before(monkeypatch, tmp_path):
    monkeypatch.setattr(mismatch_screen, "WAVEFORM", tmp_path / "mismatch.fst")
    monkeypatch.setattr(mismatch_screen, "MISMATCH", tmp_path / "mismatch.json")
    for suffix in (".fst", ".gtkw", ".sucl", ".json"):
        (tmp_path / f"mismatch{suffix}").touch()
    mismatch_screen.forget_mismatch()
    assert not [*tmp_path.iterdir()]
