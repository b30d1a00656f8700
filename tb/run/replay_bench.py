"""Runs tiles from a file on an array, and compares every psum with PyTorch's from the same file.

This bench runs inside the simulator; `tb/run/replay.py` starts it.
"""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

import cocotb

from pymodel.support.errors import InputError
from pymodel.support.files import RESULTS
from tb.components.array_adapter import OWN, adapter_class
from tb.components.tile_run import Record, TileRun

SETTINGS = "SYSTOLIC_REPLAY_JOB"  # environment variable that carries a ReplayJob into the simulator


@dataclass(frozen=True)
class ReplayJob:
    """Says where the tiles and their psums are, where the results go, and which array runs."""

    tiles: str  # file that `TileRun.save` wrote
    # Results file; the simulation leaves its record beside it
    results: str = str(RESULTS / "replay.json")
    dut: str = str(OWN)  # file of the array's adapter

    def settings(self) -> dict[str, str]:
        """Returns the environment variables that carry the job into the simulator."""
        return {SETTINGS: json.dumps(asdict(self))}

    @property
    def record(self) -> Path:
        """Returns the file of the run's record, which lies beside its results."""
        return Path(self.results).with_suffix(".npz")


@cocotb.test()
async def every_psum_matches_pytorch(dut):
    """Each psum of each kernel position is right at each pixel."""
    job = ReplayJob(**json.loads(os.environ[SETTINGS]))
    array = adapter_class(Path(job.dut))(dut)
    run = TileRun.load(Path(job.tiles))
    found, known = (array.depth, array.cols), array.tile_size()
    if found != known:
        raise InputError(
            f"{job.dut}: the array has {found[0]} × {found[1]} PEs, and the adapter's class "
            f"says {known[0]} × {known[1]}, expected the attributes rows and cols in the class"
        )
    await array.start()
    try:
        board, _ = await run.on(array)
    finally:
        if array.board:
            Record.of(run, array, array.board).save(job.record)
    board.finish()
