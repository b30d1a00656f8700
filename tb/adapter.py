"""Connects an array to the checks: how to reset it, load a tile, stream activations, read psums.

docs/own-array.md explains it for somebody else's array; `tb/array.py` connects ours.
"""

import importlib.util
import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.handle import HierarchyObject
from cocotb.triggers import ClockCycles, RisingEdge
from cocotb.types import LogicArray

from pymodel.errors import InputError
from pymodel.files import ROOT
from tb.packing import pack, unpack
from tb.scoreboard import Scoreboard

OWN = ROOT / "tb" / "array.py"
CLOCK_PERIOD_NS = 10


class ArrayAdapter(ABC):
    """One array under test. Subclass it: TOPLEVEL, SOURCES, `reset`, `load`, `stream`, `psums`.

    Each tile is a matrix weight[row][col], each activation vector one number a row, and each psum
    vector one number a column: psum[col] = Σ over rows of activation[row] · weight[row][col].
    """

    TOPLEVEL: str  # the Verilog module
    SOURCES: Sequence[Path]  # the Verilog files
    CLOCK = "clk_i"  # the clock port

    # Of one tile, and the bits of its numbers; ours reads them from the module's parameters.
    rows = 8
    cols = 8
    act_width = 4
    weight_width = 4
    psum_width = 16
    # Cycles from an activation vector at the input to its psums: how long to wait after the last.
    latency = 15

    def __init__(self, dut: HierarchyObject):
        self.dut = dut
        self.clock = getattr(dut, self.CLOCK)
        self.board: Scoreboard | None = None  # of the latest run

    @abstractmethod
    async def reset(self) -> None:
        """Bring the array to rest; the clock runs already."""

    async def load(self, weights: np.ndarray) -> None:
        """Load one tile, int [rows, cols]; return when activations may follow."""
        raise NotImplementedError

    async def stream(self, activations: np.ndarray) -> None:
        """Stream one tile's activations, int [pixels, rows]; return when the next tile may load."""
        raise NotImplementedError

    @abstractmethod
    def psums(self) -> Any | None:
        """What leaves the array at this clock edge: a psum vector, or None.

        Called at every rising edge. A vector is either the value of a bus that holds all columns,
        column 0 in the lowest bits, or a list of one value a column. X or Z in it fails the run, as
        does a ValueError from here: int() of a value with X or Z raises one.
        """

    async def play(self, weights: np.ndarray, activations: Sequence[np.ndarray]) -> None:
        """Tile after tile: load, then stream. An array that overlaps the two overrides this.

        weights: [tiles, rows, cols]; activations: per tile [pixels, rows].
        """
        for tile, vectors in zip(weights, activations, strict=True):
            await self.load(tile)
            await self.stream(vectors)

    async def start(self) -> None:
        """Start the clock and reset."""
        cocotb.start_soon(Clock(self.clock, CLOCK_PERIOD_NS, unit="ns").start())
        await self.reset()

    async def run(
        self, playing, expected: np.ndarray, place: Callable[[int], str],
        first_channel: Callable[[int], int] = lambda index: 0,
    ) -> tuple[Scoreboard, int]:  # fmt: skip
        """Await `playing` and compare every psum with `expected`, int [n, cols].

        `place(index)` names the psum vector at `index`, `first_channel(index)` is the output
        channel of its column 0. Returns the scoreboard, whose `finish` the caller has still to
        call, and the cycles from the first input to the last output. Cycle 0 is the first one of
        `playing`.
        """

        def difference(index: int, wanted: int, found: int) -> str:
            wanted, found = unpack([wanted, found], self.cols, self.psum_width)
            column = int(np.flatnonzero(wanted != found)[0])
            channel = first_channel(index) + column
            return f"channel {channel}: expected {wanted[column]}, got {found[column]}"

        board = self.board = Scoreboard(pack(expected, self.psum_width), place, difference)
        watching = cocotb.start_soon(self._watch(board))
        try:
            await playing
            # Twice the latency: whatever comes after the last output is one too many.
            await ClockCycles(self.clock, 2 * self.latency + 1)
        finally:
            watching.cancel()
        return board, board.cycles[-1] + 1 if board.cycles else 0

    def vectors(self, board: Scoreboard) -> np.ndarray:
        """The received words as int64 [n, cols]."""
        if not board.received:
            return np.zeros((0, self.cols), np.int64)
        return unpack(board.received, self.cols, self.psum_width)

    async def _watch(self, board: Scoreboard) -> None:
        """Hand every psum vector to the scoreboard. BenchError for a value that is not 0 or 1."""
        edge = RisingEdge(self.clock)
        cycle = 0
        while True:
            await edge
            try:
                vector = self.psums()
            except ValueError as error:
                board.fail(f"X or Z at cycle {cycle}: {error}")
            if vector is not None:
                board.receive(cycle, *self._word(vector))
            cycle += 1

    def _word(self, vector: Any) -> tuple[int, list[int]]:
        """A psum vector as one integer, column 0 in the lowest bits, and the columns not known."""
        if not isinstance(vector, list):
            with suppress(ValueError):
                return int(vector), []
            bits, width = str(vector), self.psum_width
            ends = [len(bits) - column * width for column in range(self.cols)]
            vector = [LogicArray(bits[end - width : end]) for end in ends]
        values = [_known(value) for value in vector]
        unknown = [column for column, value in enumerate(values) if value is None]
        return pack([[value or 0 for value in values]], self.psum_width)[0], unknown


def _known(value: Any) -> int | None:
    """As an integer; None if a bit is X or Z."""
    try:
        return int(value)
    except ValueError:
        return None


def adapter_class(path: Path = OWN) -> type[ArrayAdapter]:
    """The one adapter that file `path` defines.

    Raises InputError if the file is missing, does not load, or holds none, several, or one that
    lacks a method or attribute, or names sources that are not there.
    """
    if not path.is_file():
        raise InputError(f"{path}: not found, expected a Python file with an adapter")
    spec = importlib.util.spec_from_file_location(f"adapter_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise InputError(f"{path}: does not load: {type(error).__name__}: {error}") from None
    found = [
        value for value in vars(module).values()
        if inspect.isclass(value) and issubclass(value, ArrayAdapter)
        and value.__module__ == module.__name__
    ]  # fmt: skip
    if len(found) != 1:
        names = ", ".join(c.__name__ for c in found) or "none"
        raise InputError(f"{path}: defines {names}, expected one subclass of ArrayAdapter")
    (chosen,) = found
    missing = [name for name in ("TOPLEVEL", "SOURCES") if not hasattr(chosen, name)]
    missing += sorted(chosen.__abstractmethods__)
    if chosen.play is ArrayAdapter.play:
        defaults = vars(ArrayAdapter)
        missing += [n for n in ("load", "stream") if getattr(chosen, n) is defaults[n]]
    if missing:
        raise InputError(f"{path}: {chosen.__name__} lacks {', '.join(missing)}")
    for source in chosen.SOURCES:
        if not Path(source).is_file():
            raise InputError(f"{path}: SOURCES names {source}, which is not there")
    if not chosen.SOURCES:
        raise InputError(f"{path}: SOURCES is empty, expected the Verilog files")
    return chosen
