"""Drives `reconfigurable_array`, and connects it to the checks in one of its four modes.

make DUT=tb/components/reconfigurable.py                          # 4 bits, weight stationary
make check DUT=tb/components/reconfigurable.py MODE=2bit DATAFLOW=os
"""

import os
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import fields

import numpy as np
from cocotb.handle import HierarchyObject, ValueObjectBase
from cocotb.triggers import ClockCycles, RisingEdge
from cocotb.types import LogicArray

from pymodel.support.errors import InputError
from tb.components.array_adapter import ArrayAdapter
from tb.components.packing import pack
from tb.components.reconfigurable_schedule import Piece, Sizes, Stimulus, schedule
from tb.sim.sources import RTL

# Environment variables, and whether the value sets the control bit
MODES = {"MODE": {"4bit": False, "2bit": True}, "DATAFLOW": {"ws": False, "os": True}}


def asked(name: str) -> bool:
    """Returns the control bit that MODE or DATAFLOW asks for; raises InputError for other words."""
    words = MODES[name]
    given = os.environ.get(name, next(iter(words)))
    if given not in words:
        raise InputError(f"{name} is '{given}', expected {' or '.join(words)}")
    return words[given]


class ReconfigurableDriver:
    """Plays a stimulus onto the input buses, one packed integer for each bus and cycle."""

    def __init__(self, dut: HierarchyObject):
        self.dut = dut
        names = ("ROWS", "COLS", "ACT_WIDTH", "WEIGHT_WIDTH", "PSUM_WIDTH")
        self.sizes = Sizes(*(int(getattr(dut, name).value) for name in names))
        pair = 2 * self.sizes.weight_width
        # Bits of a lane of the buses; the other inputs have one lane
        self.widths = {"act": self.sizes.act_width, "weight": pair, "weight_north": pair}

    async def reset(self) -> None:
        """Holds reset for two cycles with all inputs at rest."""
        self.idle()
        self.dut.halves_i.value = 0
        self.dut.output_stationary_i.value = 0
        self.dut.weight_north_i.value = 0
        self.dut.rst_i.value = 1
        await ClockCycles(self.dut.clk_i, 2)
        self.dut.rst_i.value = 0
        await RisingEdge(self.dut.clk_i)

    def idle(self) -> None:
        """Offers no weight and no activation in this cycle; the mode stays."""
        for name in ("weight_valid", "act_valid", "act_start", "act_last"):
            getattr(self.dut, f"{name}_i").value = 0

    async def play(self, stimulus: Stimulus) -> None:
        """Drives one row of the stimulus in each cycle, then leaves the inputs idle."""
        columns = {}
        for field in fields(stimulus):
            values = getattr(stimulus, field.name)
            width = self.widths.get(field.name)
            columns[field.name] = pack(values, width) if width else values.astype(int).tolist()
        handles = [getattr(self.dut, f"{name}_i") for name in columns]
        before: Iterable = [None] * len(handles)
        for row in zip(*columns.values(), strict=True):
            # Only what changes is written: each write costs time.
            for handle, value, old in zip(handles, row, before, strict=True):
                if value != old:
                    handle.value = value
            before = row
            await RisingEdge(self.dut.clk_i)
        self.idle()


class ReconfigurableAdapter(ArrayAdapter):
    """The adapter of `reconfigurable_array` in the mode that MODE and DATAFLOW name.

    Output stationary, a layer's taps are added inside, and the array gives sums.
    """

    TOPLEVEL = "reconfigurable_array"
    VARIABLES = tuple(MODES)
    SOURCES = tuple(
        RTL / f"{name}.v"
        for name in ("reconfigurable_array", "reconfigurable_pe", "skew", "zero_hold")
    )

    def __init__(self, dut: HierarchyObject):
        super().__init__(dut)
        self.driver = ReconfigurableDriver(dut)
        sizes = self.driver.sizes
        self.cols = sizes.cols
        self.weight_width, self.psum_width = sizes.weight_width, sizes.psum_width
        self.latency = sizes.rows + sizes.cols - 1
        # Whether each vector to come is of a pixel that is there
        self._wanted: deque[bool] = deque()
        self.switch(asked("MODE"), asked("DATAFLOW"))

    def switch(self, halves: bool, output_stationary: bool) -> None:
        """Sets the mode in which tiles are played from now on; the array need not be reset."""
        self.halves, self.output_stationary = halves, output_stationary
        self.rows = self.driver.sizes.rows * (1 + halves)
        self.act_width = self.driver.sizes.act_width // (1 + halves)

    @classmethod
    def tile_size(cls) -> tuple[int | None, int]:
        """Returns rows and columns of a tile in the mode that is asked for; None as in `depth`."""
        return None if asked("DATAFLOW") else cls.rows * (1 + asked("MODE")), cls.cols

    @property
    def depth(self) -> int | None:
        """Returns the number of rows of a tile; None: all taps of a layer are added inside."""
        return None if self.output_stationary else self.rows

    @property
    def shows(self) -> str:
        """Returns "sum" in the output-stationary mode, else "psum"."""
        return "sum" if self.output_stationary else "psum"

    async def reset(self) -> None:
        """Holds reset for two cycles with all inputs at rest."""
        self._wanted.clear()
        await self.driver.reset()

    async def play(self, weights: np.ndarray, activations: Sequence[np.ndarray]) -> None:
        """Plays the tiles, or blocks of pixels, in the fewest cycles that the contract allows."""
        pieces = []
        for weight, vectors in zip(weights, activations, strict=True):
            most = self.driver.sizes.rows if self.output_stationary else len(vectors)
            pieces += [
                Piece(self.halves, self.output_stationary, weight, vectors[begin : begin + most])
                for begin in range(0, len(vectors), most)
            ]
        await self.play_pieces(pieces)

    async def play_pieces(self, pieces: Sequence[Piece], **options: np.random.Generator) -> None:
        """Plays tiles and blocks of any mode; `options` are those of `schedule`."""
        rows = self.driver.sizes.rows
        self._wanted.clear()
        for piece in pieces:
            count = len(piece.activations)
            self._wanted += [True] * count
            # Rows without a pixel give sums, too.
            self._wanted += [False] * (rows - count if piece.output_stationary else 0)
        await self.driver.play(schedule(pieces, self.driver.sizes, **options))

    def pe(self, row: int, col: int) -> dict[str, ValueObjectBase]:
        """Returns the signals of one PE; a lane's halves and the pair of weights are one number."""
        if row >= self.driver.sizes.rows:
            row -= self.driver.sizes.rows
        pe = self.dut.g_row[row].g_col[col].pe
        return {"act": pe.act_i, "weight": pe.weight, "shadow": pe.shadow, "psum": pe.psum_o}

    def psums(self) -> LogicArray | None:
        """Returns all columns if valid is high, else None; raises ValueError if valid is X or Z."""
        valid = self.dut.psum_valid_o.value
        try:
            high = int(valid)
        except ValueError:
            raise ValueError(f"psum_valid_o is {valid}") from None
        if not high or (self._wanted and not self._wanted.popleft()):
            return None
        return self.dut.psum_o.value
