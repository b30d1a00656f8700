"""Connects `accumulating_array`, which adds the psums of tiles inside and gives sums.

make DUT=tb/examples/accumulating_array.py
"""

from cocotb.triggers import ClockCycles, RisingEdge

from tb.components.dataflow_adapters import AccumulatingAdapter
from tb.components.packing import pack


class AccumulatingArray(AccumulatingAdapter):
    """A tile's weights enter first, row by row; its activations say where the tile stands."""

    TOPLEVEL = "accumulating_array"
    SOURCES = ("accumulating_array.v",)
    PORTS_ONLY = True
    CLOCK = "clk"
    psum_width = 24
    latency = 1

    def __init__(self, dut):
        super().__init__(dut)
        self.rows = int(dut.ROWS.value)
        self.cols = int(dut.COLS.value)
        self.accumulators = int(dut.PIXELS.value)

    async def reset(self):
        self.dut.weight_valid.value = 0
        self.dut.act_valid.value = 0
        self.dut.rst.value = 1
        await ClockCycles(self.clock, 2)
        self.dut.rst.value = 0
        await RisingEdge(self.clock)

    async def load(self, weights):
        self.dut.weight_valid.value = 1
        for word in pack(weights, self.weight_width):
            self.dut.weight.value = word
            await RisingEdge(self.clock)
        self.dut.weight_valid.value = 0

    async def stream(self, activations, first, last):
        self.dut.first_tile.value = int(first)
        self.dut.last_tile.value = int(last)
        self.dut.act_valid.value = 1
        words = pack(activations, self.act_width)
        for number, word in enumerate(words, 1):
            self.dut.act.value = word
            self.dut.act_last_pixel.value = int(number == len(words))
            await RisingEdge(self.clock)
        self.dut.act_valid.value = 0

    def psums(self):
        return self.dut.sum.value if int(self.dut.sum_valid.value) else None
