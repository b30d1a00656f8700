"""In make bench the squeezed layer meets its limits, and a wrong core or a slow bench fails."""

import json

import pytest

from pymodel.hardware.core import Core, Layer
from pymodel.hardware.cycles import cycles
from pymodel.reference.integer_network import IntegerNetwork
from tb.host import speed
from tb.host.compile_host import prepare_host
from tb.run import benchmark
from tb.sim.errors import BenchError

SQUEEZED = 7  # index of features.27 among the quantised layers


@pytest.fixture(scope="module")
def simulation():
    """Returns the core in its host, compiled for Verilator without cocotb."""
    return prepare_host("verilator")


@pytest.fixture(scope="module")
def network(shipped):
    """Returns the integer network of the shipped checkpoint."""
    return IntegerNetwork(shipped)


@pytest.fixture
def measure(simulation, network):
    """Returns a function that runs images of the squeezed layer in batches, and returns a row."""
    stage = network.stages[SQUEEZED]
    assert stage.name == "features.27"

    def measure(images, batches=1):
        codes = benchmark.captured(network, images)
        return benchmark.measure(simulation, stage, *codes[SQUEEZED : SQUEEZED + 2], batches)

    return measure


@pytest.mark.verify
def test_squeezed_layer(measure):
    """The cycle counter meets the limits for one image, a batch of 32, and two such batches."""
    one, batch, two = measure(1), measure(32), measure(64, 2)
    assert benchmark.misses([one, batch, two]) == []
    slow = two | {"cycles": two["cycles"] + 130}
    assert "two batches" in benchmark.misses([one, batch, slow])[0]
    late, idle = one | {"cycles": 137}, batch | {"utilisation": 1.37}
    layer = slow | {"limit_cycles": 0.96 * slow["cycles"]}
    assert len(benchmark.misses([late, idle, slow, layer])) == 4
    for row in (one, batch):
        assert row["cycles"] == row["model_cycles"]
        assert row["stalls"] == 0
    table = benchmark.result_table([one, batch, two])
    assert f"{one['cycles']}  " in table
    json.dumps([one, batch, two])


@pytest.mark.verify
def test_wrong_results_fail(measure, monkeypatch):
    """With negated weights, the message names the first wrong code."""
    right = benchmark.write_program
    monkeypatch.setattr(
        benchmark,
        "write_program",
        lambda folder, jobs, codes, weights, table: right(folder, jobs, codes, -weights, table),
    )
    with pytest.raises(BenchError, match="mismatch: output tile 0, image 0, pixel "):
        measure(1)


@pytest.mark.verify
def test_wrong_cycles_fail(measure, monkeypatch):
    """A run of one cycle more than the model says fails."""
    right = benchmark.cycles
    monkeypatch.setattr(benchmark, "cycles", lambda layer, core: right(layer, core) - 1)
    with pytest.raises(BenchError, match="136 cycles, the model says 135"):
        measure(1)


@pytest.mark.verify
@pytest.mark.parametrize("simulator", ["icarus", "verilator"])
def test_speed(simulator, monkeypatch):
    """A few images give the same sums with cocotb and without; the row has rates and ratio."""
    monkeypatch.setattr(speed, "ROUNDS", {"verilator": 2, "icarus": 1})
    row = speed.measure_speed(simulator, images=8)
    assert row["cycles"] == cycles(Layer(4, 4, 8, 8, images=8), Core())
    assert row["ratio"] == row["cocotb_cycles_per_second"] / row["bare_cycles_per_second"]
    assert f"{row['ratio']:.2f}" in speed.speed_table([row])


def test_other_sums_fail(monkeypatch):
    """Sums that differ with cocotb and without it fail."""
    right = speed.run_cocotb

    def wrong(*arguments):
        rate, sums = right(*arguments)
        return rate, sums + 1

    monkeypatch.setattr(speed, "run_cocotb", wrong)
    with pytest.raises(BenchError, match="the sums with cocotb are not those without it"):
        speed.measure_speed("icarus", images=1)


def test_slow_fails(monkeypatch, tmp_path):
    """A ratio below the limit is named."""
    row = {"cycles": 1, "cocotb_cycles_per_second": 1, "bare_cycles_per_second": 1}
    ratios = {"verilator": 0.81, "icarus": 0.79}
    monkeypatch.setattr(
        benchmark, "measure_speed", lambda name: row | {"simulator": name, "ratio": ratios[name]}
    )
    (line,) = benchmark.measure_speeds(tmp_path / "bench.json")
    assert line == "icarus: 0.79 of the speed without cocotb, expected 0.8 or more"


def test_bad_input_is_one_line(refused, tmp_path):
    """A checkpoint that is not there gets one line, and nothing is written."""
    refused(benchmark.main, "--model", tmp_path / "none", "--results", tmp_path, words=["none"])
    assert not any(tmp_path.iterdir())
