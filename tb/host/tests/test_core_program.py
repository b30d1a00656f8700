"""The fast host and the observing bench see the same psums, and wrong results are refused."""

import json
import os
from pathlib import Path

import cocotb
import numpy as np
import pytest
from cocotb.triggers import ReadOnly, RisingEdge

from pymodel.convolution import Convolution
from pymodel.hardware.core import Core, Layer
from pymodel.hardware.core_jobs import lower
from pymodel.hardware.registers import Mode
from tb.components.axi_driver import check_layer, started
from tb.components.random_layers import random_data, reference
from tb.host.compile_host import prepare_host
from tb.host.core_program import (
    CORE,
    HostJob,
    jobs_of,
    read_packets,
    read_results,
    result_bytes,
    write_jobs,
    write_program,
)
from tb.host.simulate import PROGRAM, simulate, write_layers
from tb.host.speed import play
from tb.modules.module_table import SIMULATORS
from tb.sim.errors import BenchError
from tb.sim.run_bench import run_bench
from tb.sim.sources import faulty_rtl

DATA = "SYSTOLIC_HOST_DATA"  # environment: folder with a layer's data, into which psums go
LAYERS = (
    Layer(4, 4, 8, 8, images=3),
    Layer(5, 3, 20, 12, kernel=3, stride=2, padding=2, images=2),
    Layer(2, 2, 16, 24, images=5, mode=Mode.CODES),
)


@cocotb.test()
async def observed_psums(dut):
    """Writes down the psums that leave the array in every cycle while a layer runs."""
    folder = Path(os.environ[DATA])
    arrays = np.load(folder / "data.npz", allow_pickle=False)
    settings = json.loads((folder / "layer.json").read_text())
    layer = Layer(**settings | {"mode": Mode(settings["mode"])})
    bench = await started(dut)
    psums = []
    watching = cocotb.start_soon(watch(dut, psums))
    await check_layer(bench, layer, (arrays["codes"], arrays["weights"], arrays.get("table")))
    watching.cancel()
    np.save(folder / "psums.npy", np.frombuffer(b"".join(psums), np.uint8).reshape(-1, 20))


async def watch(dut, psums: list[bytes]) -> None:
    """Adds the array's psums to the list for ever, in the format that core_host.v writes."""
    while True:
        await ReadOnly()
        if int(dut.psum_valid.value):
            psums.append(int(dut.psum.value).to_bytes(20, "little"))
        await RisingEdge(dut.clk_i)


def saved(folder: Path, layer: Layer, seed: int):
    """Returns random data of a layer, and saves the data in `folder`."""
    codes, weights, table = random_data(layer, np.random.default_rng(seed), CORE)
    tables = {} if table is None else {"table": table}
    np.savez(folder / "data.npz", codes=codes, weights=weights, **tables)
    (folder / "layer.json").write_text(json.dumps(vars(layer)))
    return codes, weights, table


@pytest.mark.verify
@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_both_benches_see_the_same_psums(layer, tmp_path):
    """The fully observing bench and the fast one agree psum for psum, in the same order."""
    codes, weights, table = saved(tmp_path, layer, 1)
    run_bench(
        "tb.host.tests.test_core_program",
        "core",
        simulator=SIMULATORS[0],
        settings={DATA: str(tmp_path)},
        variant=str(LAYERS.index(layer)),
    )
    observed = np.load(tmp_path / "psums.npy")

    settings = {name: getattr(layer, name) for name in ("out_channels", "kernel", "stride")}
    settings |= {"padding": layer.padding, "mode": int(layer.mode), "pools": 0}
    write_layers(tmp_path, [settings], codes, [weights], [table])
    simulation = prepare_host(SIMULATORS[0], PROGRAM)
    simulation.run(tmp_path, print, "+psums", COCOTB_RESULTS_FILE=str(tmp_path / "results.xml"))
    fast = np.fromfile(tmp_path / "psums.bin", np.uint8).reshape(-1, 20)
    assert len(observed) > 0
    assert np.array_equal(observed, fast)
    assert np.array_equal(np.load(tmp_path / "0.npy"), reference(layer, codes, weights, table))


@pytest.mark.verify
@pytest.mark.parametrize("simulator", ["icarus", "verilator"])
def test_layers_one_after_another(simulator):
    """Codes are handed on and pooled between layers; codes and sums are those of the reference."""
    first = Layer(8, 8, 8, 16, images=2, mode=Mode.CODES)
    second = Layer(4, 4, 16, 8, kernel=1, padding=0, images=2)
    rng = np.random.default_rng(2)
    codes, weights, table = random_data(first, rng, CORE)
    other = random_data(second, rng, CORE)[1]
    settings = [
        {"out_channels": 16, "kernel": 3, "stride": 1, "padding": 1, "mode": 2, "pools": 1},
        {"out_channels": 8, "kernel": 1, "stride": 1, "padding": 0, "mode": 0, "pools": 0},
    ]
    results, counts = simulate(simulator, settings, codes, [weights, other], [table, None])
    expected = reference(first, codes, weights, table)
    assert np.array_equal(results[0], expected)
    pooled = expected.reshape(2, 16, 4, 2, 4, 2).max((3, 5))
    assert np.array_equal(results[1], reference(second, pooled, other))
    assert [count["macs"] for count in counts] == [first.macs(), second.macs()]


@pytest.fixture(scope="module")
def good_run(tmp_path_factory):
    """Returns a folder with the results of two jobs, and the jobs."""
    folder = tmp_path_factory.mktemp("host")
    layer = Layer(4, 4, 8, 8, kernel=1, padding=0, images=100)
    jobs = jobs_of(layer)
    assert len(jobs) == 2
    codes, weights, _ = random_data(layer, np.random.default_rng(3), CORE)
    write_program(folder, jobs, codes, weights)
    play(prepare_host("icarus"), folder)
    got, status = read_results(folder, jobs)
    assert np.array_equal(got, reference(layer, codes, weights))
    assert status.jobs == 2
    return folder, jobs


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda beats: beats[:-1], r"1599 .* in 1 packets .*: 0 .* job 2 \(images 64 to 99, out"),
        (lambda beats: np.concatenate((beats, beats[-1:])), "1601 .* in 3 packets .* after the la"),
        (lambda beats: np.concatenate((beats[:5], beats[4:])), r"1025 .* of job 1 \(images 0 to"),
        (lambda beats: np.delete(beats, 1500, 0), r"575 came in the packet of job 2 \(images 64"),
        (lambda beats: beats[:0], "0 results in 0 packets"),
        (lambda beats: np.roll(beats, 1, axis=0), "1600 results in 2 packets"),
    ],
    ids=["last dropped", "after the end", "duplicated", "dropped", "nothing", "out of its packet"],
)
def test_other_beats_fail(good_run, damage, words, tmp_path):
    """A result that is lost, sent twice, or in the wrong packet is refused, and its job named."""
    folder, jobs = good_run
    beats = np.fromfile(folder / "results.bin", np.uint8).reshape(-1, result_bytes(CORE))
    damage(beats).tofile(tmp_path / "results.bin")
    (tmp_path / "status.txt").write_text((folder / "status.txt").read_text())
    with pytest.raises(BenchError, match=words):
        read_results(tmp_path, jobs)


def test_a_refused_job_fails(tmp_path):
    """The message names the core's error code."""
    layer = Layer(4, 4, 8, 8)
    jobs = jobs_of(layer)
    codes, weights, _ = random_data(layer, np.random.default_rng(4), CORE)
    write_program(tmp_path, jobs, codes[:, :, :3], weights)  # a packet that is too short
    play(prepare_host("icarus"), tmp_path)
    with pytest.raises(BenchError, match="PACKET_LENGTH"):
        read_results(tmp_path, jobs)


def test_a_hang_fails(tmp_path):
    """Without weights no results come: the host gives up, and the message names the job."""
    layer = Layer(4, 4, 8, 8)
    jobs = jobs_of(layer)
    codes, weights, _ = random_data(layer, np.random.default_rng(5), CORE)
    write_program(tmp_path, jobs, codes, weights)
    (tmp_path / "weight.bin").write_bytes(b"")
    prepare_host("icarus").run(tmp_path, print, "+patience=500")
    with pytest.raises(BenchError, match="hangs in job 1 of 1"):
        read_results(tmp_path, jobs)


LATE = """
  wire      fifo_valid;
  reg [4:0] since_last = 0;
  always @(posedge clk_i) begin
    if (fifo_valid && m_axis_tlast) since_last <= 1;
    else if (since_last != 0) since_last <= since_last + 1;
  end
  assign m_axis_tvalid = fifo_valid || since_last == 20;
  localparam FIFO_DEPTH ="""


@pytest.mark.parametrize(
    ("source", "faults", "words"),
    [
        (
            "accumulator.v",
            [("sum_o       <= sum;", "sum_o <= sum_valid_o ? sum : {COLS*SUM_WIDTH{1'bx}};")],
            r"results have X or Z bits, the first is image 0, pixel \(0, 0\), channel 0",
        ),
        (
            "core.v",
            [
                (".valid_o     (m_axis_tvalid)", ".valid_o(fifo_valid)"),
                ("  localparam FIFO_DEPTH =", LATE),
            ],
            "17 results|1 results have X",  # depends on what the FIFO holds then
        ),
    ],
    ids=["X", "a beat after the end"],
)
def test_a_faulty_core_fails(source, faults, words, tmp_path):
    """A fault of the core that only the host can see is reported."""
    rtl = faulty_rtl(tmp_path, source, *faults)
    layer = Layer(4, 4, 8, 8)
    jobs = jobs_of(layer)
    codes, weights, _ = random_data(layer, np.random.default_rng(6), CORE)
    write_program(tmp_path, jobs, codes, weights)
    play(prepare_host("icarus", rtl=rtl), tmp_path)
    with pytest.raises(BenchError, match=words):
        read_results(tmp_path, jobs)


def test_too_much_for_the_host(tmp_path):
    """More beats than the host's memories hold are refused, and nothing is written."""
    layer = Layer(32, 32, 64, 8, kernel=1, padding=0, images=33)
    codes = np.zeros((33, 64, 32, 32), np.int8)
    with pytest.raises(ValueError, match="270336 act beats, the host holds 262144"):
        write_program(tmp_path, jobs_of(layer), codes, np.zeros((8, 64, 1, 1), np.int8))
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("core", [Core(act_width=1, weight_width=2), Core(sum_width=32)], ids=str)
def test_jobs_on_other_builds(core, tmp_path):
    """Packets and results have the bits of the build; jobs may be those of a lowered layer."""
    rng = np.random.default_rng(8)
    codes = rng.integers(0, core.act_range[1] + 1, (2, 8, 5, 4))
    low, high = core.weight_range
    weights = rng.integers(low, high + 1, (8, 8, 3, 1))
    lowered = lower(codes, weights, Convolution((2, 1), 1), core)
    jobs = [HostJob(job.layer, job.codes, job.weights) for job in lowered.jobs]
    write_jobs(tmp_path, jobs, core)
    play(prepare_host("icarus", core=core), tmp_path)
    packets, _ = read_packets(tmp_path, lowered.jobs, core)
    padded = np.pad(codes, [(0, 0), (0, 0), (1, 1), (1, 1)])
    expected = sum(
        np.einsum("nixy,oi->noxy", padded[:, :, k : k + 5 : 2], weights[:, :, k, 0])
        for k in range(3)
    )
    assert np.array_equal(lowered.together(packets), expected)


def test_the_host_is_made_for_the_default_core():
    """core_host.v connects ports of 8 rows and columns, and of sums of 24 bits."""
    assert (CORE.rows, CORE.cols, CORE.sum_width) == (8, 8, 24)
