"""Runs a trained layer on the array, and compares everything that leaves it with PyTorch.

This bench runs inside the simulator. `tb/run/layer.py` checks the input, starts the bench, and
prints the results.
"""

import json
import os
import time
from pathlib import Path

import cocotb
import torch

from pymodel.hardware.tiling import gather
from pymodel.support.files import write_json
from tb.components.array_adapter import connect
from tb.components.dataflow_adapters import CoreAdapter
from tb.components.tile_run import Record
from tb.components.trained_tiles import compare_recovered, core_layer, tile_run
from tb.run.layer import SETTINGS, LayerJob
from tb.sim.errors import BenchError


@cocotb.test()
async def every_psum_matches_pytorch(dut):
    """Every psum of every tile, every sum, and the next layer's recovered input are right."""
    job = LayerJob(**json.loads(os.environ[SETTINGS]))
    array = connect(Path(job.dut), dut)
    torch.set_num_threads(1)
    layer = job.read().for_array(array.act_signed)
    run = tile_run(layer, array)
    await array.start()
    whole = isinstance(array, CoreAdapter)
    playing = array.play_layer(core_layer(layer, array)) if whole else None
    began = time.monotonic()
    try:
        board, cycles = await run.on(array, playing)
    finally:
        if array.board:
            Record.of(run, array, array.board).save(job.record)
    seconds = time.monotonic() - began
    if len(board.received) < len(board.expected) or not board.expected:
        board.finish()

    record = Record.of(run, array, board)
    psums = record.received.reshape(run.expected.shape)
    sums = torch.from_numpy(gather(psums, run.tiles, len(layer.weight_codes)))
    # Of codes nothing is recovered: they differ from the next layer's by the core's own rounding.
    recovers = run.shows != "code"
    error, error_steps = layer.error(sums) if recovers else (None, None)
    macs = sums.numel() * layer.weight_codes[0].numel()
    result = {
        "simulator": job.simulator,
        "array": array.TOPLEVEL,
        "rows": array.rows,
        "cols": array.cols,
        "act_width": array.act_width,
        "act_signed": array.act_signed,
        "weight_width": array.weight_width,
        "variables": array.variables(),
        "layer": job.layer,
        "images": job.images,
        "pixels": layer.reference[:, 0].numel(),
        "shows": run.shows,
        "pixels_of_layer": (job.read_whole() if job.pixels else layer).reference[:, 0].numel(),
        "psums_checked": psums.size,
        "psum_mismatches": int(record.wrong().sum()),
        "outputs_checked": layer.reference.numel(),
        "max_abs_error": error,
        "max_error_steps": error_steps,
        "max_error_share": layer.share(sums) if recovers else None,
        "cycles": cycles,
        "macs": macs,
        "utilisation": macs / (cycles * array.rows * array.cols),
        "seconds": seconds,
        "nonzero_share": (layer.reference != 0).double().mean((0, 2, 3)).tolist(),
    }
    write_json(job.results, result)

    board.finish()
    if run.shows in ("psum", "sum") and not torch.equal(sums, layer.sums()):
        raise BenchError("the sums over the tiles differ from PyTorch's integer convolution")
    if recovers:
        compare_recovered(layer, sums)
