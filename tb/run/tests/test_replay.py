"""Tile text files of any map run on the array, and what disagrees is named by file and line."""

import json
from pathlib import Path

import numpy as np
import pytest

from pymodel.hardware.tests.plain_tiles import USUAL_HEADER, PlainTiles
from pymodel.hardware.tile_text import read_folder
from tb.components.array_adapter import adapter_class
from tb.components.tile_run import Record, TileRun
from tb.run import mismatch_screen, replay, vectors
from tb.run.replay import check, main, raster_run
from tb.sim.sources import faulty_rtl
from tb.testplan.module_table import SIMULATORS


@pytest.fixture
def replayed(command, tmp_path):
    """Returns a function that runs a folder, and returns exit code, output and results."""

    def run(folder, *arguments):
        results = tmp_path / "replay.json"
        options = ["--sim", SIMULATORS[0], "--results", results, *arguments]
        code, out, _ = command(main, "--dir", folder, *options)
        return code, out, json.loads(results.read_text()) if results.exists() else None

    return run


def mismatches(result: dict) -> int:
    """Returns the number of mismatches of all kinds."""
    return sum(value for key, value in result.items() if key.endswith("_mismatches"))


def test_there_and_back(command, replayed, tmp_path):
    """The files that make vectors writes are right for make replay."""
    assert command(vectors.main, "--out", tmp_path / "tiles")[0] == 0
    code, out, result = replayed(tmp_path / "tiles")
    assert code == 0
    assert result["psums_checked"] == 9 * 36 * 8
    assert result["file_psums_checked"] == 2 * 9 * 36 * 8
    assert result["sums_checked"] == result["file_outputs_checked"] == 16 * 8
    assert mismatches(result) == 0
    assert "psum.txt, psum_kij0..8.txt" in out
    assert "FAILED" not in out


@pytest.mark.parametrize(
    ("height", "width", "header", "without"),
    [
        (2, 3, "three lines\nof other\ntext\n", ("weight_itile", "psum_kij")),
        pytest.param(1, 1, "\n\n\n", ("weight.txt", "psum", "out"), marks=pytest.mark.verify),
        pytest.param(16, 16, "", ("weight_itile", "psum.txt"), marks=pytest.mark.verify),
    ],
)
def test_any_map_from_plain_files(replayed, tmp_path, height, width, header, without):
    """Random codes, −8 and 15 among them, come from a writer independent of the reader."""
    plain = PlainTiles(height, width)
    folder = plain.write(tmp_path / "tiles", header, without)
    code, out, result = replayed(folder, *(["--height", height] if height != width else []))
    assert code == 0
    psums = 9 * (height + 2) * (width + 2) * 8
    assert result["psums_checked"] == psums
    assert result["sums_checked"] == height * width * 8
    assert mismatches(result) == 0
    expected = (0, 0) if "out" in without else (psums, height * width * 8)
    assert (result["file_psums_checked"], result["file_outputs_checked"]) == expected
    assert out.count("there are none") == expected.count(0)


def add_one(path: Path, line: int) -> None:
    """Adds one to the number of channel 0 in a line."""
    lines = path.read_text().splitlines()
    word = lines[line - 1]
    lines[line - 1] = word[:112] + f"{(int(word[112:], 2) + 1) % 2**16:016b}"
    path.write_text("\n".join(lines))


def test_wrong_files_are_found_at_their_lines(replayed, tmp_path):
    plain = PlainTiles(4, 4)
    folder = plain.write(tmp_path / "tiles", USUAL_HEADER)
    add_one(folder / "psum_kij5.txt", 3 + 14)  # padded pixel 13, of rows of 6
    add_one(folder / "psum.txt", 3 + 5 * 36 + 14)
    add_one(folder / "out.txt", 3 + 7)
    code, out, result = replayed(folder)
    assert code == 1
    got, output = plain.psums[5][13][0], plain.outputs[6][0]
    agrees = (
        "1 differ; the RTL agrees with PyTorch: this file is wrong there, or one of the inputs is"
    )
    where = "kernel position (1, 2), padded pixel (2, 1), channel 0"
    psum = f"{where}: expected {got + 1} (file), got {got} (RTL), {agrees}\n"
    assert f"FAILED: {folder}/psum_kij5.txt, line 17: {psum}" in out
    assert f"FAILED: {folder}/psum.txt, line 197: {psum}" in out
    assert (
        f"FAILED: {folder}/out.txt, line 10: pixel (1, 2), channel 0: expected {output + 1} "
        f"(file), got {output} (RTL), {agrees}\n"
    ) in out
    assert out.count("FAILED") == 3
    assert (result["file_psum_mismatches"], result["file_output_mismatches"]) == (2, 1)
    assert (result["psum_mismatches"], result["sum_mismatches"]) == (0, 0)


def test_a_wrong_array_is_found_with_files_and_without(replayed, monkeypatch, tmp_path):
    """An array whose weights lose their sign is found with expected files and without."""
    width = "PSUM_WIDTH - WEIGHT_WIDTH"
    right, wrong = f"{{({width}){{weight[WEIGHT_WIDTH-1]}}}}", f"{{({width}){{1'b0}}}}"
    rtl = faulty_rtl(tmp_path, "pe.v", (right, wrong))
    monkeypatch.setattr(mismatch_screen, "MISMATCH", tmp_path / "mismatch.json")
    monkeypatch.setattr(mismatch_screen, "WAVEFORM", tmp_path / "mismatch.fst")
    wrong = type("Wrong", (adapter_class(),), {"SOURCES": sorted(rtl.glob("*.v"))})
    monkeypatch.setattr(replay, "adapter_class", lambda path: wrong)
    folder = PlainTiles(1, 1).write(tmp_path / "tiles")
    code, out, result = replayed(folder, "--sim", "icarus")
    assert code == 1
    assert "FAILED: mismatch: image 0, kernel position (" in out
    assert out.count("the file agrees with PyTorch: the RTL is wrong there") > 1
    assert "Hint: the sign of weights dropped" in out
    assert result["psum_mismatches"] > 0
    assert result["sum_mismatches"] > 0


def record_of(run: TileRun, received: np.ndarray) -> Record:
    """Returns the record of an array that returned `received` [n, 8]."""
    nothing = np.zeros(received.shape, bool)
    return Record(run, received, nothing, np.arange(len(received)), (4, 4, 16), (0, 10))


def test_sums_are_held_to_pytorch_too(monkeypatch, tmp_path):
    """Right psums do not pass if the sums are added up at the wrong pixels."""
    folder = read_folder(PlainTiles(4, 4).write(tmp_path, without=("out",)))
    run = raster_run(folder)
    record = record_of(run, run.expected[0].reshape(-1, 8))
    assert check(folder, record)[1] == []
    monkeypatch.setattr(replay, "sums", lambda psums, height, width: psums[:, :16].sum(0))
    result, failures = check(folder, record)
    assert failures == ["the sums over the tiles differ from PyTorch's integer convolution"]
    assert result["sum_mismatches"] > 0


def test_both_wrong(tmp_path):
    """A file and the RTL may differ from each other and from PyTorch: both are called wrong."""
    folder = read_folder(PlainTiles(1, 1).write(tmp_path, without=("psum_kij", "out")))
    run = raster_run(folder)
    truth = run.expected[0].reshape(-1, 8)
    folder.psums[0][1].values[3, 2] += 1
    received = truth.copy()
    received[3, 2] -= 1
    result, failures = check(folder, record_of(run, received))
    assert failures == [
        f"{tmp_path}/psum.txt, line 7: kernel position (0, 0), padded pixel (1, 0), channel 2: "
        f"expected {truth[3, 2] + 1} (file), got {truth[3, 2] - 1} (RTL), 1 differ; "
        f"PyTorch has {truth[3, 2]}: both are wrong there"
    ]
    assert result["psum_mismatches"] == result["file_psum_mismatches"] == 1


def test_no_folder(refused):
    refused(main, words=["DIR is not set", "make replay DIR=folder"])


@pytest.mark.parametrize("height", ["0", "-1", "abc", "", "1.5"])
def test_height(refused, tmp_path, height):
    words = [f"--height is '{height}'", "from 1 on"]
    refused(main, "--dir", tmp_path, f"--height={height}", words=words)


def test_a_malformed_file_leaves_results_alone(refused, tmp_path):
    folder = PlainTiles(1, 1).write(tmp_path / "tiles")
    (folder / "weight.txt").write_text("0101\n")
    results = tmp_path / "r.json"
    results.write_text("of before")
    words = [f"{folder}/weight.txt, line 1: 4 bits, expected 32"]
    refused(main, "--dir", folder, "--results", results, words=words)
    assert results.read_text() == "of before"


def test_unknown_simulator(refused, tmp_path):
    refused(main, "--dir", tmp_path, "--sim", "modelsim", words=["SIM is 'modelsim'"])
