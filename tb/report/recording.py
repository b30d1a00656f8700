"""Records what an array shows in every cycle of one image of a layer: its signals, and its PEs."""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import cocotb
import torch
from cocotb.handle import ArrayObject, HierarchyObject, ValueObjectBase
from cocotb.triggers import RisingEdge

from pymodel.hardware.tiling import Tiles
from pymodel.support.errors import InputError
from pymodel.support.files import write_json
from tb.components.array_adapter import ArrayAdapter, connect
from tb.components.dataflow_adapters import CoreAdapter
from tb.components.tile_run import TileRun
from tb.components.trained_tiles import core_layer, tile_run
from tb.run.layer import SETTINGS, LayerJob
from tb.sim.run_bench import run_bench
from tb.sim.waves import signals_of

IMAGE = "SYSTOLIC_IMAGE"  # environment variable: number of the recorded image in the job
MOST_ACTIVATIONS = 200  # largest number of recorded activation vectors
MOST_CYCLES = 1000  # largest number of recorded cycles
MOST_ELEMENTS = 64  # largest number of elements of an array of signals that is recorded

# Names of a PE's signals, as an adapter's `pe` gives them, and whether they have a sign; None: as
# the activations have
PE_SIGNALS = {
    "act": None,
    "weight": True,
    "shadow": True,
    "psum": True,
    "swap": False,
    "hops": False,
}


@dataclass(frozen=True)
class Leaving:
    """A psum vector that leaves the array."""

    cycle: int
    tile: int  # number of its tile
    place: str  # its tile and pixel, in words
    values: list[int]  # [COLS]


@dataclass(frozen=True)
class Recording:
    """The record of T cycles of an array of ROWS × COLS.

    All values are those at the end of their cycle, just before the clock edge. Cycle 0 is the first
    one of the stimulus.
    """

    rows: int
    cols: int
    act_width: int  # bits
    act_signed: bool
    psum_width: int  # bits
    shows: str  # what leaves the array, in one word
    image: int  # the image's number in the run
    of_cycles: int  # number of cycles of the image; the recording may have fewer
    of_tiles: int  # number of tiles of the whole layer; `tiles` may have fewer
    pixels: int  # number of recorded activation vectors of a tile, one for each output pixel
    of_pixels: int  # number of pixels of the whole output map
    width: int  # of the output map, in pixels
    tiles: list[str]  # the recorded tiles' places in the layer, in words
    # Those of PE_SIGNALS that the adapter names: [T][ROWS · COLS], row by row; None: unknown
    pe: dict[str, list[list[int | None]]]
    signals: dict[str, list[str]]  # of the top module: [T], in binary, with X and Z
    left: list[Leaving]  # in the order in which the psum vectors left

    def __len__(self) -> int:
        return len(next(iter(self.signals.values())))

    def flags(self, name: str) -> list[int]:
        """Returns the values of a signal that is never unknown, [T]."""
        return [int(text, 2) for text in self.signals[name]]

    def lanes(self, name: str, width: int, signed: bool) -> list[list[int | None]]:
        """Returns the lanes of a bus, [T][lanes] of `width` bits, lane 0 in the lowest bits.

        All lanes are None in a cycle in which a bit of the bus is unknown.
        """
        texts = self.signals[name]
        count = len(texts[0]) // width
        ends = [len(texts[0]) - lane * width for lane in range(count)]
        return [
            [number(text[end - width : end], signed) for end in ends]
            if set(text) <= {"0", "1"}
            else [None] * count
            for text in texts
        ]


class Recorder:
    """Samples the signals of the top module, and those of the PEs, at every rising clock edge."""

    def __init__(self, array: ArrayAdapter):
        self.array = array
        self.handles = dict(_top_signals(array.dut))
        self.signals: dict[str, list[str]] = {name: [] for name in self.handles}
        self.pe_handles = pe_signals(array)
        self.pe: dict[str, list] = {name: [] for name in self.pe_handles}

    async def watch(self) -> None:
        """Samples MOST_CYCLES cycles, or less if the task is cancelled before."""
        edge = RisingEdge(self.array.clock)
        for _ in range(MOST_CYCLES):
            await edge
            for name, handle in self.handles.items():
                self.signals[name].append(str(handle.value))
            for name, handles in self.pe_handles.items():
                signed = PE_SIGNALS[name]
                signed = self.array.act_signed if signed is None else signed
                self.pe[name].append([number(str(handle.value), signed) for handle in handles])


def _top_signals(dut: HierarchyObject) -> Iterator[tuple[str, ValueObjectBase]]:
    """Yields name and handle of each signal of the top module, and of each element of an array."""
    for handle in signals_of(dut):
        yield handle._name, handle
    for array in dut:
        if isinstance(array, ArrayObject) and len(array) <= MOST_ELEMENTS:
            for element in array:
                if not isinstance(element, ArrayObject):
                    yield element._name, element


def pe_signals(array: ArrayAdapter) -> Mapping[str, list[ValueObjectBase]]:
    """Returns the signals of all PEs, row by row, by name; raises InputError for other names."""
    cells = [array.pe(row, col) for row in range(array.rows) for col in range(array.cols)]
    for found in cells:
        if found.keys() != cells[0].keys() or not found.keys() <= PE_SIGNALS.keys():
            raise InputError(
                f"{type(array).__name__}.pe() names {', '.join(found)}, expected for all PEs the "
                f"same of {', '.join(PE_SIGNALS)}"
            )
    return {name: [cell[name] for cell in cells] for name in cells[0]}


def number(text: str, signed: bool) -> int | None:
    """Returns the value of a signal, given in binary, or None if a bit is unknown."""
    if not set(text) <= {"0", "1"}:
        return None
    value = int(text, 2)
    return value - (value >> len(text) - 1 << len(text)) if signed else value


def part(run: TileRun, cols: int) -> TileRun:
    """Returns the run of an image; of a large image it has only the first tiles or pixels."""
    pixels = min(run.expected.shape[2], MOST_ACTIVATIONS)
    count = max(1, MOST_ACTIVATIONS // max(pixels, cols))
    chosen = (slice(1), slice(count), slice(pixels))
    tiles = run.tiles
    return TileRun(
        Tiles(
            tiles.tiles[:count], tiles.weights[:count], tiles.activations[chosen], tiles.output_size
        ),
        run.expected[chosen],
        run.shows,
    )


@cocotb.test()
async def record_every_cycle(dut):
    """Records an image; the psums of this run must be PyTorch's, too."""
    job = LayerJob(**json.loads(os.environ[SETTINGS]))
    image = int(os.environ[IMAGE])
    torch.set_num_threads(1)
    array = connect(Path(job.dut), dut)
    layer = job.read().for_array(array.act_signed).only(image)
    run = whole = tile_run(layer, array)
    playing = None
    if isinstance(array, CoreAdapter):
        playing = array.play_layer(core_layer(layer, array))
    else:
        run = part(whole, array.cols)
    await array.start()
    recorder = Recorder(array)
    recording = cocotb.start_soon(recorder.watch())
    board, cycles = await run.on(array, playing)
    recording.cancel()
    board.finish()

    pe, signals = (
        {name: values[: cycles + 1] for name, values in found.items()}
        for found in (recorder.pe, recorder.signals)
    )
    number_of = {tile: number for number, tile in enumerate(run.tiles.tiles)}
    left = []
    for index, (cycle, values) in enumerate(zip(board.cycles, array.vectors(board), strict=True)):
        _, tile, y, x = run.at(index)
        place = f"{run.tile_words(tile)}, pixel ({y}, {x})"
        left.append(Leaving(cycle, number_of[tile], place, values.tolist()))
    made = Recording(
        rows=array.rows,
        cols=array.cols,
        act_width=array.act_width,
        act_signed=array.act_signed,
        psum_width=array.psum_width,
        shows=run.shows,
        image=image,
        of_cycles=cycles,
        of_tiles=whole.expected.shape[1],
        pixels=run.expected.shape[2],
        of_pixels=whole.expected.shape[2],
        width=run.tiles.output_size[1],
        tiles=[run.tile_words(tile) for tile in run.tiles.tiles],
        pe=pe,
        signals=signals,
        left=left,
    )
    write_json(job.results, asdict(made))


def record(job: LayerJob, image: int, dut: type[ArrayAdapter]) -> Recording:
    """Simulates `image` of the job on an array; returns the recording.

    Raises BenchError if a psum is wrong.
    """
    run_bench(
        "tb.report.recording",
        **dut.design(),
        simulator=job.simulator,
        settings=job.settings() | {IMAGE: str(image)},
        waves=False,
        variant=f"{Path(job.dut).stem}_recording",
    )
    stored = json.loads(Path(job.results).read_text())
    return Recording(**stored | {"left": [Leaving(**one) for one in stored["left"]]})
