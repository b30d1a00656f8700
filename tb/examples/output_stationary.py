"""Connects `output_stationary`, an array that multiplies matrices.

make DUT=tb/examples/output_stationary.py
"""

import numpy as np
from cocotb.triggers import RisingEdge

from tb.components.dataflow_adapters import MatmulAdapter
from tb.components.packing import pack


class OutputStationary(MatmulAdapter):
    """Rows hold output pixels and columns output channels; the taps stream through."""

    TOPLEVEL = "output_stationary"
    SOURCES = ("output_stationary.v",)
    PORTS_ONLY = True
    CLOCK = "clk"
    psum_width = 24

    def __init__(self, dut):
        super().__init__(dut)
        self.rows = int(dut.ROWS.value)
        self.cols = int(dut.COLS.value)

    async def reset(self):
        self.dut.act.value = 0
        self.dut.weight.value = 0
        self.dut.read_row.value = 0
        self.dut.clear.value = 1
        await RisingEdge(self.clock)
        self.dut.clear.value = 0

    async def matmul(self, a, b):
        await self.reset()
        cycles = a.shape[1] + self.rows + self.cols - 2
        acts = pack(skewed(a.T, cycles), self.act_width)
        weights = pack(skewed(b, cycles), self.weight_width)
        for act, weight in zip(acts, weights, strict=True):
            self.dut.act.value = act
            self.dut.weight.value = weight
            await RisingEdge(self.clock)
        self.dut.act.value = 0
        self.dut.weight.value = 0
        sums = []
        for row in range(self.rows):
            self.dut.read_row.value = row
            await RisingEdge(self.clock)
            sums.append(self.dut.sums.value)
        return sums


def skewed(vectors, cycles):
    """Returns vectors [n, lanes] with lane i delayed by i cycles, [cycles, lanes]."""
    late = np.zeros((cycles, vectors.shape[1]), int)
    for lane, values in enumerate(vectors.T):
        late[lane : lane + len(values), lane] = values
    return late
