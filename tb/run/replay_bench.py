"""Runs tile text files on the array, and compares every psum with PyTorch.

This bench runs inside the simulator; `tb/run/replay.py` starts it.
"""

import json
import os

import cocotb
import torch

from tb.components.adapter import OWN, adapter_class
from tb.components.tile_run import Record
from tb.run.replay import SETTINGS, ReplayJob, raster_run


@cocotb.test()
async def every_psum_matches_pytorch(dut):
    """Each psum of each kernel position is right at each padded pixel."""
    job = ReplayJob(**json.loads(os.environ[SETTINGS]))
    array = adapter_class(OWN)(dut)
    torch.set_num_threads(1)
    run = raster_run(job.read())
    await array.start()
    try:
        board, _ = await run.on(array)
    finally:
        if array.board:
            Record.of(run, array, array.board).save(job.record)
    board.finish()
