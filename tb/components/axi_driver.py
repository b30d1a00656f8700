"""Drives the core on its AXI interfaces as a host does, and checks a layer that it runs."""

import itertools
import logging

import numpy as np
from cocotb.handle import HierarchyObject
from cocotb.triggers import ClockCycles, RisingEdge
from cocotb.utils import get_sim_time
from cocotbext.axi import (
    AxiLiteBus,
    AxiLiteMaster,
    AxiResp,
    AxiStreamBus,
    AxiStreamFrame,
    AxiStreamSink,
    AxiStreamSource,
)

from pymodel.hardware import registers
from pymodel.hardware.core import Core, Layer, act_vectors, threshold_vectors, weight_vectors
from pymodel.hardware.cycles import cycles
from pymodel.hardware.register_fields import Register
from pymodel.hardware.registers import Error
from tb.components import cover_points
from tb.components.axi_monitor import CoreMonitor
from tb.components.clock import start_clock
from tb.components.core_results import decode
from tb.components.packing import pack
from tb.components.random_layers import reference
from tb.components.scoreboard import EMPTY, compare
from tb.sim.errors import BenchError

STREAMS = ("act", "weight", "threshold")


class CoreDriver:
    """Drives the core with its clock, an AXI4-Lite master, three stream sources and a sink."""

    def __init__(self, dut: HierarchyObject):
        self.dut = dut
        names = vars(Core())
        self.ended = 0.0  # ns, when the last layer was seen to be done
        self.configured: Layer | None = None  # the layer that was written last
        self.core = Core(**{name: int(getattr(dut, name.upper()).value) for name in names})
        start_clock(dut.clk_i)
        dut.rst_i.value = 1
        clock = (dut.clk_i, dut.rst_i)
        self.registers = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axil"), *clock)
        self.sources = {
            name: AxiStreamSource(AxiStreamBus.from_prefix(dut, f"s_axis_{name}"), *clock)
            for name in STREAMS
        }
        self.sink = AxiStreamSink(AxiStreamBus.from_prefix(dut, "m_axis"), *clock)
        master = self.registers
        self.channels = [
            master.write_if.aw_channel,
            master.write_if.w_channel,
            master.write_if.b_channel,
            master.read_if.ar_channel,
            master.read_if.r_channel,
            *self.sources.values(),
            self.sink,
        ]
        self.monitor = CoreMonitor(dut, self.core)
        for channel in (master.write_if, master.read_if, *self.sources.values(), self.sink):
            channel.log.setLevel(logging.WARNING)
        cover_points.watch(cover_points.core, dut)

    async def reset(self, duration: int = 2) -> None:
        """Holds reset for `duration` cycles; beats that are still queued are dropped."""
        for source in self.sources.values():
            source.clear()
        self.dut.rst_i.value = 1
        await ClockCycles(self.dut.clk_i, duration)
        self.dut.rst_i.value = 0
        await RisingEdge(self.dut.clk_i)
        self.sink.clear()

    def disturb(self, rng: np.random.Generator) -> None:
        """Makes each of the nine AXI channels pause at random, some often and some rarely."""
        for channel in self.channels:
            pauses = itertools.cycle((rng.random(997) < rng.choice((0.1, 0.5, 0.8))).tolist())
            channel.set_pause_generator(pauses)

    async def block_now_and_then(self, rng: np.random.Generator) -> None:
        """Lets the sink take nothing for some cycles, then everything, and so on for ever."""
        self.sink.clear_pause_generator()
        while True:
            for pause in (True, False):
                self.sink.pause = pause
                await ClockCycles(self.dut.clk_i, int(rng.integers(1, 150)))

    def calm(self) -> None:
        """Ends all pauses."""
        for channel in self.channels:
            channel.clear_pause_generator()
            channel.pause = False

    async def write(self, register: Register, **fields: int) -> AxiResp:
        """Writes a register; fields that are not named become 0."""
        word = register.pack(**fields).to_bytes(4, "little")
        return (await self.registers.write(register.address, word)).resp

    async def read(self, register: Register) -> dict[str, int]:
        """Returns the fields of a register by name."""
        answer = await self.registers.read(register.address, 4)
        assert answer.resp == AxiResp.OKAY
        return register.unpack(int.from_bytes(answer.data, "little"))

    async def configure(self, layer: Layer, **keep: int) -> None:
        """Writes the registers of `layer`; keep_acts=1, … keep packets for the layer after it."""
        self.configured = layer
        inputs, outputs = layer.tiles(self.core)
        await self.write(registers.MAP, height=layer.height, width=layer.width)
        await self.write(
            registers.KERNEL, size=layer.kernel, stride=layer.stride, padding=layer.padding
        )
        await self.write(registers.TILES, input=inputs, output=outputs)
        await self.write(registers.IMAGES, count=layer.images)
        await self.write(registers.OUTPUT, mode=layer.mode, pool=layer.pool, **keep)

    def send(self, stream: str, vectors: np.ndarray) -> None:
        """Queues a packet: int [beats, lanes] on the stream "act", "weight" or "threshold".

        A beat is whole bytes; its bits above the last lane are ones, which the core must ignore.
        """
        core = self.core
        widths = {"act": core.act_width, "weight": core.weight_width, "threshold": core.sum_width}
        width = widths[stream]
        bits = vectors.shape[1] * width
        size = -(-bits // 8)
        above = (1 << 8 * size) - (1 << bits)
        data = b"".join((word | above).to_bytes(size, "little") for word in pack(vectors, width))
        self.sources[stream].send_nowait(AxiStreamFrame(data))

    def load(self, codes=None, weights=None, thresholds=None) -> None:
        """Queues the packets of a layer: those of codes, weights and thresholds that are given.

        codes: [N, C_in, H, W]; weights: [C_out, C_in, k, k]; thresholds: [C_out, 16].
        """
        if codes is not None:
            self.send("act", act_vectors(np.asarray(codes), self.core))
        if weights is not None:
            self.send("weight", weight_vectors(np.asarray(weights), self.core))
        if thresholds is not None:
            self.send("threshold", threshold_vectors(np.asarray(thresholds), self.core))

    async def loaded(self) -> None:
        """Waits until every queued beat has been taken."""
        for source in self.sources.values():
            await source.wait()
        await ClockCycles(self.dut.clk_i, 3)

    async def start(self) -> AxiResp:
        """Writes CONTROL.start; returns the response.

        An interrupt after the return belongs to the layer that this starts.
        """
        self.monitor.layer = self.configured
        answer = await self.write(registers.CONTROL, start=1)
        await ClockCycles(self.dut.clk_i, 2)
        return answer

    async def interrupt(self) -> None:
        """Waits for the interrupt."""
        while not int(self.dut.interrupt_o.value):
            await RisingEdge(self.dut.interrupt_o)

    async def finish(self, layer: Layer, expected: np.ndarray | None = None) -> np.ndarray:
        """Waits for the end of a layer; returns its results, int64 [N, C_out, H', W'].

        Raises BenchError if the core reports an error, or sends too little or too much. With
        `expected`, of the same shape, the message names the first wrong beat.
        """
        await self.interrupt()
        self.ended = get_sim_time("ns")
        status = await self.read(registers.STATUS)
        if status["error"]:
            raise BenchError(f"the core reports {Error(status['error']).name} for {layer}")
        return self.received(layer, expected=expected)

    def received(
        self, layer: Layer, more: bool = False, expected: np.ndarray | None = None
    ) -> np.ndarray:
        """Returns the results in the packet that has come; raises BenchError as `finish` does.

        With `more`, another packet may follow. `expected` is used as in `finish`.
        """
        if self.sink.empty():
            raise BenchError(f"missing output: the core is done, but no packet came, {layer}")
        data = bytes(self.sink.recv_nowait(compact=True).tdata)
        if not more and not self.sink.empty():
            raise BenchError(f"extra output: more than one packet came, {layer}")
        return decode(data, layer, self.core, expected)

    async def run(self, layer: Layer, codes, weights, thresholds=None) -> np.ndarray:
        """Loads, configures, starts and finishes a layer, all of them as early as possible."""
        self.load(codes, weights, thresholds)
        await self.configure(layer)
        await self.start()
        return await self.finish(layer)

    def compare(self, layer: Layer, data, got: np.ndarray) -> None:
        """Compares results [N, C_out, H', W'] of a layer with what its data demand.

        `data` are codes, weights and tables (or None). Raises BenchError for a difference.
        """
        compare(reference(layer, *data, core=self.core), got, layer, self.core)

    async def idle(self) -> Error:
        """Waits until no layer runs or waits; returns the error code."""
        while (status := await self.read(registers.STATUS))["busy"]:
            pass
        return Error(status["error"])

    async def cycles(self) -> int:
        """Returns the value of the register CYCLES."""
        return (await self.read(registers.CYCLES))["count"]

    async def quiet(self, cycles: int = 60) -> None:
        """Raises BenchError if a result leaves the core within `cycles` cycles."""
        await ClockCycles(self.dut.clk_i, cycles)
        if not self.sink.empty() or self.sink.active:
            raise BenchError("extra output: a result came, but no layer runs")


async def started(dut) -> CoreDriver:
    """Returns a driver of the core after reset, when the accumulator is cleared."""
    bench = CoreDriver(dut)
    await bench.reset()
    await ClockCycles(dut.clk_i, bench.core.pixels + 5)
    return bench


async def check_layer(bench: CoreDriver, layer: Layer, data) -> np.ndarray:
    """Loads, runs and compares a layer without stalls; returns its results.

    `data` are codes, weights and thresholds (or None); the results are int64 [N, C_out, H', W'].
    The cycles must be those of the model. Raises BenchError for a difference, an error of the core,
    or an empty comparison.
    """
    expected = reference(layer, *data, core=bench.core)
    if not expected.size:
        raise BenchError(EMPTY)
    bench.load(*data)
    await bench.loaded()
    await bench.configure(layer)
    await bench.start()
    got = await bench.finish(layer, expected)
    compare(expected, got, layer, bench.core)
    counted, predicted = await bench.cycles(), cycles(layer, bench.core)
    assert counted == predicted, f"{counted} cycles, the model says {predicted}, {layer}"
    assert (await bench.read(registers.STALLS))["count"] == 0
    return got
