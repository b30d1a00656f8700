"""Runs layers on the reconfigurable array, mode after mode, and compares all that leaves it.

This bench runs inside the simulator; `tb/course/whole_sequence.py` starts it.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import cocotb
import numpy as np
import torch
from cocotb.utils import get_sim_time

from pymodel.checkpoint import load_checkpoint
from pymodel.hardware.tiling import gather
from pymodel.layer_capture import capture
from pymodel.reference.layer_data import LayerData, layer_data
from pymodel.support.files import ROOT, write_json
from tb.components.array_adapter import ArrayAdapter, connect
from tb.components.tile_run import Record, TileRun
from tb.components.trained_tiles import compare_recovered, tile_run
from tb.sim.errors import BenchError

ADAPTER = ROOT / "tb" / "components" / "reconfigurable.py"
SETTINGS = "SYSTOLIC_COURSE_JOB"  # environment variable that carries a CourseJob into the simulator
BATCH = 64  # images of which the tiles are held at once


@dataclass(frozen=True)
class Phase:
    """A part of the run, in one mode of the array."""

    name: str  # such as "2bit-os"
    halves: bool  # whether activations have half the bits
    output_stationary: bool
    checkpoint: str  # of the network whose squeezed layer runs
    reset: bool = False  # whether the array is reset first
    tiles: str = ""  # file of the tiles that text files hold (TileRun.save); "": there are none


@dataclass(frozen=True)
class CourseJob:
    """A run of several phases: which, on which images, and where the results go."""

    phases: list[Phase]
    images: str  # file of images, uint8 [N, 3, 32, 32], in NumPy's format
    results: str  # JSON that the simulation writes; the records of the text files lie beside it

    def settings(self) -> dict[str, str]:
        """Returns the environment variables that carry the job into the simulator."""
        return {SETTINGS: json.dumps(asdict(self))}

    @classmethod
    def of_this_run(cls) -> "CourseJob":
        """Returns the job that this simulation was started with."""
        given = json.loads(os.environ[SETTINGS])
        phases = [Phase(**phase) for phase in given["phases"]]
        return cls(phases, given["images"], given["results"])

    def record(self, phase: Phase) -> Path:
        """Returns the file of the record of a phase's text files."""
        return Path(self.results).with_name(f"{phase.name}.npz")


@dataclass
class Found:
    """What a phase found on the layer; counts add up, and largest errors are the largest."""

    images: int = 0
    psums_checked: int = 0  # sums in an output-stationary phase
    psum_mismatches: int = 0
    outputs_checked: int = 0
    cycles: int = 0
    macs: int = 0
    max_abs_error: float = 0.0
    max_error_steps: float = 0.0

    @classmethod
    def of(cls, numbers: Sequence[float]) -> "Found":
        """Returns what these numbers say, one for each field."""
        kinds = (type(field.default) for field in fields(cls))
        return cls(*(kind(number) for kind, number in zip(kinds, numbers, strict=True)))

    def add(self, other: "Found") -> None:
        """Adds what was found on more images."""
        for field in fields(self):
            ours, theirs = getattr(self, field.name), getattr(other, field.name)
            largest = field.name.startswith("max_")
            setattr(self, field.name, max(ours, theirs) if largest else ours + theirs)


def read_layer(checkpoint: str, images: torch.Tensor) -> LayerData:
    """Returns the squeezed layer of a checkpoint on images, uint8 [N, 3, 32, 32]."""
    return layer_data(capture(load_checkpoint(checkpoint)[0], images))


async def run_layer(array: ArrayAdapter, layer: LayerData, found: Found) -> None:
    """Runs a layer on the array, and adds what that finds to `found`.

    Raises BenchError if a psum, a sum or a recovered output is wrong.
    """
    run = tile_run(layer, array)
    board, cycles = await run.on(array)
    if len(board.received) < len(board.expected):
        board.finish()
    record = Record.of(run, array, board)
    sums = torch.from_numpy(
        gather(record.received.reshape(run.expected.shape), run.tiles, len(layer.weight_codes))
    )
    error, steps = layer.error(sums)
    macs = sums.numel() * layer.weight_codes[0].numel()
    wrong = int(record.wrong().sum())
    outputs = layer.reference.numel()
    found.add(Found(run.images, record.received.size, wrong, outputs, cycles, macs, error, steps))
    board.finish()
    if not torch.equal(sums, layer.sums()):
        raise BenchError("the sums over the tiles differ from PyTorch's integer convolution")
    compare_recovered(layer, sums)


async def run_files(array: ArrayAdapter, tiles: Path, record: Path) -> None:
    """Runs the tiles of text files on the array, and writes a record of what left it."""
    run = TileRun.load(tiles)
    try:
        board, _ = await run.on(array)
    finally:
        if array.board:
            Record.of(run, array, array.board).save(record)
    board.finish()


@cocotb.test()
async def all_modes_in_one_simulation(dut):
    """In each mode every psum or sum is right, and so is the next layer's recovered input."""
    job = CourseJob.of_this_run()
    torch.set_num_threads(1)
    images = torch.from_numpy(np.load(job.images))
    array = connect(ADAPTER, dut)
    await array.start()
    results = []
    for phase in job.phases:
        if phase.reset:
            await array.reset()
        array.switch(phase.halves, phase.output_stationary)
        found, begins = Found(), int(get_sim_time("ns"))
        alive = False  # for each output channel, whether an output after the ReLU is not zero
        try:
            if phase.tiles:
                await run_files(array, Path(phase.tiles), job.record(phase))
            for batch in images.split(BATCH):
                layer = read_layer(phase.checkpoint, batch)
                alive |= (layer.reference != 0).any(3).any(2).any(0)
                await run_layer(array, layer, found)
        except BenchError as error:
            raise BenchError(f"{phase.name}: {error}") from None
        finally:
            shape = {"rows": array.rows, "cols": array.cols, "shows": array.shows}
            dead = {"dead_channels": torch.nonzero(~torch.as_tensor(alive)).flatten().tolist()}
            row = {"phase": phase.name, "begins_ns": begins, **shape, **asdict(found), **dead}
            results.append(row)
            write_json(job.results, results)
