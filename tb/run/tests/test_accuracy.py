"""In make accuracy the RTL core predicts what the software predicts, and a wrong core is found."""

import json
from contextlib import nullcontext

import numpy as np
import pytest
import torch

from tb.modules.module_table import SIMULATORS
from tb.run import accuracy
from tb.sim.sources import faulty_rtl
from training import data


@pytest.fixture
def run(command, tmp_path, monkeypatch):
    """Returns a function that runs the command without the data set.

    The function returns exit code, output and results.
    """
    monkeypatch.delenv("CIFAR10_ROOT", raising=False)
    monkeypatch.setattr(data, "ROOT", tmp_path)  # no data set there
    results = tmp_path / "accuracy.json"

    def run(*arguments):
        code, out, _ = command(
            accuracy.main, "--sim", SIMULATORS[0], "--workers", 1, "--results", results, *arguments
        )
        return code, out, json.loads(results.read_text())

    return run


@pytest.mark.verify
def test_the_shipped_images(run):
    """Without the data set, the command takes all 100 shipped images and says so."""
    code, out, result = run("--fresh")
    assert code == 0, out
    assert "not at hand, so the shipped 100 are used" in out
    assert result["images"] == 100
    assert result["accuracy_rtl"] == result["accuracy_software"] == 0.95
    assert result["predictions_differing"] == result["sum_mismatches"] == 0
    assert result["sums_checked"] == 100 * 8 * 16
    assert result["shards_kept"] == 0
    assert run()[2]["shards_kept"] == 1


@pytest.mark.verify
def test_a_wrong_core(run, tmp_path):
    """If the last channel's sums lose their lowest bit, this is counted, named and observed."""
    right = "sum_o       <= sum;"
    wrong = "sum_o <= sum & ~({{COLS*SUM_WIDTH-1{1'b0}}, 1'b1} << (COLS-1)*SUM_WIDTH);"
    rtl = faulty_rtl(tmp_path, "accumulator.v", (right, wrong))
    code, out, result = run("--rtl", rtl)
    assert code == 1
    assert result["sum_mismatches"] > 0
    assert "FAILED: features.27: output tile 0, image 0, pixel (0, " in out
    assert "channel 7: expected " in out
    assert "again, that image and tile (images from 0, channels from 0): mismatch: " in out


def test_nothing_but_zeros_fails(run, monkeypatch):
    """A core that always gives 0 would pass: the sums are those of codes that are all zero."""

    def nothing(model, images):
        return torch.zeros(len(images), 8, 4, 4, dtype=torch.int8), torch.zeros(len(images))

    def spread(client, function, codes, *arguments):
        yield 0, {"sums": np.zeros((len(codes), 8, 4, 4), np.int32)}, False

    monkeypatch.setattr(accuracy, "run_software", nothing)
    monkeypatch.setattr(accuracy, "prepare_host", lambda *arguments: None)
    monkeypatch.setattr(accuracy, "cluster", lambda *arguments: nullcontext())
    monkeypatch.setattr(accuracy, "spread", spread)
    monkeypatch.setattr(accuracy, "predict_from_sums", lambda model, sums: torch.zeros(len(sums)))
    code, out, result = run()
    assert (code, result["sum_mismatches"], result["predictions_differing"]) == (1, 0, 0)
    assert "FAILED: features.27: nothing but zeros was expected" in out


def test_bad_input(refused, tmp_path):
    refused(accuracy.main, "--model", "none", words=["none"])
    refused(accuracy.main, "--data", tmp_path, words=[str(tmp_path), "not found"])
    refused(accuracy.main, "--rtl", tmp_path, words=["holds no Verilog sources"])
