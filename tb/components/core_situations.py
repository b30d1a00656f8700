"""Brings the core into a certain situation: layers, packets and waits that its benches share."""

from dataclasses import replace

import cocotb
from cocotb.triggers import FallingEdge

from pymodel.hardware.core import Core, Layer
from pymodel.hardware.registers import Mode
from tb.components import cover_points
from tb.components.axi_driver import CoreDriver

PATIENCE = 3000  # number of cycles within which every state occurs


def tiled(core: Core, side: tuple[int, int], **changes) -> Layer:
    """Returns a layer of two input and two output tiles, with a 1 × 1 kernel, in mode CODES."""
    layer = Layer(*side, 2 * core.rows, 2 * core.cols, 1, padding=0, mode=Mode.CODES)
    return replace(layer, **changes)


def short_test(function):
    """Returns a cocotb test that fails when the core hangs."""
    return cocotb.test(timeout_time=1, timeout_unit="ms")(function)


def longer_test(function):
    """Returns a cocotb test of `function` whose time limit allows hundreds of layers."""
    return cocotb.test(timeout_time=4, timeout_unit="ms")(function)


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
