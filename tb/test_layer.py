"""The main job: a trained layer on the array, every psum against PyTorch.

Runs inside the simulator. `tb/layer.py` starts it, checks its input, and prints what it found.
"""

import json
import os
import re
import time
from pathlib import Path

import cocotb
import pytest
import torch

from pymodel.files import write_json
from pymodel.reference import integer_convolution
from pymodel.tiling import gather
from tb.adapter import connect
from tb.layer import SETTINGS, LayerJob, report
from tb.scoreboard import BenchError
from tb.simulator import run_bench
from tb.testing import SIMULATORS
from tb.tile_run import Record, compare_recovered, tile_run


@cocotb.test()
async def every_psum_matches_pytorch(dut):
    """Each psum of each tile, each sum, and the next layer's input recovered from them."""
    job = LayerJob(**json.loads(os.environ[SETTINGS]))
    array = connect(Path(job.dut), dut)
    torch.set_num_threads(1)
    layer = job.read()
    run = tile_run(layer, array.rows, array.cols)
    await array.start()
    began = time.monotonic()
    try:
        board, cycles = await run.on(array)
    finally:
        if array.board:
            Record.of(run, array, array.board).save(job.record)
    seconds = time.monotonic() - began
    if len(board.received) < len(board.expected) or not board.expected:
        board.finish()

    record = Record.of(run, array, board)
    psums = record.received.reshape(run.expected.shape)
    sums = torch.from_numpy(gather(psums, run.tiles, len(layer.weight_codes)))
    whole = integer_convolution(
        layer.activation_codes, layer.weight_codes, layer.stride, layer.padding
    )
    error, error_steps = layer.error(sums)
    macs = sums.numel() * layer.weight_codes[0].numel()
    result = {
        "simulator": job.simulator,
        "array": array.TOPLEVEL,
        "rows": array.rows,
        "cols": array.cols,
        "layer": job.layer,
        "images": job.images,
        "psums_checked": psums.size,
        "psum_mismatches": int(record.wrong().sum()),
        "outputs_checked": layer.reference.numel(),
        "max_abs_error": error,
        "max_error_steps": error_steps,
        "cycles": cycles,
        "macs": macs,
        "utilisation": macs / (cycles * array.rows * array.cols),
        "seconds": seconds,
        "nonzero_share": (layer.reference != 0).double().mean((0, 2, 3)).tolist(),
    }
    write_json(job.results, result)

    board.finish()
    if not torch.equal(sums, whole):
        raise BenchError("the sums over the tiles differ from PyTorch's integer convolution")
    compare_recovered(layer, sums)


def test_a_dead_channel_is_reported():
    numbers = ("rows", "cols", "images", "psums_checked", "psum_mismatches", "outputs_checked",
               "max_abs_error", "max_error_steps", "cycles", "macs", "utilisation",
               "seconds")  # fmt: skip
    result = {"simulator": "icarus", "array": "a", "layer": "features.27"}
    result |= dict.fromkeys(numbers, 1)
    assert "DEAD" not in report(result | {"nonzero_share": [0.5, 0.1]})
    assert re.search(r"DEAD CHANNELS +1: zero", report(result | {"nonzero_share": [0.5, 0.0]}))
    assert "per channel  20% to 50%\n" in report(result | {"nonzero_share": [0.5, 0.2, 0.3] * 3})


# Verilator too, whatever SIM says: it starts registers from random values. features.24 is of many
# tiles, with BatchNorm before the next convolution.
JOBS = [("features.27", 3, simulator) for simulator in sorted({*SIMULATORS, "verilator"})]
JOBS += [("features.27", 1, SIMULATORS[0]), ("features.24", 1, SIMULATORS[0])]


@pytest.mark.parametrize(("layer", "images", "simulator"), JOBS)
def test_layer(layer, images, simulator, tmp_path):
    job = LayerJob(simulator, layer, images, results=str(tmp_path / "layer.json"))
    run_bench(
        "tb.test_layer", "systolic_array", simulator=simulator, settings=job.settings(),
        variant=f"{layer}-{images}",
    )  # fmt: skip
    result = json.loads(Path(job.results).read_text())
    tiles = {"features.27": 9, "features.24": 9 * 256 // 8}[layer]
    assert result["psums_checked"] == images * tiles * 16 * 8
    assert result["psum_mismatches"] == 0
    assert result["outputs_checked"] == images * 16 * 8
    assert result["max_abs_error"] < 1e-3
    assert result["max_error_steps"] < 0.01
