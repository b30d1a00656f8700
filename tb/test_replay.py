"""Tile text files on the array: a folder's verdict, and the way there and back.

The cocotb test runs inside the simulator; `tb/replay.py` starts it.
"""

import json
import os

import cocotb
import numpy as np
import torch

from tb.adapter import OWN, adapter_class
from tb.replay import SETTINGS, ReplayJob, raster_run
from tb.tile_run import Record


@cocotb.test()
async def every_psum_matches_pytorch(dut):
    """Each psum of each kernel position at each padded pixel."""
    job = ReplayJob(**json.loads(os.environ[SETTINGS]))
    array = adapter_class(OWN)(dut)
    torch.set_num_threads(1)
    run = raster_run(job.read())
    await array.start()
    board, _ = await run.on(array)
    if len(board.received) == len(board.expected):
        Record(run, array.vectors(board), np.array(board.cycles)).save(job.record)
    board.finish()
