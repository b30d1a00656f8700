"""In make network every code of every layer is checked, and the first wrong one is named."""

import json
import subprocess
import sys

import pytest
import torch

from pymodel.checkpoint import SHIPPED
from pymodel.reference.integer_network import IntegerNetwork
from tb.run import network
from tb.run.network import first_mismatch, misses, run_hardware
from tb.run.sweep import PeakMemory
from tb.sim.errors import BenchError
from tb.sim.sources import RTL
from training import data

RESULT = {
    "codes_checked": 1,
    "codes_not_zero": 1,
    "code_mismatches": 0,
    "predictions_differing": 0,
    "accuracy_integer": 0.9,
    "accuracy_fake_quantised": 0.9004,
    "farthest_from_an_edge": 1e-6,
}


@pytest.fixture(autouse=True)
def _no_data_set(monkeypatch, tmp_path):
    """Hides the data set, so that the shipped images are used."""
    monkeypatch.delenv("CIFAR10_ROOT", raising=False)
    monkeypatch.setattr(data, "ROOT", tmp_path)


@pytest.mark.verify
def test_one_image(command, tmp_path):
    """One image passes all layers; a second run uses the kept shard, and has the same results."""
    results = tmp_path / "network.json"
    arguments = ("--images", 1, "--workers", 1, "--results", results)
    code, out, _ = command(network.main, *arguments, "--fresh")
    assert code == 0, out
    assert "Every code equals the reference's" in out
    first = json.loads(results.read_text())
    assert first["layers"] == 12
    assert first["codes_checked"] == 102_656
    assert first["code_mismatches"] == first["predictions_differing"] == 0
    assert first["cycles"] > 2_800_000
    assert 0.95 < first["utilisation"] < 1  # a 2 × 2 map of one image is less than COLS pixels
    assert 0 < first["memory_mib"] < 8192
    assert first["accuracy_integer"] == first["accuracy_fake_quantised"] == 0.95
    code, out, _ = command(network.main, *arguments)
    assert code == 0
    again = json.loads(results.read_text())
    assert again["shards_kept"] == 1
    assert first["seconds"] > 0
    assert again["seconds"] is None
    for key in ("codes_checked", "cycles", "accuracy_rtl", "images", "layers"):
        assert again[key] == first[key]


def test_peak_memory_counts_what_was_started():
    """A child process that holds 200 MiB during the measurement adds them to the peak."""
    program = "held = b'x' * (200 << 20); print('held', flush=True); input()"
    child = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout.readline() == "held\n"
    with PeakMemory() as with_child:
        pass
    child.communicate("\n")
    with PeakMemory() as alone:
        pass
    assert 150 < with_child.mib - alone.mib < 300


@pytest.fixture
def images(images):
    """Returns two of the shipped images."""
    return images.first(2)


@pytest.fixture
def corrupt(monkeypatch):
    """Returns a function that changes one number of one layer on its way out of the simulation."""

    def corrupt(layer, place):
        right = network.simulate

        def simulate(*arguments):
            results, counts = right(*arguments)
            results[layer][place] += 2
            return results, counts

        monkeypatch.setattr(network, "simulate", simulate)

    return corrupt


def hardware_report(images) -> dict:
    """Returns the report of a shard of `images` on the core, simulated with Verilator."""
    result = run_hardware(images.images.numpy(), "verilator", str(SHIPPED), str(RTL))
    return json.loads(str(result["report"]))


@pytest.mark.verify
def test_a_wrong_code_is_named(corrupt, images, shipped):
    """A wrong code is named with its place and value; the run that observes it again is right."""
    corrupt(6, (1, 5, 2, 3))
    report = hardware_report(images)
    assert report["mismatches"] == [0] * 6 + [1] + [0] * 5
    reports = {0: report}
    said = first_mismatch(IntegerNetwork(shipped), images, reports, RTL)
    assert "first: features.24, output tile 0, image 1, pixel (2, 3), channel 5: expected " in said
    assert "(+2), 1 differ" in said
    assert "wrong in images 0 to 1: features.24 1\n" in said
    assert "again: the job is right when it runs alone, so the fault needs the jobs" in said


def test_a_simulation_that_fails_is_no_result(images, monkeypatch):
    """If a simulation hangs in the third layer, the message names the layer."""

    def simulate(*arguments):
        error = BenchError("the core hangs in job 1 of 2")
        network_ = network.load_network(str(SHIPPED))
        codes = network_.first_codes(torch.from_numpy(images.images.numpy()))
        outputs = network_.outputs(codes)
        error.results = [next(outputs).numpy(), next(outputs).numpy()]
        raise error

    monkeypatch.setattr(network, "simulate", simulate)
    with pytest.raises(BenchError, match=r"features.10: the core hangs"):
        hardware_report(images)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"codes_checked": 0}, "nothing was checked"),
        ({"codes_not_zero": 0}, "nothing but zeros was expected"),
        ({"code_mismatches": 1}, "not those of the reference"),
        ({"predictions_differing": 1}, "other classes"),
        ({"accuracy_integer": 0.8998}, "0.06% apart, expected at most 0.05%"),
        ({"farthest_from_an_edge": 2e-4}, "expected at most 1.0e-04: rounding does not explain it"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_does_not_hold_fails(change, words):
    assert misses(RESULT) == []
    (line,) = misses(RESULT | change)
    assert words in line


@pytest.mark.parametrize("count", ["0", "101", "abc", ""])
def test_bad_image_counts(refused, count, tmp_path):
    results = tmp_path / "network.json"
    refused(
        network.main,
        f"--images={count}",
        "--results",
        results,
        words=[f"IMAGES is '{count}'", "from 1 to 100"],
    )
    assert not results.exists()


def test_bad_workers(refused):
    refused(network.main, "--workers", 0, words=["--workers is 0", "1 or more"])
    refused(network.main, "--model", "none", words=["none"])
    refused(network.main, "--sim", "vcs", words=["SIM is 'vcs'"])


def test_estimate_of_scaling():
    """The estimate scales as long as each worker has many shards, and does not scale further."""
    from tb.run.scaling import play

    assert play(1000, 10, 5, 0, 0) == 500
    assert play(1000, 1000, 5, 2, 0) == 7
    assert play(1000, 1001, 5, 2, 0) == 7
    assert play(1000, 1000, 5, 0, 0.1) == pytest.approx(105)
