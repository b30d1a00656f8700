"""The core is right in every state: all kernels, strides and paddings, stalls, resets, and more.

Each test brings the core into certain states; tb/components/cover_points.py counts them.
"""

import itertools
import math
from dataclasses import replace

import cocotb
import numpy as np
from cocotb.triggers import ClockCycles, FallingEdge
from cocotb.utils import get_sim_time
from cocotbext.axi import AxiResp
from cocotbext.axi.axil_channels import (
    AxiLiteARTransaction,
    AxiLiteAWTransaction,
    AxiLiteWTransaction,
)

from pymodel.hardware import registers
from pymodel.hardware.core import TABLE_MODES, Layer, check
from pymodel.hardware.cycles import cycles
from pymodel.hardware.registers import Error, Mode
from tb.components import cover_points
from tb.components.axi_driver import check_layer, started
from tb.components.core_situations import load, shapes, short_test, tiled, until
from tb.components.random_layers import random_data, random_layer
from tb.components.random_tiles import random_generator
from tb.modules.pytest_runs import each_run
from tb.sim.waves import CLOCK_PERIOD_NS


@short_test
async def every_kernel_stride_and_padding(dut):
    """Each layer runs on the smallest map that it fits, or a larger one, in the model's cycles."""
    bench = await started(dut)
    rng = random_generator()
    rows, cols = bench.core.rows, bench.core.cols
    for number, (kernel, stride, padding) in enumerate(cover_points.LAYERS):
        least = max(kernel - 2 * padding, 1)
        height, width = least + number % 2, least + number % 3
        mode = bench.core.modes[number % len(bench.core.modes)]
        layer = Layer(height, width, rows, cols, kernel, stride, padding, mode=mode)
        await check_layer(bench, layer, random_data(layer, rng, bench.core))
    await bench.quiet()


@short_test
async def memories_to_the_last_word(dut):
    """A layer fills each memory to its last word, and has as many output tiles as there can be.

    Before it come packets that are a word shorter, in both banks, all of which are dropped.
    """
    bench = await started(dut)
    rng = random_generator()
    core = bench.core
    side, shorter = math.isqrt(core.pixels), math.isqrt(core.act_words // 15)
    inputs = core.weight_words // (core.cols * core.threshold_tiles)
    outputs = min(core.weight_words // core.cols, 255)
    for _ in range(2):
        bench.send("act", np.ones((core.act_words - 1, core.rows), int))
        bench.send("weight", np.ones((core.weight_words - 1, core.rows), int))
        bench.send("threshold", np.ones((16 * core.threshold_tiles - 1, core.cols), int))
    await bench.loaded()
    await bench.configure(tiled(core, (1, 2)))
    for _ in range(2):
        await bench.start()
        assert await bench.idle() == Error.PACKET_LENGTH
    for layer in (
        Layer(side, side, core.act_words // side**2 * core.rows, core.cols),
        Layer(shorter, shorter, 15 * core.rows, core.cols),
        Layer(1, 1, inputs * core.rows, core.threshold_tiles * core.cols, mode=Mode.CODES),
        Layer(1, 1, core.rows, outputs * core.cols),
    ):
        layer = replace(layer, kernel=1, padding=0)
        await check_layer(bench, layer, random_data(layer, rng, bench.core))
    await bench.quiet()


@short_test
async def any_words_in_the_registers(dut):
    """Layers with random words in some registers are refused as the definition says, or run."""
    bench = await started(dut)
    rng = random_generator()
    core = bench.core
    widths = {
        "height": 16,
        "width": 16,
        "in_channels": 16,
        "out_channels": 16,
        "kernel": 8,
        "stride": 8,
        "padding": 8,
        "images": 32,
        "mode": 2,
    }
    units = {"in_channels": core.rows, "out_channels": core.cols}  # registers count tiles
    found = set()
    for _ in range(120):
        layer = random_layer(rng, core)
        for name in rng.choice([*widths], rng.choice([1, 1, 2, 9]), replace=False).tolist():
            # Numbers of all sizes alike, and zeros and all ones
            ones = 2 ** widths[name] - 1
            some = rng.integers(2 ** rng.integers(1, widths[name] + 1))
            value = int(rng.choice([some, some, 0, ones])) * units.get(name, 1)
            layer = replace(layer, **{name: value})
        await bench.configure(layer, keep_acts=int(rng.integers(2)))
        assert (await bench.read(registers.MAP))["width"] == layer.width
        assert (await bench.read(registers.IMAGES))["count"] == layer.images
        found.add(error := check(layer, core))
        if error:
            await bench.start()
            assert await bench.idle() == error, layer
    assert {Error.SIZE, Error.KERNEL, Error.STRIDE, Error.PADDING, Error.MODE} < found
    await bench.write(registers.CONTROL, clear=1)
    await bench.quiet()


@short_test
async def any_address_and_privilege(dut):
    """Two low address bits and protection bits do not count; without a register comes SLVERR."""
    bench = await started(dut)
    write_if, read_if = bench.registers.write_if, bench.registers.read_if
    word = 0x1234_5678
    for low, prot in itertools.product(range(4), range(8)):
        for address, answer in (
            (registers.MAP.address, AxiResp.OKAY),
            (registers.SUM.address, AxiResp.SLVERR),
            (0x7C, AxiResp.SLVERR),
        ):
            sent = AxiLiteAWTransaction(awaddr=address + low, awprot=prot)
            await write_if.aw_channel.send(sent)
            await write_if.w_channel.send(AxiLiteWTransaction(wdata=word, wstrb=15))
            assert (await write_if.b_channel.recv()).bresp == answer
        for address, answer in (
            (registers.MAP.address, (word, AxiResp.OKAY)),
            (0x7C, (0, AxiResp.SLVERR)),
            (registers.SUM.address, (bench.core.sum_width, AxiResp.OKAY)),
        ):
            await read_if.ar_channel.send(AxiLiteARTransaction(araddr=address + low, arprot=prot))
            got = await read_if.r_channel.recv()
            assert (int(got.rdata), got.rresp) == answer
        word ^= 0xFFFF_FFFF
    await bench.quiet()


@short_test
async def stalls_in_every_state(dut):
    """Layers are right while streams wait, streams are late, the output is slow, answers wait.

    Each stream gets three packets, of which two fill the banks and the third waits; in a mode
    without codes nobody needs the thresholds. Each stream that is needed is the last one once.
    """
    bench = await started(dut)
    rng = random_generator()
    channels = (bench.registers.write_if.b_channel, bench.registers.read_if.r_channel)

    def answers(held: bool) -> None:
        for channel in channels:
            channel.pause = held

    cases = [
        case
        for case in itertools.product(bench.core.modes, range(2), cover_points.STREAMS)
        if case[0] in TABLE_MODES or case[2] != "threshold"
    ]
    for mode, short, late in cases:
        layer = shapes(bench.core, mode)[short]
        data = random_data(layer, rng, bench.core)
        spare = np.zeros((layer.out_channels, 16), int)
        packets = data if mode in TABLE_MODES else (*data[:2], spare)
        load(bench, packets, 3, {*cover_points.STREAMS} - {late})
        await ClockCycles(dut.clk_i, 220)  # the banks are full
        await bench.configure(layer)
        # A write and a read whose answers stay while the registers settle and the core is idle
        answers(held=True)
        word = registers.IMAGES.pack(count=layer.images).to_bytes(4, "little")
        write = bench.registers.init_write(registers.IMAGES.address, word)
        read = bench.registers.init_read(registers.STATUS.address, 4)
        await ClockCycles(dut.clk_i, 30)
        assert (write.is_set(), read.is_set()) == (False, False)
        answers(held=False)
        await write.wait()
        await read.wait()
        # A start whose answer stays until the layer is done, as does that of a read
        answers(held=True)
        word = registers.CONTROL.pack(start=1).to_bytes(4, "little")
        write = bench.registers.init_write(registers.CONTROL.address, word)
        read = bench.registers.init_read(registers.STATUS.address, 4)
        bench.sink.pause = True
        await ClockCycles(dut.clk_i, 40)
        load(bench, packets, 3, {late})
        await ClockCycles(dut.clk_i, cycles(layer, bench.core) + 100)
        assert not int(dut.interrupt_o.value)
        bench.sink.pause = False
        while not int(dut.interrupt_o.value):
            await ClockCycles(dut.clk_i, 1)
        assert (write.is_set(), read.is_set()) == (False, False)
        answers(held=False)
        await write.wait()
        await read.wait()
        bench.compare(layer, data, await bench.finish(layer))
        for _ in range(2):  # the packets that waited
            await bench.start()
            bench.compare(layer, data, await bench.finish(layer))
        await bench.reset()  # the thresholds may still be there
        await ClockCycles(dut.clk_i, bench.core.pixels)
    await bench.quiet()


@short_test
async def stalls_are_counted(dut):
    """STALLS counts each cycle without packets or a place in the FIFO, with a sink at random."""
    bench = await started(dut)
    rng = random_generator()
    counted = 0

    async def count() -> None:
        nonlocal counted
        while True:
            await FallingEdge(dut.clk_i)
            state = cover_points.core_state(dut)
            waits = state == "wait" or int(dut.control.accept.value)
            counted += state == "blocked" or (waits and not int(dut.run.value))

    cocotb.start_soon(count())
    for mode, often in itertools.product(bench.core.modes, (0.1, 0.5, 0.8)):
        layer = shapes(bench.core, mode)[0]
        data = random_data(layer, rng, bench.core)
        await bench.configure(layer)
        counted = 0
        bench.sink.set_pause_generator(itertools.cycle((rng.random(97) < often).tolist()))
        await bench.start()
        await ClockCycles(dut.clk_i, int(rng.integers(30)))
        bench.load(*data)
        bench.compare(layer, data, await bench.finish(layer))
        stalls = (await bench.read(registers.STALLS))["count"]
        assert stalls == counted, f"STALLS is {stalls}, expected {counted}, {layer}"
        bench.calm()
    await bench.quiet()


@short_test
async def an_error_is_told_in_every_state(dut):
    """The interrupt of a start that is refused stays in every state until the error is cleared."""
    bench = await started(dut)
    rng = random_generator()
    for layer in shapes(bench.core):
        data = random_data(layer, rng, bench.core)
        await bench.configure(layer)
        await bench.start()  # it waits for its packets
        await bench.start()
        assert (await bench.read(registers.STATUS))["error"] == Error.START_WHILE_BUSY
        states = set()
        bench.sink.pause = True
        bench.load(*data)
        enough = cycles(layer, bench.core) + 100
        for cycle in range(2 * enough):
            await FallingEdge(dut.clk_i)
            states.add(cover_points.core_state(dut))
            assert int(dut.interrupt_o.value), cover_points.core_state(dut)
            bench.sink.pause = cycle < enough
        assert states >= {"wait", "load", "walk", "finish", "idle"}
        assert ("blocked" in states) == (layer == shapes(bench.core)[0])
        bench.compare(layer, data, bench.received(layer))
        await bench.write(registers.CONTROL, clear=1)
        await ClockCycles(dut.clk_i, 2)
        assert not int(dut.interrupt_o.value)
    await bench.quiet()


@short_test
async def reset_in_every_state(dut):
    """After a reset in any state, with anything pending in the core, the next layer is right."""
    bench = await started(dut)
    rng = random_generator()

    def state(name: str):
        return lambda: cover_points.core_state(dut) == name

    def bank(stream: str, name: str):
        return lambda: cover_points.bank_state(dut, stream) == name

    def thing(name: str):
        return lambda: cover_points.pending(dut)[name]

    conditions = {
        **{name: state(name) for name in cover_points.STATES},
        **{
            f"{s} {name}": bank(s, name)
            for s in cover_points.STREAMS
            for name in cover_points.BANKS
        },
        **{name: thing(name) for name in cover_points.pending(dut)},
    }
    assert list(conditions) == cover_points.RESETS
    for name, condition in conditions.items():
        layer = shapes(bench.core)[name in ("load", "drain")]
        data = random_data(layer, rng, bench.core)
        start = name in (*cover_points.RUNNING, "wait", "result pending")
        bench.sink.pause = name in ("blocked", "result pending")
        bench.registers.write_if.b_channel.pause = name == "write answer pending"
        bench.registers.read_if.r_channel.pause = name == "read answer pending"
        if name == "accumulator cleared":
            await bench.reset()
        elif start:
            load(bench, data, 1, {"act"} if name == "wait" else cover_points.STREAMS)
        elif name.split()[0] in cover_points.STREAMS and not name.endswith("empty"):
            load(bench, data, 2, {name.split()[0]})
        if start or name in ("settle", "idle"):
            await bench.configure(layer)
        if start:
            word = registers.CONTROL.pack(start=1).to_bytes(4, "little")
            bench.registers.init_write(registers.CONTROL.address, word)
        if name.endswith("answer pending"):
            bench.registers.init_write(registers.IMAGES.address, bytes(4))
            bench.registers.init_read(registers.STATUS.address, 4)
        await until(dut, condition)
        await bench.reset()
        bench.calm()
        assert not int(dut.interrupt_o.value)
        assert not any((await bench.read(registers.STATUS)).values())
        bench.compare(layer, data, await bench.run(layer, *data))
    await bench.quiet()


@short_test
async def one_cycle_of_reset(dut):
    """One cycle of reset clears every pixel between the memories and the FIFO, wherever it is."""
    bench = await started(dut)
    rng = random_generator()
    # With one tap every pixel is finished; the layer takes longer than a pixel is under way.
    layer = Layer(6, 6, bench.core.rows, bench.core.cols, 1, padding=0)
    way = 2 * (bench.core.rows + bench.core.cols) + 20
    for moment in range(way):
        await ClockCycles(dut.clk_i, bench.core.pixels)  # or the accumulator would not be ready
        bench.load(*random_data(layer, rng, bench.core))
        await bench.loaded()
        await bench.configure(layer)
        await bench.start()
        await ClockCycles(dut.clk_i, moment)
        await bench.reset(1)
        await bench.quiet()
    data = random_data(layer, rng, bench.core)
    bench.compare(layer, data, await bench.run(layer, *data))
    await bench.quiet()


@short_test
async def layers_back_to_back(dut):
    """Every mode follows every mode; the next layer's packets and registers come meanwhile."""
    bench = await started(dut)
    rng = random_generator()
    every = bench.core.modes
    modes = [
        mode
        for number, first in enumerate(every)
        for mode in (first, *(m for later in every[number + 1 :] for m in (first, later)))
    ]
    modes.append(every[0])
    assert len(set(itertools.pairwise(modes))) == len(modes) - 1 == len(every) ** 2
    layers = [tiled(bench.core, (2, 3), mode=mode) for mode in modes]
    batches = [random_data(layer, rng, bench.core) for layer in layers]
    bench.load(*batches[0])
    await bench.loaded()
    await bench.configure(layers[0])
    began = get_sim_time("ns")
    for number, (layer, data) in enumerate(zip(layers, batches, strict=True)):
        await bench.start()
        if number + 1 < len(layers):
            bench.load(*batches[number + 1])
            await bench.configure(layers[number + 1])
        bench.compare(layer, data, await bench.finish(layer))
    taken = (bench.ended - began) / CLOCK_PERIOD_NS
    assert taken <= sum(cycles(layer, bench.core) + cover_points.NEXT for layer in layers)
    await bench.quiet()


@each_run("tb.test_core_states")
def test_core_states(run, simulator):
    run.on(simulator)
