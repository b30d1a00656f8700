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
from pymodel.hardware.core import Core, Layer, check
from pymodel.hardware.cycles import cycles
from pymodel.hardware.registers import Error, Mode
from tb.components import cover_points
from tb.components.axi_driver import CoreDriver, check_layer, started
from tb.components.random_layers import random_data, random_layer, reference
from tb.components.random_tiles import random_generator
from tb.components.scoreboard import compare
from tb.modules.pytest_runs import each_run
from tb.sim.waves import CLOCK_PERIOD_NS

PATIENCE = 3000  # number of cycles within which every state occurs


def tiled(core: Core, side: tuple[int, int], **changes) -> Layer:
    """Returns a layer of two input and two output tiles, with a 1 × 1 kernel, in mode CODES."""
    layer = Layer(*side, 2 * core.rows, 2 * core.cols, 1, padding=0, mode=Mode.CODES)
    return replace(layer, **changes)


def short_test(function):
    """Returns a cocotb test that fails when the core hangs."""
    return cocotb.test(timeout_time=1, timeout_unit="ms")(function)


@short_test
async def every_kernel_stride_and_padding(dut):
    """Each layer runs on the smallest map that it fits, or a larger one, in the model's cycles."""
    bench = await started(dut)
    rng = random_generator()
    rows, cols = bench.core.rows, bench.core.cols
    for number, (kernel, stride, padding) in enumerate(cover_points.LAYERS):
        least = max(kernel - 2 * padding, 1)
        height, width = least + number % 2, least + number % 3
        layer = Layer(
            height, width, rows, cols, kernel, stride, padding, mode=Mode(number % len(Mode))
        )
        await check_layer(bench, layer, random_data(layer, rng))
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
        await check_layer(bench, layer, random_data(layer, rng))
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


def shapes(core: Core, mode: Mode = Mode.CODES) -> tuple[Layer, Layer]:
    """Returns a layer that the FIFO cannot hold, and one whose short tiles make the array wait."""
    short = tiled(core, (1, 2), in_channels=8 * core.rows, mode=mode)
    return tiled(core, (7, 7), mode=mode), short


async def until(dut, condition) -> None:
    """Waits until `condition()` holds where the clock falls; fails if that takes too long."""
    for _ in range(PATIENCE):
        await FallingEdge(dut.clk_i)
        if condition():
            return
    raise AssertionError(f"the core did not come into this state within {PATIENCE} cycles")


def load(bench: CoreDriver, data, times: int, streams=cover_points.STREAMS) -> None:
    """Queues the packets of a layer for `streams`, `times` times."""
    for _ in range(times):
        bench.load(
            *(
                part if s in streams else None
                for s, part in zip(cover_points.STREAMS, data, strict=True)
            )
        )


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
        for case in itertools.product(Mode, range(2), cover_points.STREAMS)
        if case[0] == Mode.CODES or case[2] != "threshold"
    ]
    for mode, short, late in cases:
        layer = shapes(bench.core, mode)[short]
        data = random_data(layer, rng)
        spare = np.zeros((layer.out_channels, 16), int)
        packets = data if mode == Mode.CODES else (*data[:2], spare)
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
        compare(reference(layer, *data), await bench.finish(layer), layer, bench.core)
        for _ in range(2):  # the packets that waited
            await bench.start()
            compare(reference(layer, *data), await bench.finish(layer), layer, bench.core)
        await bench.reset()  # the thresholds may still be there
        await ClockCycles(dut.clk_i, bench.core.pixels)
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
        data = random_data(layer, rng)
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
        compare(reference(layer, *data), await bench.run(layer, *data), layer, bench.core)
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
        bench.load(*random_data(layer, rng))
        await bench.loaded()
        await bench.configure(layer)
        await bench.start()
        await ClockCycles(dut.clk_i, moment)
        await bench.reset(1)
        await bench.quiet()
    data = random_data(layer, rng)
    compare(reference(layer, *data), await bench.run(layer, *data), layer, bench.core)
    await bench.quiet()


@short_test
async def layers_back_to_back(dut):
    """Every mode follows every mode; the next layer's packets and registers come meanwhile."""
    bench = await started(dut)
    rng = random_generator()
    modes = [Mode(n) for n in (0, 0, 1, 0, 2, 1, 1, 2, 2, 0)]
    assert len(set(itertools.pairwise(modes))) == len(Mode) ** 2
    layers = [tiled(bench.core, (2, 3), mode=mode) for mode in modes]
    batches = [random_data(layer, rng) for layer in layers]
    bench.load(*batches[0])
    await bench.loaded()
    await bench.configure(layers[0])
    began = get_sim_time("ns")
    for number, (layer, data) in enumerate(zip(layers, batches, strict=True)):
        await bench.start()
        if number + 1 < len(layers):
            bench.load(*batches[number + 1])
            await bench.configure(layers[number + 1])
        compare(reference(layer, *data), await bench.finish(layer), layer, bench.core)
    taken = (bench.ended - began) / CLOCK_PERIOD_NS
    assert taken <= sum(cycles(layer, bench.core) + cover_points.NEXT for layer in layers)
    await bench.quiet()


@short_test
async def packets_kept_in_every_combination(dut):
    """A kept packet serves the next layer, another one is replaced, in all eight combinations."""
    bench = await started(dut)
    rng = random_generator()
    layer = tiled(bench.core, (1, 2))
    data = random_data(layer, rng)
    bench.load(*data)
    for keep in itertools.product((0, 1), repeat=3):
        flags = {f"keep_{s}s": k for s, k in zip(cover_points.STREAMS, keep, strict=True)}
        await bench.configure(layer, **flags)
        await bench.start()
        compare(reference(layer, *data), await bench.finish(layer), layer, bench.core)
        fresh = random_data(layer, rng)
        bench.load(*(None if k else part for k, part in zip(keep, fresh, strict=True)))
        data = [old if k else new for k, old, new in zip(keep, data, fresh, strict=True)]
    await bench.configure(layer)
    await bench.start()
    compare(reference(layer, *data), await bench.finish(layer), layer, bench.core)
    await bench.quiet()


def send_wrong(bench: CoreDriver, layer: Layer, stream: str) -> None:
    """Queues a packet of a layer that has a beat too few."""
    inputs, outputs = layer.tiles(bench.core)
    beats = {"act": layer.height * layer.width * inputs, "weight": inputs * outputs}
    beats["weight"] *= bench.core.cols * layer.kernel**2
    beats["threshold"] = 16 * outputs
    lanes = bench.core.cols if stream == "threshold" else bench.core.rows
    bench.send(stream, np.ones((beats[stream] - 1, lanes), int))


@short_test
async def packets_right_and_wrong_in_any_order(dut):
    """A model of both banks of each stream says what a layer takes, drops, keeps and leaves.

    Layers of random keep flags meet packets that are right, wrong, missing or not needed, with the
    error of a layer before still set or not, and after a start of no images. In every mode each of
    the three packets is right, wrong or missing when the first layer after a reset starts; another
    layer follows at random.
    """
    bench = await started(dut)
    rng = random_generator()
    shape = tiled(bench.core, (1, 2))
    banks = {stream: [] for stream in cover_points.STREAMS}
    planned = [*itertools.product(Mode, itertools.product(("right", "wrong", "none"), repeat=3))]

    async def fill(stream: str, wrong: bool) -> None:
        data = dict(zip(cover_points.STREAMS, random_data(shape, rng), strict=True))
        if wrong:
            data[stream] = None
            send_wrong(bench, shape, stream)
        else:
            load(bench, [*data.values()], 1, {stream})
        banks[stream].append(data[stream])
        await bench.loaded()

    for number in range(2 * len(planned)):
        mode = Mode(int(rng.integers(len(Mode))))
        if number % 2 == 0:
            mode, packets = planned[number // 2]
            await bench.reset()
            await ClockCycles(dut.clk_i, bench.core.pixels)
            for stream, packet in zip(banks, packets, strict=True):
                banks[stream].clear()
                if packet != "none":
                    await fill(stream, packet == "wrong")
        for stream, bank in banks.items():
            while (number % 2 or bank) and len(bank) < 2 and rng.integers(2):
                await fill(stream, rng.integers(3) == 0)
        if rng.integers(3) == 0:
            await bench.write(registers.CONTROL, clear=1)
        if number % 2 and rng.integers(2):  # a refused start leaves packets and keep flags
            await bench.write(registers.IMAGES, count=0)
            await bench.write(registers.CONTROL, start=1, clear=1)
            assert await bench.idle() == check(replace(shape, images=0), bench.core)
            assert (await bench.read(registers.STATUS))["done"] == 0
            await bench.write(registers.IMAGES, count=1)
        layer = replace(shape, mode=mode)
        needed = [s for s in cover_points.STREAMS if s != "threshold" or layer.mode == Mode.CODES]
        keep = {stream: int(rng.integers(2)) for stream in cover_points.STREAMS}
        flags = {f"keep_{s}s": k for s, k in keep.items()}
        if number % 2:  # the other registers are as they were
            bench.configured = layer
            await bench.write(registers.OUTPUT, mode=mode, **flags)
        else:
            await bench.configure(layer, **flags)
        await bench.start()
        while True:
            wrong = [s for s in needed if banks[s] and banks[s][0] is None]
            missing = [s for s in needed if not banks[s]]
            if wrong or not missing:
                break
            status = await bench.read(registers.STATUS)
            assert (status["busy"], status["error"]) == (1, Error.NONE), status
            await fill(str(rng.choice(missing)), rng.integers(3) == 0)
        found = await bench.idle()
        assert found == (Error.PACKET_LENGTH if wrong else Error.NONE), (found, wrong)
        if wrong:
            assert bench.sink.empty()
            for stream in wrong:
                banks[stream].pop(0)
            continue
        data = [banks[s][0] if s in needed else None for s in cover_points.STREAMS]
        compare(reference(layer, *data), bench.received(layer), layer, bench.core)
        for stream in needed:
            if not keep[stream]:
                banks[stream].pop(0)
    await bench.write(registers.CONTROL, clear=1)
    await bench.quiet()


def both_full(dut, streams: set[str]) -> bool:
    """Returns whether both banks of each of these streams hold a packet."""
    return all(cover_points.bank_state(dut, stream) == "both full" for stream in streams)


async def meddle(bench: CoreDriver, mode: Mode, rng: np.random.Generator) -> None:
    """Writes what a layer that runs does not need, until cancelled: registers, clears and starts.

    A start that would come true is refused, for a layer of no images.
    """
    await bench.write(registers.IMAGES, count=0)
    while True:
        keep = {f"keep_{stream}s": 1 for stream in cover_points.STREAMS}
        await bench.write(registers.OUTPUT, mode=(mode + 1) % len(Mode), **keep)
        await bench.write(registers.CONTROL, clear=1)
        await bench.write(registers.CONTROL, start=1)
        await ClockCycles(bench.dut.clk_i, int(rng.integers(1, 6)))


@short_test
async def what_is_not_needed_changes_nothing(dut):
    """Packets, registers, keep flags, clears and starts that no layer needs come in every state.

    Thresholds that a mode does not need have the layer's length, or one word less. The layer, and
    the one after it, whose packets wait, are right in every mode.
    """
    bench = await started(dut)
    rng = random_generator()
    for mode, (late, missing) in itertools.product(Mode, (("act", 0), ("weight", 1))):
        for layer in shapes(bench.core, mode):
            batches = [random_data(layer, rng) for _ in range(2)]
            there = {*cover_points.STREAMS} - {late}
            for data in batches:
                load(bench, data, 1, there)
                if mode != Mode.CODES:
                    count = 16 * layer.tiles(bench.core)[1] - missing
                    bench.send("threshold", np.ones((count, bench.core.cols), int))
            await until(dut, lambda there=there: both_full(dut, there))
            await bench.write(registers.CONTROL, clear=1)
            await bench.configure(layer)
            await bench.start()
            meddling = cocotb.start_soon(meddle(bench, mode, rng))
            await ClockCycles(dut.clk_i, 60)
            bench.sink.pause = True
            for data in batches:
                load(bench, data, 1, {late})
            await ClockCycles(dut.clk_i, cycles(layer, bench.core) + 100)
            bench.sink.pause = False
            await until(dut, lambda: not bench.sink.empty())
            meddling.cancel()
            await ClockCycles(dut.clk_i, 20)
            compare(reference(layer, *batches[0]), bench.received(layer), layer, bench.core)
            await bench.configure(layer)
            await bench.start()
            compare(reference(layer, *batches[1]), await bench.finish(layer), layer, bench.core)
            await bench.write(registers.CONTROL, clear=1)
            await bench.reset()
            await ClockCycles(dut.clk_i, bench.core.pixels)
    await bench.quiet()


@each_run("tb.test_core_states")
def test_core_states(run, simulator):
    run.on(simulator)
