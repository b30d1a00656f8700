"""Driver and monitor of `systolic_array`, and the testbench class that wires them."""

from collections.abc import Callable

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.handle import HierarchyObject
from cocotb.triggers import ClockCycles, RisingEdge

from tb.packing import pack, unpack
from tb.schedule import Stimulus
from tb.scoreboard import Scoreboard

CLOCK_PERIOD_NS = 10


class ArrayDriver:
    """Plays a stimulus onto the input buses, one packed integer a bus and cycle."""

    def __init__(self, dut: HierarchyObject, weight_width: int, act_width: int):
        self.dut = dut
        self.weight_width = weight_width
        self.act_width = act_width

    async def reset(self) -> None:
        """Hold reset for two cycles with all inputs at rest."""
        self.idle()
        self.dut.rst_i.value = 1
        await ClockCycles(self.dut.clk_i, 2)
        self.dut.rst_i.value = 0
        await RisingEdge(self.dut.clk_i)

    def idle(self) -> None:
        """No weight and no activation in this cycle."""
        self.dut.weight_valid_i.value = 0
        self.dut.act_valid_i.value = 0
        self.dut.act_swap_i.value = 0

    async def play(self, stimulus: Stimulus) -> None:
        """Drive every cycle of `stimulus`; returns after its last one."""
        dut = self.dut
        columns = (
            (dut.weight_valid_i, stimulus.weight_valid.astype(int).tolist()),
            (dut.weight_col_i, stimulus.weight_col.tolist()),
            (dut.weight_i, pack(stimulus.weight, self.weight_width)),
            (dut.act_valid_i, stimulus.act_valid.astype(int).tolist()),
            (dut.act_swap_i, stimulus.act_swap.astype(int).tolist()),
            (dut.act_i, pack(stimulus.act, self.act_width)),
        )
        handles = [handle for handle, _ in columns]
        edge = RisingEdge(dut.clk_i)
        before: tuple = (None,) * len(handles)
        for values in zip(*(values for _, values in columns), strict=True):
            for handle, value, old in zip(handles, values, before, strict=True):
                if value != old:
                    handle.value = value
            before = values
            await edge
        self.idle()


class PsumMonitor:
    """Watches the output in every cycle and hands each valid word to the scoreboard."""

    def __init__(self, dut: HierarchyObject, board: Scoreboard):
        self.dut = dut
        self.board = board
        self.cycle = 0
        self.last_cycle = 0  # of the last valid word

    async def run(self) -> None:
        """Never returns. Raises BenchError if valid, or psum while valid, is not 0 or 1."""
        edge = RisingEdge(self.dut.clk_i)
        valid, psum = self.dut.psum_valid_o, self.dut.psum_o
        while True:
            await edge
            if self._known(valid, "psum_valid_o"):
                self.board.receive(self.cycle, self._known(psum, "psum_o while valid is high"))
                self.last_cycle = self.cycle
            self.cycle += 1

    def _known(self, handle, name: str) -> int:
        value = handle.value
        try:
            return int(value)
        except ValueError:
            self.board.fail(f"X or Z on {name} at cycle {self.cycle}: {value}")
            raise


class ArrayBench:
    """`systolic_array` with clock, driver, monitor and scoreboard.

    Cycle 0 is the first cycle of the stimulus.
    """

    def __init__(self, dut: HierarchyObject):
        self.dut = dut
        self.rows = int(dut.ROWS.value)
        self.cols = int(dut.COLS.value)
        self.act_width = int(dut.ACT_WIDTH.value)
        self.weight_width = int(dut.WEIGHT_WIDTH.value)
        self.psum_width = int(dut.PSUM_WIDTH.value)
        self.latency = self.rows + self.cols - 1
        self.driver = ArrayDriver(dut, self.weight_width, self.act_width)

    async def start(self) -> None:
        """Start the clock and reset."""
        cocotb.start_soon(Clock(self.dut.clk_i, CLOCK_PERIOD_NS, unit="ns").start())
        await self.driver.reset()

    async def run(
        self, stimulus: Stimulus, expected: np.ndarray, place: Callable[[int], str],
        first_channel: Callable[[int], int] = lambda index: 0,
    ) -> tuple[Scoreboard, int]:  # fmt: skip
        """Play `stimulus` and compare every psum with `expected`, int [n, COLS].

        `place(index)` names the psum vector at `index`, `first_channel(index)` is the output
        channel of its column 0. Returns the scoreboard, whose `finish` the caller has still to
        call, and the cycles from the first input to the last output.
        """

        def difference(index: int, wanted: int, found: int) -> str:
            wanted, found = unpack([wanted, found], self.cols, self.psum_width)
            column = int(np.flatnonzero(wanted != found)[0])
            channel = first_channel(index) + column
            return f"channel {channel}: expected {wanted[column]}, got {found[column]}"

        board = Scoreboard(pack(expected, self.psum_width), place, difference)
        monitor = PsumMonitor(self.dut, board)
        watching = cocotb.start_soon(monitor.run())
        await self.driver.play(stimulus)
        # Twice the latency: whatever comes after the last output is one too many.
        await ClockCycles(self.dut.clk_i, 2 * self.latency + 1)
        watching.cancel()
        return board, monitor.last_cycle + 1

    def psums(self, board: Scoreboard) -> np.ndarray:
        """The received words as int64 [n, COLS]."""
        return unpack(board.received, self.cols, self.psum_width)
