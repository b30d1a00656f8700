"""Tile text files of any map run on the array, and what disagrees is named by file and line."""

import json
from pathlib import Path

import numpy as np
import pytest

from pymodel.support.files import ROOT
from pymodel.tile_files.agreement import find_reading
from pymodel.tile_files.conventions import Conventions
from pymodel.tile_files.identify_files import read_folder
from pymodel.tile_files.inputs import Geometry
from pymodel.tile_files.layer import FileLayer
from pymodel.tile_files.tests.plain_tiles import USUAL_HEADER, PlainTiles
from pymodel.tile_files.write_folder import Written, write_folder
from tb.components.array_adapter import adapter_class
from tb.components.tile_run import Record, TileRun
from tb.modules.module_table import SIMULATORS
from tb.run import mismatch_screen, replay, vectors
from tb.run.replay import check, cut, main
from tb.sim.sources import faulty_rtl

RECONFIGURABLE = ROOT / "tb" / "components" / "reconfigurable.py"


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


@pytest.mark.verify
@pytest.mark.parametrize("convention", ["", "--cores=outputs", "--weights=rows"])
def test_there_and_back(command, replayed, tmp_path, convention):
    """The files that make vectors writes are right for make replay."""
    options = [convention] if convention else []
    assert command(vectors.main, "--out", tmp_path / "tiles", *options)[0] == 0
    code, out, result = replayed(tmp_path / "tiles")
    assert code == 0
    assert result["psums_checked"] == 9 * 36 * 8
    assert result["file_psums_checked"] == 2 * 9 * 36 * 8
    assert result["sums_checked"] == result["file_outputs_checked"] == 16 * 8
    assert mismatches(result) == 0
    assert "psum.txt, " in out
    assert "psum_kij0..8.txt" in out
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


@pytest.mark.verify
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


def prepared(folder: Path):
    """Returns the files, the finding and the cut layer of a folder."""
    files = read_folder(folder)
    finding = find_reading(files, Geometry(), {})
    return files, finding, cut(finding.reading, 8, 8)


def test_sums_are_held_to_pytorch_too(monkeypatch, tmp_path):
    """Right psums do not pass if the sums are added up at the wrong pixels."""
    files, finding, layer = prepared(PlainTiles(4, 4).write(tmp_path, without=("out",)))
    record = record_of(layer.run, layer.run.expected.reshape(-1, 8))
    assert check(layer, files, finding, record)[1] == []
    monkeypatch.setattr(FileLayer, "add_up", lambda self, psums: psums[:, :16].sum(0))
    result, failures = check(layer, files, finding, record)
    assert failures == ["the sums over the tiles differ from PyTorch's integer convolution"]
    assert result["sum_mismatches"] > 0


def test_both_wrong(tmp_path):
    """A file and the RTL may differ from each other and from PyTorch: both are called wrong."""
    folder = PlainTiles(1, 1).write(tmp_path, without=("psum_kij", "out"))
    add_one(folder / "psum.txt", 3 + 4)
    files, finding, layer = prepared(folder)
    received = layer.run.expected.reshape(-1, 8).copy()
    truth = received[3, 0]
    received[3, 0] -= 1
    result, failures = check(layer, files, finding, record_of(layer.run, received))
    assert failures == [
        f"{tmp_path}/psum.txt, line 7: kernel position (0, 0), padded pixel (1, 0), channel 0: "
        f"expected {truth + 1} (file), got {truth - 1} (RTL), 1 differ; "
        f"PyTorch has {truth}: both are wrong there"
    ]
    assert result["psum_mismatches"] == result["file_psum_mismatches"] == 1


def test_damaged_words_are_not_checked(tmp_path):
    folder = PlainTiles(1, 1).write(tmp_path, header="", without=("psum_kij", "out"))
    lines = (folder / "psum.txt").read_text().splitlines()
    lines[5] = lines[5][1:]
    (folder / "psum.txt").write_text("\n".join(lines))
    files, finding, layer = prepared(folder)
    record = record_of(layer.run, layer.run.expected.reshape(-1, 8))
    result, failures = check(layer, files, finding, record)
    assert result["file_psums_checked"] == (9 * 9 - 1) * 8
    assert failures == [f"{tmp_path}/psum.txt, line 6: 127 bits, expected 128; 1 such words"]


@pytest.mark.parametrize(
    ("mode", "dataflow"),
    [
        ("2bit", "os"),
        pytest.param("2bit", "ws", marks=pytest.mark.verify),
        pytest.param("4bit", "os", marks=pytest.mark.verify),
    ],
)
def test_an_array_of_several_modes_runs_files(replayed, monkeypatch, tmp_path, mode, dataflow):
    """The size of a tile is that of the mode; output stationary, sums come instead of psums."""
    bits = int(mode[0])
    rows, windows = 32 // bits, dataflow == "os"
    rng = np.random.default_rng(1)
    codes, weights = rng.integers(0, 2**bits, (rows, 4, 4)), rng.integers(-8, 8, (rows, rows, 3, 3))
    style = Conventions(activation_bits=mode[0], activations="windows" if windows else "pixels")
    write_folder(tmp_path / "tiles", Written(codes, weights, Geometry(), style, rows=rows))
    monkeypatch.setenv("MODE", mode)
    monkeypatch.setenv("DATAFLOW", dataflow)
    code, out, result = replayed(tmp_path / "tiles", "--dut", RECONFIGURABLE)
    assert code == 0, out
    assert result["shows"] == ("sum" if windows else "psum")
    assert result["file_outputs_checked"] == (8 if windows else 16) * rows
    assert result["psums_checked"] == (8 * rows if windows else 9 * 36 * rows)
    assert mismatches(result) == 0


@pytest.mark.parametrize("rows", [4, 8, 16])
def test_a_layer_is_cut_for_any_array(tmp_path, rows):
    """The psums of each tile of the files come together again, whatever the array's size."""
    codes = np.random.default_rng(1).integers(0, 16, (24, 4, 4))
    weights = np.random.default_rng(2).integers(-8, 8, (16, 24, 3, 3))
    write_folder(tmp_path, Written(codes, weights, Geometry()))
    finding = find_reading(read_folder(tmp_path), Geometry(), {})
    layer = cut(finding.reading, rows, 4)
    received = layer.run.expected.reshape(-1, 4)
    whole = finding.reading.layer
    assert np.array_equal(layer.psums(received, None), whole.psums())
    for tile, part in enumerate(finding.reading.tiles):
        assert np.array_equal(layer.psums(received, tile), whole.psums(part))


def test_what_could_not_be_used_fails(replayed, tmp_path):
    """A damaged result file, a stale one, and one without a role are told apart."""
    folder = PlainTiles(1, 1).write(tmp_path / "tiles", without=("psum",))
    (folder / "out_relu.txt").write_text("0101\n")
    (folder / "notes.txt").write_text("to do\n")
    other = PlainTiles(1, 1, seed=2).files()["weight.txt"]
    (folder / "weight_old.txt").write_text("\n".join(other) + "\n")
    code, out, result = replayed(folder)
    assert code == 1
    assert f"FAILED: {folder}/out_relu.txt, line 1: 4 bits, expected 128 or 256" in out
    assert out.count("FAILED") == 1
    assert result["unusable_files"] == ["out_relu.txt"]
    assert result["unused_files"] == ["notes.txt"]
    assert result["stale_files"] == ["weight_old.txt"]
    for title, name in (("stale", "weight_old"), ("not used", "notes")):
        assert any(line.startswith(title) and name in line for line in out.splitlines())
    code, out, result = replayed(folder, "--ignore", "out_relu.txt", "--weights", "columns")
    assert code == 0
    assert result["unusable_files"] == []
    assert "(--weights columns)" in out


def test_results_that_lie_where_they_are_not_read_fail(replayed, tmp_path):
    """Psums in a folder below a folder, and a broken link to psums, are not taken for notes."""
    folder = PlainTiles(1, 1).write(tmp_path / "tiles", without=("psum", "psum_kij"))
    deep = folder / "sim" / "run1"
    deep.mkdir(parents=True)
    (deep / "psum.txt").write_text("0101\n")
    (deep / "notes.txt").write_text("to do\n")
    (folder / "psum_kij3.txt").symlink_to(tmp_path / "nowhere")
    code, out, result = replayed(folder)
    assert code == 1
    assert result["unusable_files"] == ["psum_kij3.txt", "sim/run1/psum.txt"]
    assert result["unused_files"] == ["sim/run1/notes.txt"]
    assert "a link that leads nowhere, expected a file of psums in" in out


@pytest.mark.parametrize("name", ["psum", "psum.2"])
def test_a_link_to_a_folder_of_results_is_refused(refused, tmp_path, name):
    """A dot in its name is no suffix of a file of notes."""
    folder = PlainTiles(1, 1).write(tmp_path / "tiles", without=("psum", "psum_kij"))
    (tmp_path / "results").mkdir()
    (folder / name).symlink_to(tmp_path / "results")
    words = [f"{folder / name}: cannot be read", "directory"]
    refused(main, "--dir", folder, words=words)


@pytest.mark.parametrize(
    "name", ["psums/k{k}.txt", pytest.param("psum/x{k}.txt", marks=pytest.mark.verify)]
)
def test_results_in_a_folder_that_says_so_are_results(replayed, tmp_path, name):
    """A single letter in a file's name counts less than the word in its folder's."""
    folder = PlainTiles(1, 1).write(tmp_path / "tiles", without=("psum.",))
    moved = []
    for k, path in enumerate(sorted(folder.glob("psum_kij*.txt"))):
        moved.append(folder / name.format(k=k))
        moved[-1].parent.mkdir(parents=True, exist_ok=True)
        path.rename(moved[-1])
    assert len(moved) == 9
    code, _, result = replayed(folder)
    assert (code, result["unused_files"]) == (0, [])
    for path in moved:
        words = path.read_text().splitlines()
        path.write_text("\n".join(word[:-4] + "1011" for word in words) + "\n")
    assert replayed(folder)[0] == 1


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda word: "1" + word, "line 5: 129 bits, expected 128"),
        (lambda word: 112 * "0" + "1000000000000000", "got"),
    ],
    ids=["17 bits", "a false -32768"],
)
@pytest.mark.verify
def test_a_false_psum_of_a_known_exporter(replayed, tmp_path, edit, words):
    folder = PlainTiles(1, 1).write(tmp_path / "tiles", without=("psum_kij",))
    lines = (folder / "psum.txt").read_text().splitlines()
    lines[4] = edit(lines[4])
    (folder / "psum.txt").write_text("\n".join(lines))
    code, out, _ = replayed(folder)
    assert code == 1
    (line,) = [line for line in out.splitlines() if line.startswith("FAILED")]
    assert f"{folder}/psum.txt, line 5: " in line
    assert words in line


@pytest.mark.verify
def test_one_wrong_input_is_named_instead_of_all_that_follows(replayed, tmp_path):
    folder = PlainTiles(4, 4).write(tmp_path / "tiles", without=("weight_",))
    lines = (folder / "weight.txt").read_text().splitlines()
    lines[10] = lines[10][:-1] + "10"[int(lines[10][-1])]
    (folder / "weight.txt").write_text("\n".join(lines))
    code, out, result = replayed(folder)
    assert code == 1
    (line,) = [line for line in out.splitlines() if line.startswith("FAILED")]
    assert f"FAILED: {folder}/weight.txt, line 11: number 8 of 8 is " in line
    assert result["psum_mismatches"] == 0
    assert result["file_psum_mismatches"] > 1


@pytest.mark.verify
def test_outputs_of_another_run(replayed, tmp_path):
    folder = PlainTiles(4, 4).write(tmp_path / "tiles", without=("weight_", "psum"))
    other = PlainTiles(4, 4, seed=3).files()["out.txt"]
    (folder / "out.txt").write_text("\n".join(other) + "\n")
    code, out, result = replayed(folder)
    assert code == 1
    assert "no reading of the files agrees with more than 90%" in out
    assert result["decided_by"] == "no agreement"
    assert result["psum_mismatches"] == result["sum_mismatches"] == 0


def test_somebody_elses_array(replayed, tmp_path):
    """The files run on the array of an adapter."""
    folder = PlainTiles(1, 1).write(tmp_path / "tiles", without=("weight_",))
    dut = ROOT / "tb" / "examples" / "load_first_array.py"
    code, _, result = replayed(folder, "--dut", dut)
    assert code == 0
    assert result["array"] == adapter_class(dut).TOPLEVEL


def test_no_folder(refused):
    refused(main, words=["DIR is not set", "make replay DIR=folder"])


@pytest.mark.parametrize("height", ["0", "-1", "abc", "", "1.5"])
def test_height(refused, tmp_path, height):
    words = [f"--height is '{height}'", "from 1 on"]
    refused(main, "--dir", tmp_path, f"--height={height}", words=words)


def test_a_malformed_file_leaves_results_alone(refused, tmp_path):
    folder = PlainTiles(1, 1).write(tmp_path / "tiles", without=("weight_",))
    (folder / "weight.txt").write_text("0101\n")
    results = tmp_path / "r.json"
    results.write_text("of before")
    words = [f"{folder}/weight.txt, line 1: 4 bits, expected 32"]
    refused(main, "--dir", folder, "--results", results, words=words)
    assert results.read_text() == "of before"


def test_unknown_simulator(refused, tmp_path):
    refused(main, "--dir", tmp_path, "--sim", "modelsim", words=["SIM is 'modelsim'"])
