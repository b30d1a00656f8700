"""Connects the array of dot_engine.v, as somebody would who has read docs/own-array.md alone.

make DUT=tb/examples/dot_engine.py
"""

from cocotb.triggers import ClockCycles, RisingEdge

from tb.components.array_adapter import ArrayAdapter
from tb.components.packing import pack


class DotEngine(ArrayAdapter):
    """The adapter of 16 × 4 PEs with an active-low reset, signed activations, and psums that
    leave column by column."""

    TOPLEVEL = "dot_engine"
    SOURCES = ("dot_engine.v",)
    PORTS_ONLY = True
    CLOCK = "clk"
    rows, cols = 16, 4
    act_width, weight_width, psum_width = 8, 8, 32
    act_signed = True
    latency = 4

    async def reset(self):
        self.dut.w_write.value = 0
        self.dut.a_strobe.value = 0
        self.dut.rst_n.value = 0
        await ClockCycles(self.clock, 2)
        self.dut.rst_n.value = 1
        await RisingEdge(self.clock)

    async def load(self, weights):
        self.dut.w_write.value = 1
        for row in range(self.rows):
            for col in range(self.cols):
                self.dut.w_row.value = row
                self.dut.w_col.value = col
                self.dut.w_data.value = int(weights[row, col])
                await RisingEdge(self.clock)
        self.dut.w_write.value = 0

    async def stream(self, activations):
        self.dut.a_strobe.value = 1
        for word in pack(activations[:, ::-1], 8):  # row 0 in the highest bits
            self.dut.a_data.value = word
            await RisingEdge(self.clock)
        self.dut.a_strobe.value = 0
        await ClockCycles(self.clock, self.cols)  # the last column still uses its weights

    def psums(self):
        strobe, data = int(self.dut.p_strobe.value), self.dut.p_data.value
        if not strobe:
            return None
        return [data[32 * c + 31 : 32 * c] if strobe >> c & 1 else None for c in range(self.cols)]
