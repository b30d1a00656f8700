"""Connects `struct_array`, whose ports are unpacked arrays and a packed struct.

make DUT=tb/examples/struct_array.py SIM=verilator
"""

from cocotb.triggers import ClockCycles, RisingEdge

from tb.components.array_adapter import ArrayAdapter
from tb.components.packing import pack


class StructArray(ArrayAdapter):
    """Each element of an unpacked port has a handle; a packed struct is one vector."""

    TOPLEVEL = "struct_array"
    SOURCES = ("struct_array.sv",)
    latency = 1

    async def reset(self):
        self.dut.load_i.value = 0
        self.dut.pixel_i.value = 0
        self.dut.rst_i.value = 1
        await ClockCycles(self.clock, 2)
        self.dut.rst_i.value = 0
        await RisingEdge(self.clock)

    async def load(self, weights):
        self.dut.load_i.value = 1
        for row in weights[::-1]:
            for col, weight in enumerate(row):
                self.dut.weight_i[col].value = int(weight)
            await RisingEdge(self.clock)
        self.dut.load_i.value = 0

    async def stream(self, activations):
        valid = 1 << self.rows * self.act_width  # the struct's first member has the highest bits
        for word in pack(activations, self.act_width):
            self.dut.pixel_i.value = valid | word
            await RisingEdge(self.clock)
        self.dut.pixel_i.value = 0
        await RisingEdge(self.clock)

    def psums(self):
        if not int(self.dut.valid_o.value):
            return None
        return [self.dut.psum_o[col].value for col in range(self.cols)]
