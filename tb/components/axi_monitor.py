"""Checks the AXI protocol on the outputs of the core, in every cycle, while a bench runs."""

import math
from collections.abc import Sequence

import cocotb
from cocotb.handle import HierarchyObject, ValueObjectBase
from cocotb.triggers import ClockCycles, RisingEdge

from pymodel.hardware.core import Core, Layer
from tb.components.scoreboard import beat_words
from tb.sim.errors import BenchError

# The channels that the core drives, and the signals that must not change while they are stalled
STALLABLE = {
    "m_axis_t": ("data", "keep", "last"),
    "s_axil_b": ("resp",),
    "s_axil_r": ("data", "resp"),
}


class CoreMonitor:
    """Checks the protocol of the channels that the core drives, and that the core does not hang."""

    def __init__(self, dut: HierarchyObject, core: Core):
        self.dut = dut
        self.core = core
        self.layer: Layer | None = None  # the layer that was started last
        self.taken = 0  # beats that have left the core
        for prefix, payload in STALLABLE.items():
            cocotb.start_soon(self.hold_while_stalled(prefix, payload))
        cocotb.start_soon(self.hang())

    async def hold_while_stalled(self, prefix: str, payload: tuple[str, ...]) -> None:
        """Checks for ever that valid and its payload stay while ready is low, as AXI demands.

        Raises BenchError if they change, or if valid, ready or a valid payload holds X or Z.
        """
        clock, reset = RisingEdge(self.dut.clk_i), self.dut.rst_i
        valid, ready, *data = (
            getattr(self.dut, f"{prefix}{name}") for name in ("valid", "ready", *payload)
        )
        stalled = None
        beat = 0  # number of the beat in its packet
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
        """Raises BenchError when nothing has left the core for longer than any layer takes."""
        tiles = self.core.weight_words // self.core.cols
        longest = 5000 + 3 * self.core.pixels * tiles
        idle = 0  # quarters of `longest` in which nothing left
        while idle < 4:
            before = self.taken
            await ClockCycles(self.dut.clk_i, longest // 4)
            idle = idle + 1 if self.taken == before else 0
        raise BenchError(f"the core hangs: nothing has left it for {longest:,} cycles")

    def unknown(self, prefix: str, beat: int, handles: Sequence[ValueObjectBase]) -> str:
        """Returns in words which of `handles` holds X or Z; for results, also pixel and channel."""
        handle = next(handle for handle in handles if not handle.value.is_resolvable)
        words = f"X or Z on {handle._name}"
        if handle._name != "m_axis_tdata" or self.layer is None:
            return f"{words}: {handle.value}" if len(handle) <= 32 else words
        width = self.core.lane_width(self.layer.mode)
        bit = next(i for i, bit in enumerate(reversed(str(handle.value))) if bit not in "01")
        tile = beat // (self.layer.images * math.prod(self.layer.result_size))
        channel = tile * self.core.cols + bit // width
        return f"{words}: {beat_words(beat, self.layer)}, channel {channel}, {self.layer}"
