"""Connects `two_clocks`, which has macros, an include folder, two clocks and a long reset.

make DUT=tb/examples/two_clocks.py
make DUT=tb/examples/two_clocks.py ROWS=16 COLS=8
"""

from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, RisingEdge

from tb.components.array_adapter import ArrayAdapter
from tb.components.packing import pack


class TwoClocks(ArrayAdapter):
    """Weights enter by a clock of their own; whether psums are valid is known inside alone."""

    TOPLEVEL = "two_clocks"
    SOURCES = ("two_clocks.v",)
    INCLUDES = ("include",)
    DEFINES = {"PSUM_BITS": 16}
    latency = 1

    def __init__(self, dut):
        super().__init__(dut)
        self.rows = int(dut.ROWS.value)
        self.cols = int(dut.COLS.value)
        self.weight_clock = None

    async def reset(self):
        if self.weight_clock is None:
            self.weight_clock = Clock(self.dut.weight_clk_i, 14, unit="ns")
            self.weight_clock.start()
        self.dut.weight_valid_i.value = 0
        self.dut.act_valid_i.value = 0
        self.dut.rst_ni.value = 0
        await ClockCycles(self.clock, 16)
        self.dut.rst_ni.value = 1
        await RisingEdge(self.clock)

    async def load(self, weights):
        edge = RisingEdge(self.dut.weight_clk_i)
        await edge
        self.dut.weight_valid_i.value = 1
        for word in pack(weights[:, ::-1], self.weight_width):
            self.dut.weight_i.value = word
            await edge
        self.dut.weight_valid_i.value = 0
        await RisingEdge(self.clock)

    async def stream(self, activations):
        self.dut.act_valid_i.value = 1
        for word in pack(activations[:, ::-1], self.act_width):
            self.dut.act_i.value = word
            await RisingEdge(self.clock)
        self.dut.act_valid_i.value = 0
        await RisingEdge(self.clock)

    def psums(self):
        if not int(self.dut.pulse.valid.value):
            return None
        # A port [0:63] is read as [63:0], on both simulators: its leftmost bit is the highest.
        bits, width = self.dut.psum_o.value, self.psum_width
        return [bits[width * c + width - 1 : width * c] for c in reversed(range(self.cols))]
