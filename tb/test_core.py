"""Tests the core on its AXI interfaces: shapes, stalls, kept packets, misuse and reset."""

import itertools
from collections import Counter
from dataclasses import replace

import cocotb
import numpy as np
from cocotb.triggers import ClockCycles, ReadOnly, RisingEdge
from cocotb.utils import get_sim_time
from cocotbext.axi import AxiResp

from pymodel.hardware import registers
from pymodel.hardware.core import Core, Layer, check, packet_lengths
from pymodel.hardware.cycles import cycles, limit_cycles
from pymodel.hardware.registers import Error, Mode
from tb.components.axi_driver import STREAMS, CoreDriver, check_layer, started
from tb.components.random_layers import random_data, random_layer
from tb.components.random_tiles import random_generator
from tb.modules.pytest_runs import each_run
from tb.sim.waves import CLOCK_PERIOD_NS


@cocotb.test()
async def shapes_that_networks_have(dut):
    """The core runs kernels of 1 to 7, stride 2, a linear layer, odd channels and over-padding."""
    bench = await started(dut)
    rng = random_generator()
    rows, cols = bench.core.rows, bench.core.cols
    for layer in (
        Layer(4, 4, rows, cols, images=2),
        Layer(1, 1, 3 * rows, 2 * cols, kernel=1, padding=0, images=9),
        Layer(5, 4, rows + 1, cols - 1, kernel=1, padding=0),
        Layer(5, 5, rows, cols, kernel=5, padding=2),
        Layer(5, 3, rows, cols, stride=2, kernel=3),
        Layer(4, 4, rows, 1, kernel=3, padding=2),
        Layer(1, 1, rows, cols, kernel=3, padding=1),
        Layer(1, 2, 1, cols, kernel=3, padding=2, stride=2),
        Layer(1, 40, 1, cols),
        Layer(40, 1, rows, 1),
    ):
        for mode in bench.core.modes:
            chosen = replace(layer, mode=mode)
            await check_layer(bench, chosen, random_data(chosen, rng, bench.core))
    await bench.quiet()


@cocotb.test()
async def pooled_codes(dut):
    """Layers whose codes are pooled take the cycles of those that are not, whatever their shape."""
    bench = await started(dut)
    rng = random_generator()
    core = bench.core
    rows, cols = core.rows, core.cols
    for layer in (
        Layer(2, 2, rows, cols),
        Layer(4, 2, 2 * rows, 2 * cols, images=3),
        Layer(2, max(core.pool_width, 2), 1, cols, kernel=1, padding=0),
        Layer(6, 4, rows, cols + 1, kernel=3, padding=1),
        Layer(5, 7, rows, cols, kernel=2, padding=0),
        Layer(7, 8, rows, 2 * cols, kernel=3, stride=2),
        Layer(2, 2, rows, cols, kernel=3, padding=2),
    ):
        chosen = replace(layer, mode=Mode.CODES, pool=1)
        if core.pool_width:
            data = random_data(chosen, rng, core)
            await check_layer(bench, chosen, data)
            await check_layer(bench, replace(chosen, pool=0), data)
        else:
            assert check(chosen, core) == Error.POOLING
    await bench.quiet()


@cocotb.test()
async def pooled_codes_wait_for_the_output(dut):
    """A pooled layer stalls when its beats fill the FIFO, and no sooner; none is lost."""
    bench = await started(dut)
    core, rng = bench.core, random_generator()
    width = min(core.pool_width, 8)
    height = core.pixels // max(width, 1) // 2 * 2
    tiles = min(core.threshold_tiles, 2)
    layer = Layer(height, width, core.rows, tiles * core.cols, 1, padding=0, mode=Mode.CODES)
    if core.pool_width and core.pixels < 1024:
        for pause, more in ((300, 0), (40, 5)):
            data = random_data(replace(layer, pool=1), rng, core)
            bench.load(*data)
            await bench.loaded()
            await bench.configure(replace(layer, pool=1))
            bench.sink.pause = True
            await bench.start()
            await ClockCycles(dut.clk_i, cycles(layer, core) + pause)
            places = 1 << (core.latency + 1).bit_length()  # number of places in the FIFO
            stalls = (await bench.read(registers.STALLS))["count"]
            beats = tiles * height * width // 4
            assert beats > places
            assert stalls > 0
            bench.sink.pause = False
            await ClockCycles(dut.clk_i, more)
            bench.compare(replace(layer, pool=1), data, await bench.finish(replace(layer, pool=1)))
        few = replace(layer, height=4, width=4, pool=1)  # fewer beats than places, but more pixels
        data = random_data(few, rng, core)
        bench.load(*data)
        await bench.loaded()
        await bench.configure(few)
        bench.sink.pause = True
        await bench.start()
        await ClockCycles(dut.clk_i, cycles(few, core) + 100)
        assert (await bench.read(registers.STALLS))["count"] == 0
        bench.sink.pause = False
        bench.compare(few, data, await bench.finish(few))
    await bench.quiet()


@cocotb.test()
async def only_taps_inside_the_map_are_streamed(dut):
    """Only taps inside the map are streamed, also by layers padded by half their kernel or more."""
    bench = await started(dut)
    rng = random_generator()
    rows, cols = bench.core.rows, bench.core.cols
    for layer in (
        Layer(4, 3, 2 * rows, 2 * cols, kernel=1, padding=0),
        Layer(4, 4, rows, cols, images=2),
        Layer(3, 4, 2 * rows, cols, kernel=3, padding=2),
        Layer(2, 2, rows, 2 * cols, kernel=2, padding=1, images=2),
        Layer(2, 3, rows, cols, kernel=5, padding=3, stride=2),
    ):
        streamed = Counter()
        counting = cocotb.start_soon(count_activations(dut, streamed))
        await check_layer(bench, layer, random_data(layer, rng, bench.core))
        counting.cancel()
        assert streamed["activations"] == limit_cycles(layer, bench.core), layer


async def count_activations(dut, streamed: Counter) -> None:
    """Counts the activation vectors that enter the array."""
    while True:
        await ReadOnly()
        streamed["activations"] += int(dut.array.act_valid_i.value)
        await RisingEdge(dut.clk_i)


@cocotb.test()
async def largest_sums_are_exact(dut):
    """The outermost activations and weights fill as many channels as the memories hold."""
    bench = await started(dut)
    core = bench.core
    tiles = min(core.weight_words // core.cols, core.act_words, 255)
    tiles = min(tiles, (2 ** (core.sum_width - 1) - 2) // core.max_psum)
    layer = Layer(1, 1, tiles * core.rows, core.cols, kernel=1, padding=0)
    for code, weight in itertools.product(core.act_range, core.weight_range):
        codes = np.full((1, layer.in_channels, 1, 1), code)
        weights = np.full((core.cols, layer.in_channels, 1, 1), weight)
        await check_layer(bench, layer, (codes, weights, None))


@cocotb.test()
async def next_batch_loads_while_one_runs(dut):
    """The second batch's packets and registers are sent while the first batch runs.

    Both have the squeezed shape. On the 8×8 core the two batches take at most 2 % more cycles than
    streaming the taps alone would take.
    """
    bench = await started(dut)
    core, rng = bench.core, random_generator()
    layer = Layer(
        4, 4, core.rows, core.cols, images=min(32, core.pixels // 16, core.act_words // 16)
    )
    batches = [random_data(layer, rng, bench.core) for _ in range(2)]
    bench.load(*batches[0])
    await bench.loaded()
    await bench.configure(layer)
    began = get_sim_time("ns")
    await bench.start()
    bench.load(*batches[1])
    await bench.configure(layer)
    await bench.interrupt()
    bench.compare(layer, batches[0], bench.received(layer))
    await bench.start()
    bench.compare(layer, batches[1], await bench.finish(layer))
    taken = (bench.ended - began) / CLOCK_PERIOD_NS
    assert taken <= 2 * cycles(layer, core) + 17, "cycles lost between two layers"
    if core == Core():
        assert taken <= 1.02 * 2 * limit_cycles(layer, core)


@cocotb.test()
async def kept_packets_serve_again(dut):
    """The same activations run with other weights, then other activations with the same weights."""
    bench = await started(dut)
    rng = random_generator()
    layer = Layer(3, 3, bench.core.rows, bench.core.cols, mode=Mode.CODES)
    (codes, weights, table), (codes_2, weights_2, _) = (
        random_data(layer, rng, bench.core) for _ in range(2)
    )
    bench.load(codes, weights, table)
    await bench.configure(layer, keep_acts=1, keep_thresholds=1)
    await bench.start()
    bench.compare(layer, (codes, weights, table), await bench.finish(layer))
    bench.load(None, weights_2)
    await bench.configure(layer, keep_weights=1, keep_thresholds=1)
    await bench.start()
    bench.compare(layer, (codes, weights_2, table), await bench.finish(layer))
    bench.load(codes_2)
    await bench.configure(layer)
    await bench.start()
    bench.compare(layer, (codes_2, weights_2, table), await bench.finish(layer))


@cocotb.test()
async def slow_input_only_delays(dut):
    """A layer that is started before its packets have come waits, and counts that as stalls."""
    bench = await started(dut)
    layer = Layer(3, 3, bench.core.rows, bench.core.cols, mode=Mode.CODES)
    data = random_data(layer, random_generator(), bench.core)
    await bench.configure(layer)
    await bench.start()
    for part in ((data[0], None, None), (None, data[1], None), (None, None, data[2])):
        await ClockCycles(dut.clk_i, 100)
        bench.load(*part)
    bench.compare(layer, data, await bench.finish(layer))
    stalls = (await bench.read(registers.STALLS))["count"]
    assert stalls > 300
    assert await bench.cycles() == cycles(layer, bench.core) + stalls


@cocotb.test()
async def blocked_output_stalls_and_loses_nothing(dut):
    """While the sink takes nothing for long, the core waits with all its results.

    The FIFO fills in the middle of a tile, with the tile's last pixel, and before the first.
    """
    bench = await started(dut)
    core, rng = bench.core, random_generator()
    places = 1 << (core.latency + 1).bit_length()  # number of places in the FIFO
    for side, images, kernel in ((7, 1, 1), (4, 1, 1), (4, 2, 1), (2, 2, 1), (4, 1, 3), (2, 1, 1)):
        tiles = 2 if side == 7 else 1 + 2 * places // (side * side * images)
        tiles = min(tiles, core.weight_words // (kernel**2 * core.cols))
        layer = Layer(
            side, side, core.rows, tiles * core.cols, kernel, padding=kernel // 2, images=images
        )
        data = random_data(layer, rng, bench.core)
        for pause in (300, 37):
            bench.load(*data)
            await bench.loaded()
            await bench.configure(layer)
            bench.sink.pause = True
            await bench.start()
            await ClockCycles(dut.clk_i, cycles(layer, core) + pause)
            assert (await bench.read(registers.STATUS))["busy"] == 1
            stalls = (await bench.read(registers.STALLS))["count"]
            assert (stalls > 0) == (tiles * side * side * images > places), (stalls, layer)
            bench.sink.pause = False
            bench.compare(layer, data, await bench.finish(layer))


@cocotb.test()
async def what_cannot_run_is_refused(dut):
    """Each error code is given, nothing starts, and the packets stay for a right layer."""
    bench = await started(dut)
    core = bench.core
    good = Layer(3, 3, core.rows, core.cols)
    data = random_data(good, random_generator(), bench.core)
    bench.load(*data)
    await bench.loaded()
    per_tile = 9 * core.cols  # weight words of a 3 × 3 tile
    # The largest number of input tiles with a 7 × 7 kernel that cannot overflow
    tiles_7x7 = (2 ** (core.sum_width - 1) - 2) // core.max_psum // 49
    wrong = {
        Error.SIZE: [
            {"height": 0},
            {"width": 0},
            {"height": 256},
            {"width": 300},
            {"images": 0},
            {"images": 65536},
            {"in_channels": 0},
            {"out_channels": 0},
            {"kernel": 0},
            {"in_channels": 256 * core.rows},
            {"out_channels": 256 * core.cols},
        ],
        Error.KERNEL: [
            {"kernel": 8},
            {"height": 1, "width": 9, "kernel": 4},
            {"height": 9, "width": 1, "kernel": 4},
        ],
        Error.STRIDE: [{"stride": 0}, {"stride": 3}],
        Error.PADDING: [{"padding": 3}, {"padding": 4, "kernel": 5}, {"padding": 1, "kernel": 1}],
        Error.MODE: [{"mode": mode} for mode in range(16) if mode not in core.modes],
        # With few bits to a product, no number of tiles can overflow.
        Error.OVERFLOW: [
            {"in_channels": tiles * core.rows, "kernel": 7, "height": 7, "width": 7}
            for tiles in range(tiles_7x7 + 1, 256)[:1]
        ],
        Error.WEIGHT_MEMORY: [{"out_channels": (core.weight_words // per_tile + 1) * core.cols}],
        Error.ACT_MEMORY: [{"images": core.act_words // 9 + 1}],
        Error.ACCUMULATOR: [
            {"height": 1, "width": 1, "kernel": 4, "padding": 3, "images": core.pixels // 16 + 1}
        ],
        Error.THRESHOLD_MEMORY: [
            {
                "out_channels": (core.threshold_tiles + 1) * core.cols,
                "kernel": 1,
                "padding": 0,
                "mode": Mode.CODES,
            }
        ],
        Error.POOLING: [
            {"pool": 1, "mode": Mode.SUMS},
            {"pool": 1, "mode": Mode.CODES, "height": 3},
            {"pool": 1, "mode": Mode.CODES, "width": 3},
            {"pool": 1, "mode": Mode.CODES, "width": core.pool_width + 2},
        ],
    }
    assert {*wrong, Error.NONE, Error.PACKET_LENGTH, Error.START_WHILE_BUSY} == set(Error)
    for error, changes in wrong.items():
        for change in changes:
            layer = replace(good, **change)
            assert check(layer, core) == error, layer
            await bench.configure(layer)
            await bench.start()
            assert int(dut.interrupt_o.value) == 1
            status = await bench.read(registers.STATUS)
            assert (status["busy"], status["done"]) == (0, 0)
            assert Error(status["error"]) == error, layer
            await bench.write(registers.CONTROL, clear=1)
            await ClockCycles(dut.clk_i, 2)
            assert int(dut.interrupt_o.value) == 0
    await bench.quiet()
    await bench.configure(good)
    await bench.start()
    bench.compare(good, data, await bench.finish(good))


@cocotb.test()
async def start_while_busy_is_refused(dut):
    """The running layer goes on, and the error code says that the start was refused."""
    bench = await started(dut)
    layer = Layer(4, 4, bench.core.rows, bench.core.cols)
    data = random_data(layer, random_generator(), bench.core)
    bench.load(*data)
    await bench.configure(layer)
    await bench.start()
    await bench.start()
    status = await bench.read(registers.STATUS)
    assert (status["busy"], Error(status["error"])) == (1, Error.START_WHILE_BUSY)
    await bench.write(registers.CONTROL, clear=1)
    await ClockCycles(dut.clk_i, 2)
    bench.compare(layer, data, await bench.finish(layer))
    await bench.quiet(300)


@cocotb.test()
async def registers_written_while_busy_are_of_the_next_layer(dut):
    """While a layer runs, every field may change; the layer, and what it keeps, stay the same."""
    bench = await started(dut)
    core, rng = bench.core, random_generator()
    layer = Layer(4, 4, core.rows, core.cols, mode=Mode.CODES)
    other = Layer(2, 3, 2 * core.rows, 2 * core.cols, 1, 2, padding=0, images=2, mode=Mode.RELU)
    data = random_data(layer, rng, bench.core)
    bench.load(*data)
    for keep in (1, 0):
        await bench.loaded()
        await bench.configure(layer, **{f"keep_{stream}s": keep for stream in STREAMS})
        await bench.start()
        await bench.configure(other, **{f"keep_{stream}s": 1 - keep for stream in STREAMS})
        assert (await bench.read(registers.STATUS))["busy"] == 1
        await ClockCycles(dut.clk_i, 2 * cycles(layer, core))
        # A layer whose packets were not kept would wait for ever.
        assert (await bench.read(registers.STATUS))["busy"] == 0
        bench.compare(layer, data, bench.received(layer))
        await bench.write(registers.CONTROL, clear=1)
    # The packets were not kept the second time: new ones take their places.
    data = random_data(layer, rng, bench.core)
    bench.load(*data)
    await bench.configure(layer)
    await bench.start()
    bench.compare(layer, data, await bench.finish(layer))


@cocotb.test()
async def thresholds_that_a_mode_does_not_need_are_left_alone(dut):
    """A threshold packet of a wrong length waits while SUMS and RELU run; CODES drops it."""
    bench = await started(dut)
    layer = Layer(2, 2, bench.core.rows, bench.core.cols)
    rng = random_generator()
    bench.send("threshold", np.ones((3, bench.core.cols), int))
    for mode in (Mode.SUMS, Mode.RELU):
        chosen = replace(layer, mode=mode)
        await check_layer(bench, chosen, random_data(chosen, rng, bench.core))
    chosen = replace(layer, mode=Mode.CODES)
    data = random_data(chosen, rng, bench.core)
    bench.load(*data[:2])
    await bench.loaded()
    await bench.configure(chosen)
    await bench.start()
    assert await bench.idle() == Error.PACKET_LENGTH
    bench.load(None, None, data[2])
    await bench.start()
    bench.compare(chosen, data, await bench.finish(chosen))


@cocotb.test()
async def the_interrupt_follows_the_status(dut):
    """The interrupt is high if a layer is done, if there is an error, and if both are so."""
    bench = await started(dut)
    layer = Layer(4, 4, bench.core.rows, bench.core.cols)
    rng, seen = random_generator(), set()

    async def look() -> None:
        status = await bench.read(registers.STATUS)
        error, done = Error(status["error"]), status["done"]
        assert int(dut.interrupt_o.value) == (done or error != Error.NONE), status
        seen.add((error, done))

    for starts in (1, 2):
        await look()
        data = random_data(layer, rng, bench.core)
        bench.load(*data)
        await bench.loaded()
        await bench.configure(layer)
        for _ in range(starts):
            await bench.start()
            await look()
        await ClockCycles(dut.clk_i, 2 * cycles(layer, bench.core))
        await look()
        bench.compare(layer, data, bench.received(layer))
        await bench.write(registers.CONTROL, clear=1)
        await ClockCycles(dut.clk_i, 2)
    await look()
    await bench.configure(replace(layer, stride=3))
    await bench.start()
    await look()
    refused = Error.START_WHILE_BUSY
    assert {(Error.NONE, 0), (Error.NONE, 1), (refused, 0), (refused, 1)} <= seen
    assert (Error.STRIDE, 0) in seen


@cocotb.test()
async def sizes_are_those_of_the_build(dut):
    """The registers of the sizes have the values of the core's parameters."""
    bench = await started(dut)
    core = bench.core
    assert await bench.read(registers.ARRAY) == {
        "rows": core.rows,
        "cols": core.cols,
        "act_width": core.act_width,
        "weight_width": core.weight_width,
    }
    assert await bench.read(registers.OPTIONS) == {
        "act_signed": core.act_signed,
        "output_scaling": core.output_scaling,
        "pool_width": core.pool_width,
    }
    assert await bench.read(registers.SUM) == {"width": core.sum_width}
    assert await bench.read(registers.MEMORY_ACT) == {"words": core.act_words}
    assert await bench.read(registers.MEMORY_WEIGHT) == {"words": core.weight_words}
    assert await bench.read(registers.MEMORY_THRESHOLD) == {"tiles": core.threshold_tiles}
    assert await bench.read(registers.MEMORY_PIXEL) == {"pixels": core.pixels}


async def near_the_end(bench: CoreDriver, layer: Layer, batches, delay: int) -> None:
    """Loads packets, starts the layer, and returns `delay` cycles after 18 before its last one."""
    for data in batches:
        bench.load(*data)
    await bench.loaded()
    await bench.configure(layer)
    await bench.start()
    await ClockCycles(bench.dut.clk_i, cycles(layer, bench.core) - 18 + delay)


@cocotb.test()
async def a_register_written_around_the_end_of_a_layer(dut):
    """A register that is written in any cycle around the last beat counts for the next layer.

    Of three kernel rows the middle one alone reaches the map, then the other two.
    """
    bench = await started(dut)
    first = Layer(1, 3, bench.core.rows, bench.core.cols, padding=1)
    second = replace(first, stride=2, padding=2)
    rng = random_generator()
    for delay in range(4, 20):
        batches = [random_data(layer, rng, bench.core) for layer in (first, second)]
        await near_the_end(bench, first, batches, delay)
        await bench.write(registers.KERNEL, size=3, stride=second.stride, padding=second.padding)
        bench.monitor.layer = second
        await bench.start()
        if await bench.idle() == Error.START_WHILE_BUSY:
            await bench.start()
            assert await bench.idle() == Error.NONE
        bench.compare(first, batches[0], bench.received(first, more=True))
        bench.compare(second, batches[1], bench.received(second))


@cocotb.test()
async def an_answer_waits_while_others_are_taken(dut):
    """An answer that nobody takes stays, while answers of the other kind come and are taken."""
    bench = await started(dut)
    write_if, read_if = bench.registers.write_if, bench.registers.read_if
    for number in range(1, 9):
        read_if.r_channel.pause = True
        read = bench.registers.init_read(registers.IMAGES.address, 4)
        await ClockCycles(dut.clk_i, number)
        for count in range(4):
            await bench.write(registers.IMAGES, count=number + count)
        assert not read.is_set()
        read_if.r_channel.pause = False
        await read.wait()
        write_if.b_channel.pause = True
        write = bench.registers.init_write(registers.IMAGES.address, bytes(4))
        await ClockCycles(dut.clk_i, number)
        for _ in range(4):
            assert (await bench.read(registers.MEMORY_PIXEL))["pixels"] == bench.core.pixels
        assert not write.is_set()
        write_if.b_channel.pause = False
        await write.wait()


@cocotb.test()
async def start_around_the_end_of_a_layer(dut):
    """A start that is written in any cycle around the last beat is refused or runs; none hangs."""
    bench = await started(dut)
    layer = Layer(2, 2, bench.core.rows, bench.core.cols)
    rng, outcomes = random_generator(), set()
    for delay in range(24):
        batches = [random_data(layer, rng, bench.core) for _ in range(2)]
        await near_the_end(bench, layer, batches, delay)
        await bench.start()
        error = await bench.idle()
        outcomes.add(error)
        if error == Error.START_WHILE_BUSY:
            await bench.start()
            assert await bench.idle() == Error.NONE
        bench.compare(layer, batches[0], bench.received(layer, more=True))
        bench.compare(layer, batches[1], bench.received(layer))
    assert outcomes == {Error.NONE, Error.START_WHILE_BUSY}


@cocotb.test()
async def start_after_a_dropped_packet(dut):
    """Of two starts in neighbouring cycles the first drops a packet, and the next packet stays."""
    bench = await started(dut)
    layer = Layer(2, 2, bench.core.rows, bench.core.cols)
    codes, weights, _ = random_data(layer, random_generator(), bench.core)
    bench.send("act", np.ones((3, bench.core.rows), int))
    bench.load(codes, weights)
    await bench.loaded()
    await bench.configure(layer)
    await ClockCycles(dut.clk_i, 20)
    word = registers.CONTROL.pack(start=1).to_bytes(4, "little")
    both = [bench.registers.init_write(registers.CONTROL.address, word) for _ in range(2)]
    for write in both:
        await write.wait()
    await ClockCycles(dut.clk_i, 20)
    # With a cycle between the two starts, the second one would have been accepted.
    assert await bench.idle() == Error.START_WHILE_BUSY
    await bench.start()
    bench.compare(layer, (codes, weights), await bench.finish(layer))


@cocotb.test()
async def registers_are_written_byte_by_byte(dut):
    """Each strobe writes its own byte, and no other byte."""
    bench = await started(dut)
    rng = random_generator()
    for register in (registers.MAP, registers.IMAGES):  # 32 bits that can be written
        answer = await bench.registers.read(register.address, 4)
        expected = bytearray(answer.data)
        for byte in [*rng.permutation(4), *rng.permutation(4)]:
            expected[byte] = rng.integers(256)
            await bench.registers.write(register.address + int(byte), expected[byte : byte + 1])
            answer = await bench.registers.read(register.address, 4)
            assert answer.data == expected, f"byte {byte} of {register}"


@cocotb.test()
async def accesses_wait_for_answers_that_nobody_takes(dut):
    """Three writes and three reads, whose answers wait because nobody takes them, are done once."""
    bench = await started(dut)
    master = bench.registers
    some = (registers.MAP, registers.TILES, registers.IMAGES)
    for channel in (master.write_if.b_channel, master.read_if.r_channel):
        channel.pause = True
    words = [(0x01010101 * (n + 1)).to_bytes(4, "little") for n in range(len(some))]
    writes = [master.init_write(r.address, word) for r, word in zip(some, words, strict=True)]
    await ClockCycles(dut.clk_i, 20)
    assert not any(write.is_set() for write in writes)
    master.write_if.b_channel.pause = False
    for write in writes:
        await write.wait()
    reads = [master.init_read(register.address, 4) for register in some]
    await ClockCycles(dut.clk_i, 20)
    assert not any(read.is_set() for read in reads)
    master.read_if.r_channel.pause = False
    for read, word in zip(reads, words, strict=True):
        await read.wait()
        assert read.data.data == word


@cocotb.test()
async def accesses_without_a_register_are_refused(dut):
    """Accesses without a register and writes to read-only registers are refused, others are not."""
    bench = await started(dut)
    for address, resp in ((0x7C, AxiResp.SLVERR), (registers.MAP.address, AxiResp.OKAY)):
        assert (await bench.registers.read(address, 4)).resp == resp
        assert (await bench.registers.write(address, bytes(4))).resp == resp
    answer = await bench.registers.write(registers.STATUS.address, bytes(4))
    assert answer.resp == AxiResp.SLVERR


@cocotb.test()
async def packets_of_a_wrong_length_are_dropped(dut):
    """Packets one beat short, one too long, or longer than a bank are dropped; right ones run."""
    bench = await started(dut)
    core = bench.core
    layer = Layer(2, 2, core.rows, core.cols, mode=Mode.CODES)
    codes, weights, thresholds = data = random_data(layer, random_generator(), bench.core)
    lengths = packet_lengths(layer, core)
    packets = {  # stream → the right packet, its number of beats, the beats of a bank, lanes
        "act": ({"codes": codes}, lengths.acts, core.act_words, core.rows),
        "weight": ({"weights": weights}, lengths.weights, core.weight_words, core.rows),
        "threshold": (
            {"thresholds": thresholds},
            lengths.thresholds,
            16 * core.threshold_tiles,
            core.cols,
        ),
    }
    for stream, (right, beats, room, lanes) in packets.items():
        others = [name for name in packets if name != stream]
        for length in (beats - 1, beats + 1, room + 9):
            for other in others:
                bench.load(**packets[other][0])
            bench.send(stream, np.ones((length, lanes), int))
            await bench.configure(layer, **{f"keep_{other}s": 1 for other in others})
            await bench.start()
            await bench.interrupt()
            status = await bench.read(registers.STATUS)
            assert (status["busy"], status["done"]) == (0, 0)
            assert Error(status["error"]) == Error.PACKET_LENGTH
            # The packets of the right length are still there.
            bench.load(**right)
            await bench.configure(layer)
            await bench.start()
            bench.compare(layer, data, await bench.finish(layer))
    await bench.quiet()


@cocotb.test()
async def the_longest_output(dut):
    """A map of one column, then of one row, may be as long as registers and memories allow."""
    bench = await started(dut)
    rng = random_generator()
    core = bench.core
    side = min(255, core.act_words, core.pixels // 2 - 1)  # the output has side + 1, twice
    for height, width in ((side, 1), (1, side)):
        layer = Layer(height, width, core.rows, core.cols, 2, padding=1)
        await check_layer(bench, layer, random_data(layer, rng, bench.core))
    await bench.quiet()


@cocotb.test()
async def reset_leaves_a_clean_core(dut):
    """After a reset at a random moment of loading, waiting or running, the next layer is right."""
    bench = await started(dut)
    rng = random_generator()
    for _ in range(12):
        layer = random_layer(rng, bench.core)
        bench.load(*random_data(layer, rng, bench.core))
        if rng.random() < 0.8:
            await bench.configure(layer)
            await bench.start()
        await ClockCycles(dut.clk_i, int(rng.integers(1, cycles(layer, bench.core) + 200)))
        await bench.reset()
        assert int(dut.interrupt_o.value) == 0
        assert not any((await bench.read(registers.STATUS)).values())
        layer = random_layer(rng, bench.core)
        data = random_data(layer, rng, bench.core)
        bench.compare(layer, data, await bench.run(layer, *data))
    await bench.quiet()


@cocotb.test()
async def a_layer_right_after_reset(dut):
    """A layer that is started before the accumulator is clear waits until it is clear."""
    bench = await started(dut)
    rng = random_generator()
    layer = Layer(2, 2, 2 * bench.core.rows, bench.core.cols, 1, padding=0)
    for _ in range(3):
        await bench.reset()
        reset = get_sim_time("ns")
        data = random_data(layer, rng, bench.core)
        bench.load(*data)
        await bench.configure(layer)
        await bench.start()
        assert (get_sim_time("ns") - reset) / CLOCK_PERIOD_NS < bench.core.pixels
        bench.compare(layer, data, await bench.finish(layer))
    await bench.quiet()


@each_run("tb.test_core")
def test_core(run, simulator):
    run.on(simulator)
