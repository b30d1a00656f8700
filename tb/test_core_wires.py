"""The wires between the core's modules carry every bit, also those that no tested layer needs.

A value is forced where a wire begins (`width_o` of the module `geometry`) and read where it ends
(`width_i` of each module that has one). Only Icarus can force a value.
"""

import itertools
from operator import attrgetter

import cocotb
from cocotb.handle import Force, HierarchyObject, Release
from cocotb.triggers import RisingEdge, Timer

from tb.components.axi_driver import started
from tb.components.random_tiles import random_generator
from tb.modules.pytest_runs import each_run

POOL = "g_pool.output_pool"  # not in every build
# The modules where wires begin, and the modules where the wires of the same names end
WIRES = {
    "registers": ("geometry", "control"),
    "geometry": ("control", "sequencer", "address_generator", "output_stage", POOL),
    "sequencer": ("address_generator",),
    "control": ("registers", "geometry", "sequencer"),
}
STREAMS = ("act", "weight", "threshold")
VALUES = 20  # random values; a bit is the same in all of them by a chance of 1 in 500,000


async def forced(rng, handle, value: int | None = None) -> int:
    """Forces a value, by default a random one; returns it once all wires have it."""
    if value is None:
        value = int(rng.integers(2 ** len(handle)))
    handle.value = Force(value)
    await Timer(1, unit="ps")
    return value


def ports(module: HierarchyObject, direction: str) -> dict:
    """Returns a module's inputs ("_i") or outputs ("_o") by name, without clock and reset."""
    found = {h._name.removesuffix(direction): h for h in module if h._name.endswith(direction)}
    return {name: port for name, port in found.items() if name not in ("clk", "rst")}


def instance(dut: HierarchyObject, path: str) -> HierarchyObject:
    """Returns a module inside the core.

    In a netlist, the name of a generate block is a part of the instance's own name.
    """
    inside = {handle._name.strip("\\ "): handle for handle in dut}
    return inside[path] if path in inside else attrgetter(path)(dut)


@cocotb.test()
async def between_modules(dut):
    """Every bit that leaves one module arrives in the other modules."""
    await started(dut)
    rng = random_generator()
    wires, pools = 0, int(dut.POOL_WIDTH.value) > 0
    for source, sinks in WIRES.items():
        sinks = [sink for sink in sinks if pools or sink != POOL]
        for name, port in ports(getattr(dut, source), "_o").items():
            ends = [ports(instance(dut, sink), "_i").get(name) for sink in sinks]
            ends = [end for end in ends if end is not None]
            for _ in range(VALUES if ends else 0):
                value = await forced(rng, port)
                assert [int(end.value) for end in ends] == [value] * len(ends), f"{source}.{name}"
            wires += len(ends)
            port.value = Release()
    assert wires == 13 + 23 + 2 * pools + 7 + 9


@cocotb.test()
async def weight_addresses(dut):
    """The address of a tile's weights goes from the sequencer to the weight loader."""
    await started(dut)
    rng = random_generator()
    for _ in range(VALUES):
        value = await forced(rng, dut.sequencer.weight_address_o)
        assert int(dut.weight_loader.address_i.value) == value


@cocotb.test()
async def places_of_psums(dut):
    """The accumulator gets the pixel of an activation, and whether it is finished."""
    await started(dut)
    rng = random_generator()
    for _ in range(VALUES):
        pixel = await forced(rng, dut.address_generator.pixel_o)
        final = await forced(rng, dut.address_generator.final_o)
        for _ in range(dut.ROWS.value.to_unsigned() + dut.COLS.value.to_unsigned() + 3):
            await RisingEdge(dut.clk_i)
        await Timer(1, unit="ps")
        place = dut.accumulator.pixel_i
        assert int(place.value) == pixel % 2 ** len(place)
        assert int(dut.accumulator.final_i.value) == final


@cocotb.test()
async def packet_lengths(dut):
    """A packet is wrong if its length differs from the layer's in any one bit."""
    await started(dut)
    rng = random_generator()
    await forced(rng, dut.geometry.mode_o, 2)  # mode CODES, which needs thresholds
    for stream in STREAMS:
        await forced(rng, getattr(dut, f"{stream}_stream").full_o, 0)
    for stream in STREAMS:
        bank = getattr(dut, f"{stream}_stream")
        words = getattr(dut.geometry, f"{stream}_words_o")
        await forced(rng, bank.full_o, 1)
        some = int(rng.integers(2**16))
        for length, flipped in itertools.product(
            (some, some ^ 0xFFFF), (0, *(1 << b for b in range(16)))
        ):
            await forced(rng, words, length)
            await forced(rng, bank.length_o, length ^ flipped)
            for _ in range(2):
                await RisingEdge(dut.clk_i)
            await Timer(1, unit="ps")
            assert int(dut.control.wrong_length_i.value) == (flipped != 0), (stream, flipped)
        await forced(rng, bank.full_o, 0)


@each_run("tb.test_core_wires")
def test_core_wires(run, simulator):
    run.on(simulator)
