"""Each corruption fails the run, and the message names its place.

The runs are those of the main job (`make`) and of the core's bench, on the trained layer.
COCOTB_RANDOM_SEED draws the place of each corruption (tb/run/tests/corrupt.py). Without a
corruption the same runs pass.
"""

import functools
import json
import os
import re
from pathlib import Path
from xml.etree import ElementTree

import cocotb
import numpy as np
import pytest
import torch
from cocotb import Param

from pymodel.checkpoint import load_checkpoint
from pymodel.hardware.core import Core, Layer, result_vectors, results
from pymodel.hardware.output_thresholds import thresholds
from pymodel.hardware.registers import Mode
from pymodel.images import load_images
from pymodel.layer_capture import DEFAULT_LAYER, capture
from pymodel.lsq_quantiser import quantised_layers
from pymodel.reference.batchnorm_folding import fold
from pymodel.reference.layer_data import layer_data
from tb import test_core_layers
from tb.components.axi_driver import started
from tb.components.random_layers import reference
from tb.components.scoreboard import compare, first_difference
from tb.host.compile_host import prepare_host
from tb.host.core_program import CORE, jobs_of, read_results, result_bytes, write_program
from tb.host.speed import play
from tb.modules.module_table import CORES
from tb.modules.pytest_runs import first_few
from tb.run import layer
from tb.run.layer import LayerJob
from tb.run.layer_bench import every_psum_matches_pytorch
from tb.run.tests.corrupt import (
    ARRAY_FAULTS,
    CORE_FAULTS,
    FAULT,
    NONE,
    WORDS,
    before_another,
    corrupt_core,
    corrupt_input,
    corrupt_layer,
    generator,
)
from tb.sim.errors import BenchError
from tb.sim.run_bench import RESULTS_XML, run_bench
from tb.sim.simulators import random_seed
from tb.sim.sources import check_sources, faulty_rtl

IMAGES = 2
# Memories that are just large enough for these images, so that they are quickly cleared
SMALL = Core(act_words=32, weight_words=72, threshold_tiles=2, pixels=32)
# The file of an adapter must define one adapter, so this one defines a subclass.
ADAPTER = (
    "from tb.run.tests.corrupt import CorruptArray\n\nclass Corrupted(CorruptArray):\n    pass\n"
)


@functools.cache
def trained():
    """Returns the network, its images, the squeezed layer's capture, and its thresholds."""
    torch.set_num_threads(1)
    model, _ = load_checkpoint()
    images = load_images().first(IMAGES).images
    seen = capture(model, images, DEFAULT_LAYER)
    following = quantised_layers(model)[seen.next_name].activation_quantiser.scale.item()
    return model, images, seen, thresholds(*fold(seen.layer, seen.between), following)


@cocotb.test()
@cocotb.parametrize(fault=[Param(fault, name=fault) for fault in ARRAY_FAULTS])
async def main_job(dut, fault):
    """The main job runs with a fault."""
    os.environ[FAULT] = fault
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LayerJob, "read", lambda job: corrupt_layer(layer_data(trained()[2]), fault))
        await every_psum_matches_pytorch.func(dut)


@cocotb.test()
@cocotb.parametrize(fault=[Param(fault, name=fault) for fault in CORE_FAULTS])
async def core_layer(dut, fault):
    """A whole layer runs on the core with a fault, in sums or in codes."""
    os.environ[FAULT] = fault
    model, images, seen, table = trained()
    bench = await started(dut)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(test_core_layers, "capture", lambda *_: seen)
        corrupt_core(bench, layer_data(seen), table, fault, patch)
        await test_core_layers.whole(bench, model, images, DEFAULT_LAYER)


@pytest.fixture
def adapter(tmp_path, monkeypatch):
    """Returns the file of an adapter that corrupts its array as the environment says."""
    monkeypatch.setenv(WORDS, str(tmp_path))
    path = tmp_path / "corrupted.py"
    path.write_text(ADAPTER)
    return path


def check(results: Path, folder: Path, faults: tuple[str, ...]) -> None:
    """Checks that each fault failed with the words in its file in `folder`, and NONE passed."""
    cases = ElementTree.parse(results).iter("testcase")
    said = {}
    for case in cases:
        failure = case.find("failure")
        if case.find("skipped") is None:
            fault = case.get("name").partition("fault=")[2]
            said[fault] = None if failure is None else failure.get("message")
    assert sorted(said) == sorted(faults)
    assert said.pop(NONE) is None
    for fault, message in said.items():
        words = json.loads((folder / f"{fault}.json").read_text())
        print(f"{fault}: {message}")
        assert message is not None, f"{fault} is not found, expected {words}"
        assert message.startswith(words[0]), (fault, message, words)
        for word in words:
            assert word in message, (fault, message, words)


@pytest.mark.parametrize(
    ("test", "toplevel", "parameters", "faults"),
    [
        ("main_job", "systolic_array", {}, ARRAY_FAULTS),
        pytest.param(
            *("core_layer", "core", SMALL.parameters(), CORE_FAULTS), marks=pytest.mark.verify
        ),
    ],
    ids=["main_job", "core_layer"],
)
def test_each_corruption_fails_the_run(test, toplevel, parameters, faults, adapter, tmp_path):
    """Each corrupted run fails and names the place, or says that nothing was compared."""
    job = LayerJob("icarus", images=IMAGES, results=str(tmp_path / "r.json"), dut=str(adapter))
    print(f"COCOTB_RANDOM_SEED={random_seed()}")
    with pytest.raises(BenchError):
        run_bench(
            "tb.run.tests.test_must_fail",
            toplevel,
            simulator="icarus",
            parameters=parameters,
            waves=False,
            variant=test,
            folder=tmp_path,
            settings=job.settings() | {WORDS: str(tmp_path), "COCOTB_TEST_FILTER": test},
        )
    check(tmp_path / RESULTS_XML, tmp_path, faults)


@pytest.mark.verify
def test_make_exits_with_1_and_says_where(adapter, command, tmp_path, monkeypatch):
    """The whole command fails if a weight is wrong on its way into the array."""
    monkeypatch.setenv(FAULT, "weight")
    results = tmp_path / "layer.json"
    arguments = ("--dut", adapter, "--images", IMAGES, "--results", results, "--quiet")
    code, out, _ = command(layer.main, *arguments)
    assert code == 1
    first, second = json.loads((tmp_path / "weight.json").read_text())
    assert out.startswith(f"FAILED: {first}")
    assert second in out
    assert json.loads(results.read_text())["psum_mismatches"] > 0


@pytest.mark.parametrize(
    "fault", first_few([NONE, "threshold", "out_of_order", "weight", "activation"], 3)
)
def test_the_fast_host_fails_too(fault, tmp_path):
    """The host of the sweeps fails if its program, or two results in its file, are wrong."""
    rng = generator(fault, int(random_seed()))
    _, _, seen, table = trained()
    data = layer_data(seen)
    codes, weights = data.activation_codes.numpy(), data.weight_codes.numpy()
    mode = Mode.CODES if fault == "threshold" else Mode.SUMS
    job = Layer(*codes.shape[2:], *weights.shape[1::-1], images=IMAGES, mode=mode)
    right = reference(job, codes, weights, table)
    given = {"activation": codes, "weight": weights, "threshold": table}
    place = None
    if fault in given:
        given[fault], before, after = corrupt_input(codes, weights, table, fault, rng)
        assert np.array_equal(before, right)
        place = first_difference(right, after, CORE)
    write_program(tmp_path, jobs_of(job), *given.values())
    play(prepare_host("icarus"), tmp_path)
    if fault == "out_of_order":
        vectors = result_vectors(right, CORE)
        at = before_another(rng, vectors[:-1])  # the last one is marked
        path = tmp_path / "results.bin"
        beats = np.fromfile(path, np.uint8).reshape(-1, result_bytes(CORE))
        beats[[at, at + 1]] = beats[[at + 1, at]]
        beats.tofile(path)
        vectors[[at, at + 1]] = vectors[[at + 1, at]]
        place = first_difference(right, results(vectors, job), CORE)
    got, _ = read_results(tmp_path, jobs_of(job))
    if place is None:
        compare(right, got, job, CORE)
        return
    with pytest.raises(BenchError, match=re.escape(f"mismatch: {place.describe(CORE)} of ")):
        compare(right, got, job, CORE)


@pytest.mark.verify
def test_a_core_that_hangs_is_said(tmp_path):
    """If the core never takes a stream, the bench gives up by itself."""
    fault = ("tready_o = !full[fill_bank];", "tready_o = 1'b0;")
    rtl = faulty_rtl(tmp_path, "bank_control.v", fault)
    with pytest.raises(BenchError, match="the core hangs"):
        run_bench(
            "tb.test_core",
            "core",
            simulator="icarus",
            sources=check_sources(rtl),
            parameters=CORES["4x4"].parameters(),
            settings={"COCOTB_TEST_FILTER": "shapes_that_networks_have"},
        )
