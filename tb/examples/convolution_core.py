"""Connects this project's convolution core as if it were somebody else's: a layer in, sums out.

make DUT=tb/examples/convolution_core.py
"""

import logging

from cocotb.triggers import ClockCycles, RisingEdge
from cocotbext.axi import (
    AxiLiteBus,
    AxiLiteMaster,
    AxiStreamBus,
    AxiStreamFrame,
    AxiStreamSink,
    AxiStreamSource,
)

from pymodel.hardware import registers
from pymodel.hardware.core import Core, Layer, act_vectors, check, weight_vectors
from pymodel.hardware.registers import Error
from tb.components.core_results import decode
from tb.components.dataflow_adapters import CoreAdapter
from tb.components.packing import octets
from tb.sim.sources import RTL


class ConvolutionCore(CoreAdapter):
    """Packets of codes and weights go in by AXI4-Stream, and registers say what they mean."""

    TOPLEVEL = "core"
    SOURCES = sorted(RTL.glob("*.v"))
    mode = registers.Mode.SUMS  # what the core's registers call its outputs

    def __init__(self, dut):
        super().__init__(dut)
        self.core = Core(**{name: int(getattr(dut, name.upper()).value) for name in vars(Core())})
        self.rows, self.cols = self.core.rows, self.core.cols
        clock = dut.clk_i, dut.rst_i
        self.registers = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axil"), *clock)
        self.acts, self.weights, self.tables = (
            AxiStreamSource(AxiStreamBus.from_prefix(dut, f"s_axis_{name}"), *clock)
            for name in ("act", "weight", "threshold")
        )
        self.sink = AxiStreamSink(AxiStreamBus.from_prefix(dut, "m_axis"), *clock)
        parts = self.registers.write_if, self.registers.read_if, self.acts, self.weights
        for part in (*parts, self.tables, self.sink):
            part.log.setLevel(logging.WARNING)

    async def reset(self):
        self.dut.rst_i.value = 1
        await ClockCycles(self.clock, 2)
        for source in (self.acts, self.weights, self.tables):
            source.clear()
        self.dut.rst_i.value = 0
        await ClockCycles(self.clock, self.core.pixels + 5)
        self.sink.clear()

    def supports(self, layer):
        job = self.job(layer)
        return job is not None and check(job, self.core) == Error.NONE

    def job(self, layer):
        """Returns the layer in the words of the core, None if the core has none for it."""
        if layer.square is None or layer.zero:
            return None
        images, inputs, *sides = layer.activations.shape
        return Layer(*sides, inputs, len(layer.weights), *layer.square, images, self.mode)

    async def run_layer(self, layer):
        job = self.job(layer)
        self.send(self.acts, act_vectors(layer.activations, self.core), self.core.act_width)
        self.send(self.weights, weight_vectors(layer.weights, self.core), self.core.weight_width)
        inputs, outputs = job.tiles(self.core)
        await self.write(registers.MAP, height=job.height, width=job.width)
        await self.write(registers.KERNEL, size=job.kernel, stride=job.stride, padding=job.padding)
        await self.write(registers.TILES, input=inputs, output=outputs)
        await self.write(registers.IMAGES, count=job.images)
        await self.write(registers.OUTPUT, mode=job.mode)
        await self.write(registers.CONTROL, start=1)
        packet = await self.sink.recv()
        while not int(self.dut.interrupt_o.value):
            await RisingEdge(self.clock)
        return decode(bytes(packet.tdata), job, self.core)

    def send(self, source, vectors, width):
        source.send_nowait(AxiStreamFrame(octets(vectors, width).tobytes()))

    async def write(self, register, **fields):
        await self.registers.write(register.address, register.pack(**fields).to_bytes(4, "little"))
