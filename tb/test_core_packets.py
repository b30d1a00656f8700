"""The core takes the packets that a layer needs, in any order, and nothing else changes a layer.

Packets are kept, wrong, missing or not needed; registers, clears and starts come at any time.
tb/components/cover_points.py counts the states that the core comes into.
"""

import itertools
from dataclasses import replace

import cocotb
import numpy as np
from cocotb.triggers import ClockCycles

from pymodel.hardware import registers
from pymodel.hardware.core import TABLE_MODES, Layer, check
from pymodel.hardware.cycles import cycles
from pymodel.hardware.registers import Error, Mode
from tb.components import cover_points
from tb.components.axi_driver import CoreDriver, started
from tb.components.core_situations import load, longer_test, shapes, short_test, tiled, until
from tb.components.random_layers import random_data
from tb.components.random_tiles import random_generator
from tb.modules.pytest_runs import each_run


@short_test
async def packets_kept_in_every_combination(dut):
    """A kept packet serves the next layer, another one is replaced, in all eight combinations."""
    bench = await started(dut)
    rng = random_generator()
    layer = tiled(bench.core, (1, 2))
    data = random_data(layer, rng, bench.core)
    bench.load(*data)
    for keep in itertools.product((0, 1), repeat=3):
        flags = {f"keep_{s}s": k for s, k in zip(cover_points.STREAMS, keep, strict=True)}
        await bench.configure(layer, **flags)
        await bench.start()
        bench.compare(layer, data, await bench.finish(layer))
        fresh = random_data(layer, rng, bench.core)
        bench.load(*(None if k else part for k, part in zip(keep, fresh, strict=True)))
        data = [old if k else new for k, old, new in zip(keep, data, fresh, strict=True)]
    await bench.configure(layer)
    await bench.start()
    bench.compare(layer, data, await bench.finish(layer))
    await bench.quiet()


def send_wrong(bench: CoreDriver, layer: Layer, stream: str) -> None:
    """Queues a packet of a layer that has a beat too few."""
    inputs, outputs = layer.tiles(bench.core)
    beats = {"act": layer.height * layer.width * inputs, "weight": inputs * outputs}
    beats["weight"] *= bench.core.cols * layer.kernel**2
    beats["threshold"] = 16 * outputs
    lanes = bench.core.cols if stream == "threshold" else bench.core.rows
    bench.send(stream, np.ones((beats[stream] - 1, lanes), int))


@longer_test
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
    modes = bench.core.modes
    planned = [*itertools.product(modes, itertools.product(("right", "wrong", "none"), repeat=3))]

    async def fill(stream: str, wrong: bool) -> None:
        data = dict(zip(cover_points.STREAMS, random_data(shape, rng, bench.core), strict=True))
        if wrong:
            data[stream] = None
            send_wrong(bench, shape, stream)
        else:
            load(bench, [*data.values()], 1, {stream})
        banks[stream].append(data[stream])
        await bench.loaded()

    for number in range(2 * len(planned)):
        mode = modes[rng.integers(len(modes))]
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
        needed = [s for s in cover_points.STREAMS if s != "threshold" or mode in TABLE_MODES]
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
        bench.compare(layer, data, bench.received(layer))
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
    modes = bench.core.modes
    other = modes[(modes.index(mode) + 1) % len(modes)]
    await bench.write(registers.IMAGES, count=0)
    while True:
        keep = {f"keep_{stream}s": 1 for stream in cover_points.STREAMS}
        await bench.write(registers.OUTPUT, mode=other, **keep)
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
    cases = itertools.product(bench.core.modes, (("act", 0), ("weight", 1)))
    for mode, (late, missing) in cases:
        for layer in shapes(bench.core, mode):
            batches = [random_data(layer, rng, bench.core) for _ in range(2)]
            there = {*cover_points.STREAMS} - {late}
            for data in batches:
                load(bench, data, 1, there)
                if mode not in TABLE_MODES:
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
            bench.compare(layer, batches[0], bench.received(layer))
            await bench.configure(layer)
            await bench.start()
            bench.compare(layer, batches[1], await bench.finish(layer))
            await bench.write(registers.CONTROL, clear=1)
            await bench.reset()
            await ClockCycles(dut.clk_i, bench.core.pixels)
    await bench.quiet()


@each_run("tb.test_core_packets")
def test_core_packets(run, simulator):
    run.on(simulator)
