"""Runs tiles from a file on the array, and compares every psum with PyTorch's, which lie beside.

This bench runs inside the simulator; `tb/run/replay.py` starts it.
"""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

import cocotb

from pymodel.support.files import RESULTS
from tb.components.array_adapter import OWN, adapter_class
from tb.components.tile_run import Record, TileRun

SETTINGS = "SYSTOLIC_REPLAY_JOB"  # environment variable that carries a ReplayJob into the simulator


@dataclass(frozen=True)
class ReplayJob:
    """A run of tiles: where the tiles and their psums are, and where the results go."""

    tiles: str  # file that `TileRun.save` wrote
    results: str = str(RESULTS / "replay.json")  # beside which the simulation leaves its record

    def settings(self) -> dict[str, str]:
        """Returns the environment variables that carry the job into the simulator."""
        return {SETTINGS: json.dumps(asdict(self))}

    @property
    def record(self) -> Path:
        """Returns the file of the run's record, which lies beside its results."""
        return Path(self.results).with_suffix(".npz")


@cocotb.test()
async def every_psum_matches_pytorch(dut):
    """Each psum of each kernel position is right at each padded pixel."""
    job = ReplayJob(**json.loads(os.environ[SETTINGS]))
    array = adapter_class(OWN)(dut)
    run = TileRun.load(Path(job.tiles))
    await array.start()
    try:
        board, _ = await run.on(array)
    finally:
        if array.board:
            Record.of(run, array, array.board).save(job.record)
    board.finish()
