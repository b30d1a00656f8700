"""Connects `load_first_array`, the second array: load first, then execute.

make DUT=tb/examples/load_first_array.py
"""

from cocotb.triggers import ClockCycles, RisingEdge

from tb.components.array_adapter import ArrayAdapter
from tb.components.packing import pack


class LoadFirstArray(ArrayAdapter):
    """Each PE holds one weight, so a tile's weights enter when the tile before has left."""

    TOPLEVEL = "load_first_array"
    SOURCES = ("../../rtl/load_first_array.v", "../../rtl/load_first_pe.v", "../../rtl/skew.v")

    def __init__(self, dut):
        super().__init__(dut)
        self.rows = int(dut.ROWS.value)
        self.cols = int(dut.COLS.value)
        self.act_width = int(dut.ACT_WIDTH.value)
        self.weight_width = int(dut.WEIGHT_WIDTH.value)
        self.psum_width = int(dut.PSUM_WIDTH.value)
        self.latency = self.rows + self.cols - 1

    async def reset(self):
        self.dut.weight_valid_i.value = 0
        self.dut.act_valid_i.value = 0
        self.dut.rst_i.value = 1
        await ClockCycles(self.clock, 2)
        self.dut.rst_i.value = 0
        await RisingEdge(self.clock)

    async def load(self, weights):
        # Every row moves the ones before it south, so the last row enters first.
        self.dut.weight_valid_i.value = 1
        for word in pack(weights[::-1], self.weight_width):
            self.dut.weight_i.value = word
            await RisingEdge(self.clock)
        self.dut.weight_valid_i.value = 0

    async def stream(self, activations):
        self.dut.act_valid_i.value = 1
        for word in pack(activations, self.act_width):
            self.dut.act_i.value = word
            await RisingEdge(self.clock)
        self.dut.act_valid_i.value = 0
        await RisingEdge(self.clock)
        while not int(self.dut.idle_o.value):
            await RisingEdge(self.clock)

    def psums(self):
        return self.dut.psum_o.value if int(self.dut.psum_valid_o.value) else None

    def pe(self, row, col):
        pe = self.dut.g_row[row].g_col[col].pe
        return {"act": pe.act_i, "weight": pe.weight_o, "psum": pe.psum_o}
