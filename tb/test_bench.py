"""The bench of the core's cycles: the squeezed layer's limits hold, and a wrong core fails it."""

import json

import pytest

from pymodel.core import Core
from tb import bench
from tb.scoreboard import BenchError


@pytest.fixture(scope="module")
def binary():
    return bench.build()


def test_squeezed_layer(binary, shipped):
    """One image, a batch of 32, and two of them one after the other, by the counter."""
    one, batch, two = (
        bench.measure(binary, shipped, "features.27", bench.captured(shipped, images), parts)
        for images, parts in ((1, 1), (32, 1), (64, 2))
    )
    assert bench.misses([one, batch, two]) == []
    slow = two | {"cycles": two["cycles"] + 130}
    assert "two batches" in bench.misses([one, batch, slow])[0]
    late, idle = one | {"cycles": 137}, batch | {"utilisation": 1.37}
    layer = slow | {"limit_cycles": 0.96 * slow["cycles"]}
    assert len(bench.misses([late, idle, slow, layer])) == 4
    for row in (one, batch):
        assert row["cycles"] == row["model_cycles"]
        assert row["stalls"] == 0
    table = bench.report([one, batch, two])
    assert f"{one['cycles']}  " in table
    json.dumps([one, batch, two])


def test_wrong_results_fail(binary, shipped, monkeypatch):
    """Weights that are not the network's: the first wrong beat is named."""
    inputs = bench.captured(shipped, 1)
    right = bench.weight_vectors
    monkeypatch.setattr(bench, "weight_vectors", lambda weights, core: right(-weights, core))
    with pytest.raises(BenchError, match="first mismatch: beat 0"):
        bench.measure(binary, shipped, "features.27", inputs, 1)


def test_wrong_cycles_fail(binary, shipped, monkeypatch):
    """A cycle more than the model says."""
    inputs = bench.captured(shipped, 1)
    right = bench.cycles
    monkeypatch.setattr(bench, "cycles", lambda layer, core: right(layer, core) - 1)
    with pytest.raises(BenchError, match="cycles"):
        bench.measure(binary, shipped, "features.27", inputs, 1)


def test_the_host_is_built_for_the_default_core():
    """core_host.v and core_pins.v connect 32, 192 and 24 bits."""
    assert (Core().rows, Core().cols, Core().sum_width) == (8, 8, 24)


def test_bad_input_is_one_line(refused, tmp_path):
    """A checkpoint that is not there; nothing is written."""
    results = tmp_path / "core.json"
    refused(bench.main, "--model", tmp_path / "none", "--results", results, words=["none"])
    assert not results.exists()
