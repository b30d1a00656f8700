"""All four modes run in one simulation, and whatever is wrong in one of them is named with it."""

import json
from dataclasses import replace

import numpy as np
import pytest

from pymodel.checkpoint import SHIPPED, SHIPPED_2BIT
from pymodel.images import load_images
from tb.components.tile_run import Record
from tb.course import mode_files, whole_sequence
from tb.course.course_bench import Found
from tb.modules.module_table import SIMULATORS
from tb.modules.pytest_runs import first_few
from tb.sim.sources import faulty_rtl

MODES = ["2bit-ws", "2bit-os", "4bit-ws", "4bit-os"]


@pytest.fixture
def course(command, monkeypatch, tmp_path):
    """Returns a function that runs the command, and returns exit code, output and results."""
    monkeypatch.setattr(whole_sequence, "FILES", tmp_path / "course")
    monkeypatch.setattr(whole_sequence, "WAVEFORM", tmp_path / "course.fst")
    results = tmp_path / "course.json"

    def run(*arguments, simulator="icarus"):
        given = ("--sim", simulator, "--images", 1, "--results", results, *arguments)
        code, out, _ = command(whole_sequence.main, *given)
        return code, out, json.loads(results.read_text())

    return run


@pytest.mark.parametrize("simulator", first_few(SIMULATORS, 1))
def test_all_modes_in_one_simulation(course, tmp_path, simulator):
    """Each mode has text files, psums, sums and recovered outputs, and all are in one waveform."""
    code, out, result = course(simulator=simulator)
    assert code == 0, out
    phases = result["phases"]
    assert [row["phase"] for row in phases] == MODES
    assert [row["shows"] for row in phases] == ["psum", "sum", "psum", "sum"]
    assert [row["rows"] for row in phases] == [16, 16, 8, 8]
    assert [row["outputs_checked"] for row in phases] == [256, 256, 128, 128]
    assert [row["psums_checked"] for row in phases] == [2304, 256, 1152, 128]
    # Psums of each padded pixel, joint and by kernel position, of the 2-bit layer in two tiles;
    # and outputs, output stationary the first eight
    assert [row["file_psums_checked"] for row in phases] == [10368, 0, 5184, 0]
    assert [row["file_outputs_checked"] for row in phases] == [256, 128, 128, 64]
    wrong = [key for key in phases[0] if key.endswith("mismatches")]
    assert [row[key] for row in phases for key in wrong] == [0] * 12
    assert all(0 < row["max_abs_error"] < 1e-3 for row in phases)
    # Those that no test image brings to life (training/tests/test_shipped.py), or not this one
    assert [{0, 8} <= {*row["dead_channels"]} for row in phases] == [True, True, False, False]
    begins = [row["begins_ns"] for row in phases]
    assert begins == sorted(set(begins))
    assert len(list((tmp_path / "course" / "2bit-ws").glob("weight*_kij*.txt"))) == 18
    if simulator == "icarus":  # Verilator's waveforms need libraries that a machine may lack
        assert (tmp_path / "course.fst").stat().st_size > 0
        assert (tmp_path / "course.gtkw").exists()
        assert "make gtkwave WAVE=course" in out


# Faults that only one of the modes meets, and that mode
HALVES = "low_product + (halves_i ? high_product : high_product <<< HALF)"
FAULTS = {
    "2bit-ws": (HALVES, "low_product + (halves_i ? -high_product : high_product <<< HALF)"),
    "4bit-ws": (HALVES, "low_product + (halves_i ? high_product : high_product <<< (HALF - 1))"),
}


@pytest.mark.parametrize("mode", first_few(FAULTS, 1))
def test_a_wrong_array_fails_in_the_mode_that_meets_the_fault(course, tmp_path, mode):
    rtl = faulty_rtl(tmp_path, "reconfigurable_pe.v", FAULTS[mode])
    code, out, result = course("--rtl", rtl)
    assert code == 1
    assert f"FAILED: {mode}: mismatch: image 0, kernel position (" in out
    bits = mode.partition("bit")[0]
    more = f"make DUT=tb/components/reconfigurable.py MODE={bits}bit DATAFLOW=ws MODEL=training/"
    assert f"For a hint and a waveform: {more}shipped/vgg16_w4a{bits}.safetensors" in out
    assert [row["phase"] for row in result["phases"]] == MODES[: MODES.index(mode) + 1]
    assert "Every psum" not in out


def test_a_file_that_was_not_written_right_fails(course, monkeypatch):
    """A weight that differs in the files fails, although the files agree with one another."""
    write = mode_files.write_folder

    def wrong(folder, layer):
        weights = layer.weights.copy()
        weights[0, 0, 1, 1] ^= 1
        return write(folder, replace(layer, weights=weights))

    monkeypatch.setattr(mode_files, "write_folder", wrong)
    code, out, result = course()
    assert (code, result["phases"]) == (1, [])
    assert "2bit-ws: what is read from the files is not what was written" in out


def test_a_phase_that_left_no_record_is_no_pass(course, monkeypatch):
    """Text files of which nobody compared the results with the array's fail the run."""
    monkeypatch.setattr(whole_sequence.Record, "load", lambda path: None)
    code, out, _ = course()
    assert code == 1
    assert "FAILED: the simulation ended without the results of all phases" in out


@pytest.mark.verify
def test_an_output_that_differs_in_a_file_is_named(course, monkeypatch, tmp_path):
    """The array's outputs are compared with those in the files, and not with PyTorch's alone."""
    load = Record.load.__func__

    def changed(cls, path):
        record = load(cls, path)
        if path.stem == "4bit-os":
            record.received[0, 0] += 1000
        return record

    monkeypatch.setattr(Record, "load", classmethod(changed))
    code, out, result = course()
    assert code == 1
    assert "FAILED: 4bit-os: " in out
    assert "out.txt, line 4: pixel (0, 0), channel 0: expected" in out
    assert result["phases"][3]["file_output_mismatches"] == 1


@pytest.mark.verify
def test_shards_run_all_modes_and_are_kept(course, monkeypatch):
    """The figures are those of all shards; a second run takes the kept results."""
    images = load_images()
    monkeypatch.setattr(whole_sequence, "folder_at_hand", lambda root: "somewhere")
    monkeypatch.setattr(whole_sequence, "load_test_images", lambda root: images.first(3))
    monkeypatch.setattr(whole_sequence, "SHARD", 2)
    given = ("--all", "--workers", 1)
    code, out, result = course(*given, "--fresh", simulator="verilator")
    assert code == 0, out
    assert [row["images"] for row in result["phases"]] == [3] * 4
    assert [row["psums_checked"] for row in result["phases"]] == [6912, 768, 3456, 384]

    def run_shard(**arguments):
        raise AssertionError("a shard ran again")

    monkeypatch.setattr(whole_sequence, "run_shard", run_shard)
    assert course(*given, simulator="verilator")[2] == result


@pytest.mark.verify
def test_a_shard_that_fails_names_its_images(course, monkeypatch, tmp_path):
    """A fault that the first simulation does not meet, here because it is left out, is found."""
    images = load_images()
    monkeypatch.setattr(whole_sequence, "folder_at_hand", lambda root: "somewhere")
    monkeypatch.setattr(whole_sequence, "load_test_images", lambda root: images.first(2))
    monkeypatch.setattr(whole_sequence, "one_simulation", lambda *given: [{}] * 4)
    monkeypatch.setattr(whole_sequence, "result_table", lambda result: "")
    rtl = faulty_rtl(tmp_path, "reconfigurable_pe.v", FAULTS["4bit-ws"])
    code, out, _ = course("--all", "--workers", 1, "--rtl", rtl, simulator="verilator")
    assert code == 1
    assert "FAILED: images 0 to 1: 4bit-ws: mismatch: image 0, " in out


def test_counts_add_up_and_the_largest_error_stays():
    found = Found(1, 10, 0, 4, 100, 1000, 1e-6, 1e-4)
    found.add(Found(2, 20, 1, 8, 200, 2000, 1e-7, 1e-3))
    assert found == Found(3, 30, 1, 12, 300, 3000, 1e-6, 1e-3)


def test_what_is_read_is_compared_number_by_number():
    """A weight, an activation, or a channel that should not be there makes a layer another one."""
    rng = np.random.default_rng(1)
    codes, weights = rng.integers(0, 4, (16, 4, 4)), rng.integers(-7, 8, (16, 16, 3, 3))
    geometry = mode_files.Geometry()
    positions = weights.transpose(2, 3, 0, 1).reshape(9, 16, 16).copy()
    layer = mode_files.map_layer(np.pad(codes, ((0, 0), (1, 1), (1, 1))), positions)
    assert mode_files.same(layer, codes, weights, geometry)
    for number in (codes, weights):
        number.flat[7] ^= 1
        assert not mode_files.same(layer, codes, weights, geometry)
        number.flat[7] ^= 1
    assert mode_files.same(layer, codes, weights, geometry)
    assert not mode_files.same(layer, codes[:8], weights[:, :8], geometry)


def test_bad_input(refused, monkeypatch, tmp_path):
    monkeypatch.delenv("CIFAR10_ROOT", raising=False)
    monkeypatch.setattr(whole_sequence, "folder_at_hand", lambda root: None)
    main = whole_sequence.main
    words = ["--two-bit", "activations of 4 bits and weights of 4, expected 2 and 4"]
    refused(main, "--two-bit", SHIPPED, words=words)
    refused(main, "--four-bit", SHIPPED_2BIT, words=["--four-bit", "of 2 bits", "expected 4 and 4"])
    refused(main, "--images", 101, words=["IMAGES is '101', expected", "1 to 100"])
    refused(main, "--workers", 0, words=["--workers is 0, expected 1 or more"])
    refused(main, "--all", words=["--all", "not at hand", "CIFAR10_ROOT"])
