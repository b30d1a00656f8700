"""The core on its AXI interfaces, as a host drives it; its reference; random layers for it."""

import itertools
import logging
import math
from collections.abc import Sequence
from dataclasses import replace

import cocotb
import numpy as np
import torch
from cocotb.clock import Clock
from cocotb.handle import HierarchyObject, ValueObjectBase
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
from pymodel.hardware.core import (
    Core,
    Layer,
    act_vectors,
    check,
    result_vectors,
    results,
    threshold_vectors,
    weight_vectors,
)
from pymodel.hardware.cycles import cycles
from pymodel.hardware.register_fields import Register
from pymodel.hardware.registers import Error, Mode
from pymodel.hardware.thresholds import requantise
from pymodel.reference.convolution import integer_convolution
from tb.components import cover_points
from tb.components.packing import pack, unpack
from tb.components.scoreboard import EMPTY, beat_words, compare
from tb.sim.errors import BenchError
from tb.sim.waves import CLOCK_PERIOD_NS

STREAMS = ("act", "weight", "threshold")
# The channels that the core drives, and what must hold while they are stalled
STALLABLE = {
    "m_axis_t": ("data", "keep", "last"),
    "s_axil_b": ("resp",),
    "s_axil_r": ("data", "resp"),
}


class CoreBench:
    """`core` with clock, AXI4-Lite master, three stream sources and a sink."""

    def __init__(self, dut: HierarchyObject):
        self.dut = dut
        names = vars(Core())
        self.ended = 0.0  # ns, when the last layer was seen to be done
        self.configured: Layer | None = None  # the layer that was written last
        self.started: Layer | None = None  # and the one that was started last
        self.core = Core(**{name: int(getattr(dut, name.upper()).value) for name in names})
        cocotb.start_soon(Clock(dut.clk_i, CLOCK_PERIOD_NS, unit="ns").start())
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
        self.taken = 0  # beats that have left the core
        for prefix, payload in STALLABLE.items():
            cocotb.start_soon(self.hold_while_stalled(prefix, payload))
        cocotb.start_soon(self.hang())
        for channel in (master.write_if, master.read_if, *self.sources.values(), self.sink):
            channel.log.setLevel(logging.WARNING)
        cover_points.watch(cover_points.core, dut)

    async def hold_while_stalled(self, prefix: str, payload: tuple[str, ...]) -> None:
        """For ever: BenchError if valid falls, or its payload changes, while ready is low (AXI).

        And for X or Z in what is valid.
        """
        clock, reset = RisingEdge(self.dut.clk_i), self.dut.rst_i
        valid, ready, *data = (
            getattr(self.dut, f"{prefix}{name}") for name in ("valid", "ready", *payload)
        )
        stalled = None
        beat = 0  # of its packet
        while True:
            await clock
            if int(reset.value):
                stalled, beat = None, 0
                continue
            try:
                seen = [int(handle.value) for handle in data] if int(valid.value) else None
                taken = seen is not None and bool(int(ready.value))
            except ValueError:
                raise BenchError(self.unknown(prefix, beat, (valid, ready, *data))) from None
            if stalled is not None and seen != stalled:
                raise BenchError(f"{prefix}valid or its payload changed while ready was low")
            stalled = None if taken else seen
            self.taken += taken
            beat = 0 if taken and seen[-1] else beat + taken

    async def hang(self) -> None:
        """For ever: BenchError if nothing leaves the core for longer than any layer takes."""
        tiles = self.core.weight_words // self.core.cols
        longest = 5000 + 3 * self.core.pixels * tiles
        idle = 0  # quarters of that
        while idle < 4:
            before = self.taken
            await ClockCycles(self.dut.clk_i, longest // 4)
            idle = idle + 1 if self.taken == before else 0
        raise BenchError(f"the core hangs: nothing has left it for {longest:,} cycles")

    def unknown(self, prefix: str, beat: int, handles: Sequence[ValueObjectBase]) -> str:
        """Where X or Z is: the first of `handles` that holds one; of a result, whose it is."""
        handle = next(handle for handle in handles if not handle.value.is_resolvable)
        words = f"X or Z on {handle._name}"
        if handle._name != "m_axis_tdata" or self.started is None:
            return f"{words}: {handle.value}" if len(handle) <= 32 else words
        width = 4 if self.started.mode == Mode.CODES else self.core.sum_width
        bit = next(i for i, bit in enumerate(reversed(str(handle.value))) if bit not in "01")
        tile = beat // (self.started.images * math.prod(self.started.output_size))
        channel = tile * self.core.cols + bit // width
        return f"{words}: {beat_words(beat, self.started)}, channel {channel}, {self.started}"

    async def reset(self, duration: int = 2) -> None:
        """Some cycles of reset; what the streams had still to send is dropped."""
        for source in self.sources.values():
            source.clear()
        self.dut.rst_i.value = 1
        await ClockCycles(self.dut.clk_i, duration)
        self.dut.rst_i.value = 0
        await RisingEdge(self.dut.clk_i)
        self.sink.clear()

    def disturb(self, rng: np.random.Generator) -> None:
        """From now on each of the nine AXI channels pauses at random, some often, some rarely."""
        for channel in self.channels:
            pauses = itertools.cycle((rng.random(997) < rng.choice((0.1, 0.5, 0.8))).tolist())
            channel.set_pause_generator(pauses)

    async def block_now_and_then(self, rng: np.random.Generator) -> None:
        """For ever: the sink takes nothing for long, then all that comes for a while."""
        self.sink.clear_pause_generator()
        while True:
            for pause in (True, False):
                self.sink.pause = pause
                await ClockCycles(self.dut.clk_i, int(rng.integers(1, 150)))

    def calm(self) -> None:
        """No pauses any more."""
        for channel in self.channels:
            channel.clear_pause_generator()
            channel.pause = False

    async def write(self, register: Register, **fields: int) -> AxiResp:
        """Write a register; fields that are not named become 0."""
        word = register.pack(**fields).to_bytes(4, "little")
        return (await self.registers.write(register.address, word)).resp

    async def read(self, register: Register) -> dict[str, int]:
        """The fields of a register."""
        answer = await self.registers.read(register.address, 4)
        assert answer.resp == AxiResp.OKAY
        return register.unpack(int.from_bytes(answer.data, "little"))

    async def configure(self, layer: Layer, **keep: int) -> None:
        """Write the layer's registers; keep_acts=1, … keep packets for the layer after it."""
        self.configured = layer
        inputs, outputs = layer.tiles(self.core)
        await self.write(registers.MAP, height=layer.height, width=layer.width)
        await self.write(
            registers.KERNEL, size=layer.kernel, stride=layer.stride, padding=layer.padding
        )
        await self.write(registers.TILES, input=inputs, output=outputs)
        await self.write(registers.IMAGES, count=layer.images)
        await self.write(registers.OUTPUT, mode=layer.mode, **keep)

    def send(self, stream: str, vectors: np.ndarray) -> None:
        """Queue a packet: int [beats, lanes] on the stream "act", "weight" or "threshold"."""
        width = self.core.sum_width if stream == "threshold" else 4
        size = vectors.shape[1] * width // 8
        data = b"".join(word.to_bytes(size, "little") for word in pack(vectors, width))
        self.sources[stream].send_nowait(AxiStreamFrame(data))

    def load(self, codes=None, weights=None, thresholds=None) -> None:
        """Queue the packets of a layer: [N, C_in, H, W], [C_out, C_in, k, k], [C_out, 16]."""
        if codes is not None:
            self.send("act", act_vectors(np.asarray(codes), self.core))
        if weights is not None:
            self.send("weight", weight_vectors(np.asarray(weights), self.core))
        if thresholds is not None:
            self.send("threshold", threshold_vectors(np.asarray(thresholds), self.core))

    async def loaded(self) -> None:
        """Wait until all that was queued has been taken."""
        for source in self.sources.values():
            await source.wait()
        await ClockCycles(self.dut.clk_i, 3)

    async def start(self) -> AxiResp:
        """Write CONTROL.start. Afterwards the interrupt is the new layer's."""
        self.started = self.configured
        answer = await self.write(registers.CONTROL, start=1)
        await ClockCycles(self.dut.clk_i, 2)
        return answer

    async def interrupt(self) -> None:
        """Wait for the interrupt."""
        while not int(self.dut.interrupt_o.value):
            await RisingEdge(self.dut.interrupt_o)

    async def finish(self, layer: Layer, expected: np.ndarray | None = None) -> np.ndarray:
        """Wait for the end of a layer; its results, int64 [N, C_out, H', W'].

        Raises BenchError if the core reports an error, or sends too little or too much; where that
        begins, it says by what was `expected`.
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
        """The packet that has come, as `finish` returns and refuses it; `more` may follow."""
        if self.sink.empty():
            raise BenchError(f"missing output: the core is done, but no packet came, {layer}")
        data = bytes(self.sink.recv_nowait(compact=True).tdata)
        if not more and not self.sink.empty():
            raise BenchError(f"extra output: more than one packet came, {layer}")
        width = 4 if layer.mode == Mode.CODES else self.core.sum_width
        size = self.core.cols * width // 8
        beats = [int.from_bytes(data[i : i + size], "little") for i in range(0, len(data), size)]
        vectors = unpack(beats, self.core.cols, width)
        if layer.mode == Mode.CODES:
            vectors %= 16  # unsigned
        pixels = layer.images * layer.output_size[0] * layer.output_size[1]
        needed = layer.tiles(self.core)[1] * pixels
        if len(data) != needed * size:
            kind = "missing" if len(data) < needed * size else "extra"
            words = f"{kind} output: {len(data)} bytes came, expected {needed * size}, {layer}"
            if expected is not None:
                wanted = result_vectors(expected, self.core)
                same = min(len(vectors), needed)
                real = result_vectors(np.ones_like(expected), self.core) == 1  # channels that exist
                wrong = np.flatnonzero(((vectors[:same] != wanted[:same]) & real[:same]).any(1))
                beat = int(wrong[0]) if len(wrong) else same
                after = "after the last" if beat == needed else beat_words(beat, layer)
                words += f"; it begins at beat {beat}: {after}"
            raise BenchError(words)
        return results(vectors, layer)

    async def run(self, layer: Layer, codes, weights, thresholds=None) -> np.ndarray:
        """Load, configure, start and finish a layer, all of them as early as possible."""
        self.load(codes, weights, thresholds)
        await self.configure(layer)
        await self.start()
        return await self.finish(layer)

    async def idle(self) -> Error:
        """Wait until no layer runs or waits; the error code."""
        while (status := await self.read(registers.STATUS))["busy"]:
            pass
        return Error(status["error"])

    async def cycles(self) -> int:
        """The register CYCLES."""
        return (await self.read(registers.CYCLES))["count"]

    async def quiet(self, cycles: int = 60) -> None:
        """Raise BenchError if anything leaves the core within so many cycles."""
        await ClockCycles(self.dut.clk_i, cycles)
        if not self.sink.empty() or self.sink.active:
            raise BenchError("extra output: nothing is running")


async def started(dut) -> CoreBench:
    """The bench after reset, the accumulator cleared."""
    bench = CoreBench(dut)
    await bench.reset()
    await ClockCycles(dut.clk_i, bench.core.pixels + 5)
    return bench


async def check_layer(bench: CoreBench, layer: Layer, data) -> np.ndarray:
    """Load, run and compare a layer, nothing stalling it; its cycles are those of the model."""
    expected = reference(layer, *data)
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


def reference(layer: Layer, codes, weights, table=None) -> np.ndarray:
    """What the core must send, int64 [N, C_out, H', W'], from PyTorch's convolution."""
    sums = integer_convolution(
        torch.as_tensor(codes), torch.as_tensor(weights), layer.stride, layer.padding
    )
    if layer.mode == Mode.RELU:
        sums = sums.relu()
    if layer.mode == Mode.CODES:
        sums = requantise(sums, table)
    return sums.numpy()


def random_layer(rng: np.random.Generator, core: Core) -> Layer:
    """Any layer that the core takes, mostly small."""
    while True:
        kernel = int(rng.choice([1, 2, 3, 3, 3, 4, 5, 6, 7]))
        height, width = (int(n) for n in rng.integers(1, rng.choice([3, 6, 12]) + 1, 2))
        layer = Layer(
            height,
            width,
            int(rng.integers(1, rng.choice([1, 2, 4]) * core.rows + 1)),
            int(rng.integers(1, rng.choice([1, 2, 3]) * core.cols + 1)),
            kernel,
            int(rng.integers(1, 3)),
            int(rng.integers(0, min(4, kernel))),
            int(rng.choice([1, 1, 2, 3, 8])),
            Mode(int(rng.integers(3))),
        )
        if check(layer, core) == Error.NONE and cycles(layer, core) < 2500:
            return layer


def random_data(layer: Layer, rng: np.random.Generator) -> list[np.ndarray | None]:
    """Codes, weights and, for mode CODES, thresholds; many of them extremes."""

    def biased(shape, low, high):
        values = rng.integers(low, high + 1, shape)
        return np.where(
            rng.random(shape) < rng.choice([0.1, 0.9]), rng.choice([low, high], shape), values
        )

    codes = biased((layer.images, layer.in_channels, layer.height, layer.width), 0, 15)
    shape = (layer.out_channels, layer.in_channels, layer.kernel, layer.kernel)
    weights = biased(shape, -8, 7)
    if layer.mode != Mode.CODES:
        return [codes, weights, None]
    sums = reference(replace(layer, mode=Mode.SUMS), codes, weights)
    # Thresholds where the sums are, many of them equal to one.
    table = np.sort(rng.choice(sums.reshape(-1), (layer.out_channels, 16)), 1)
    table[:, 0] = rng.integers(0, 2, layer.out_channels)
    table[:, 1:] = np.where(table[:, :1] == 1, ~table[:, :0:-1], table[:, 1:])
    return [codes, weights, table]
