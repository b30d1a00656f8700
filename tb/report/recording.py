"""Records what every PE of our array holds in every cycle of one image of a layer."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

import cocotb
import torch
from cocotb.handle import HierarchyObject, ValueObjectBase
from cocotb.triggers import RisingEdge

from pymodel.hardware.tiling import Tile, Tiles
from pymodel.support.files import write_json
from tb.components.array_adapter import ArrayAdapter
from tb.components.packing import unpack
from tb.components.systolic_array_adapter import SystolicArrayAdapter
from tb.components.tile_run import TileRun
from tb.components.trained_tiles import tile_run
from tb.run.layer import SETTINGS, LayerJob
from tb.sim.run_bench import run_bench

IMAGE = "SYSTOLIC_IMAGE"  # environment variable: number of the recorded image in the job
MOST_CYCLES = 200  # largest number of recorded cycles in which activations enter

# Signals of rtl/pe.v: inputs from the west, the weight in use, and registers
PE_SIGNALS = ("act_i", "weight", "shadow", "weight_hops_i", "swap_i", "psum_o")
SIGNED = ("weight", "shadow", "psum_o")
CONTROL = ("weight_valid_i", "weight_col_i", "act_valid_i", "act_swap_i", "psum_valid_o")
BUSES = ("act_i", "psum_o")


@dataclass(frozen=True)
class Recording:
    """The record of T cycles of an array of ROWS × COLS; None stands for a value with an X.

    All values are those at the end of their cycle, just before the clock edge. Cycle 0 is the first
    one of the stimulus.
    """

    rows: int
    cols: int
    psum_width: int  # bits
    image: int  # the image's number in the run
    of_tiles: int  # number of tiles of the whole layer; `tiles` may have fewer
    pixels: int  # number of recorded activation vectors of a tile, one for each output pixel
    of_pixels: int  # number of pixels of the whole output map
    width: int  # of the output map, in pixels
    tiles: list[Tile]
    pe: dict[str, list[list[int | None]]]  # each of PE_SIGNALS: [T][ROWS · COLS], row by row
    control: dict[str, list[int]]  # each of CONTROL: [T]
    bus: dict[str, list[list[int | None]]]  # each of BUSES: [T][ROWS or COLS]

    def __len__(self) -> int:
        return len(self.control["act_valid_i"])


class Recorder:
    """Samples ports of `systolic_array` and signals of all its PEs at every rising clock edge."""

    def __init__(self, array: SystolicArrayAdapter):
        self.array = array
        self.pe: dict[str, list] = {name: [] for name in PE_SIGNALS}
        self.control: dict[str, list] = {name: [] for name in CONTROL}
        self.bus: dict[str, list] = {name: [] for name in BUSES}
        self.handles = {
            name: [
                getattr(processing_element(array.dut, row, col), name)
                for row in range(array.rows)
                for col in range(array.cols)
            ]
            for name in PE_SIGNALS
        }

    async def watch(self) -> None:
        """Samples every cycle until the task is cancelled."""
        array, dut = self.array, self.array.dut
        edge = RisingEdge(array.clock)
        while True:
            await edge
            for name, handles in self.handles.items():
                signed = array.act_signed if name == "act_i" else name in SIGNED
                self.pe[name].append([number(handle, signed) for handle in handles])
            for name, values in self.control.items():
                values.append(int(getattr(dut, name).value))
            self.bus["act_i"].append(
                vector(dut.act_i, array.rows, array.act_width, array.act_signed)
            )
            self.bus["psum_o"].append(vector(dut.psum_o, array.cols, array.psum_width, True))


def processing_element(dut: HierarchyObject, row: int, col: int) -> HierarchyObject:
    """Returns one PE of `systolic_array`."""
    return dut.g_row[row].g_col[col].pe


def number(handle: ValueObjectBase, signed: bool) -> int | None:
    """Returns the value of a signal, or None if it holds an X."""
    try:
        value = int(handle.value)
    except ValueError:
        return None
    return value - (value >> len(handle) - 1 << len(handle)) if signed else value


def vector(handle: ValueObjectBase, lanes: int, width: int, signed: bool) -> list[int | None]:
    """Returns the lanes of a bus, lane 0 in the lowest bits; all are None if one holds an X."""
    value = number(handle, False)
    if value is None:
        return [None] * lanes
    words = unpack([value], lanes, width)[0]
    return (words if signed else words % 2**width).tolist()


def part(run: TileRun, image: int, cols: int) -> TileRun:
    """Returns the run of one image; of a large image it has only the first tiles or pixels."""
    pixels = min(run.expected.shape[2], MOST_CYCLES)
    count = max(1, MOST_CYCLES // max(pixels, cols))
    chosen = (slice(image, image + 1), slice(count), slice(pixels))
    tiles = run.tiles
    return TileRun(
        Tiles(
            tiles.tiles[:count], tiles.weights[:count], tiles.activations[chosen], tiles.output_size
        ),
        run.expected[chosen],
    )


@cocotb.test()
async def record_every_pe(dut):
    """Records an image; the psums of this run must be PyTorch's, too."""
    job = LayerJob(**json.loads(os.environ[SETTINGS]))
    image = int(os.environ[IMAGE])
    torch.set_num_threads(1)
    array = SystolicArrayAdapter(dut)
    layer = job.read().for_array(array.act_signed)
    whole = tile_run(layer, array)
    run = part(whole, image, array.cols)
    await array.start()
    recorder = Recorder(array)
    recording = cocotb.start_soon(recorder.watch())
    board, cycles = await run.on(array)
    recording.cancel()
    board.finish()
    valid = recorder.control["psum_valid_o"]
    assert [cycle for cycle, high in enumerate(valid) if high] == board.cycles, "not in step"

    pe, control, bus = (
        {name: values[: cycles + 1] for name, values in signals.items()}
        for signals in (recorder.pe, recorder.control, recorder.bus)
    )
    write_json(
        job.results,
        vars(
            Recording(
                array.rows,
                array.cols,
                array.psum_width,
                image,
                whole.expected.shape[1],
                run.expected.shape[2],
                whole.expected.shape[2],
                run.tiles.output_size[1],
                run.tiles.tiles,
                pe,
                control,
                bus,
            )
        ),
    )


def record(job: LayerJob, image: int, dut: type[ArrayAdapter]) -> Recording:
    """Simulates `image` of the job on our array, `dut`; returns the recording.

    Raises BenchError if a psum is wrong.
    """
    run_bench(
        "tb.report.recording",
        **dut.design(),
        simulator=job.simulator,
        settings=job.settings() | {IMAGE: str(image)},
        waves=False,
        variant="recording",
    )
    stored = json.loads(Path(job.results).read_text())
    return Recording(**stored | {"tiles": [Tile(*tile) for tile in stored["tiles"]]})
