"""The outputs that a tap reaches agree with a list of all outputs."""

from collections.abc import Iterator
from typing import NamedTuple

import cocotb
from cocotb.triggers import ReadOnly, RisingEdge

from tb.components.clock import start_clock
from tb.modules.pytest_runs import each_run

# All small sides, and large ones around powers of two
SIDES = [*range(1, 17), 31, 32, 33, 127, 128, 129, 251, 252, 253, 254, 255]


class Case(NamedTuple):
    """The inputs of one request; sides and padding are in pixels."""

    side: int
    out_side: int
    stride: int
    padding: int
    tap: int

    def reached(self) -> dict[int, int]:
        """Returns the outputs that the tap reaches, and the input that each uses."""
        used = {out: out * self.stride - self.padding + self.tap for out in range(self.out_side)}
        return {out: row for out, row in used.items() if 0 <= row < self.side}


def cases() -> Iterator[Case]:
    """Yields all cases in which the tap reaches some output.

    The output sides are those of all kernels that have the tap, allow the padding and fit into the
    padded map, and the longest side that the port takes, which is longer than the map.
    """
    for stride in (1, 2):
        for padding in range(4):
            for tap in range(7):
                for side in SIDES:
                    padded = side + 2 * padding
                    kernels = range(max(tap, padding) + 1, min(7, padded) + 1)
                    out_sides = {(padded - kernel) // stride + 1 for kernel in kernels}
                    for out_side in sorted(out_sides | {2**9 - 1}):
                        case = Case(side, out_side, stride, padding, tap)
                        if case.reached():
                            yield case


@cocotb.test()
async def every_tap(dut):
    """Each request is answered in the next cycle: first output, number of outputs, first input."""
    start_clock(dut.clk_i)
    await RisingEdge(dut.clk_i)
    asked, answered = None, 0
    for case in [*cases(), None]:
        if case:
            dut.side_i.value = case.side
            dut.stride2_i.value = case.stride - 1
            dut.padding_i.value = case.padding
            dut.tap_i.value = case.tap
        if asked:
            dut.out_side_i.value = asked.out_side  # belongs to the answer
            await ReadOnly()
            reached = asked.reached()
            first = min(reached)
            found = [int(h.value) for h in (dut.first_o, dut.count_o, dut.origin_o)]
            expected = [first, len(reached), reached[first]]
            assert found == expected, f"{asked}: expected {expected}, got {found}"
            answered += 1
        await RisingEdge(dut.clk_i)
        asked = case
    assert answered > 1000


@each_run("tb.test_tap_range")
def test_tap_range(run, simulator):
    run.on(simulator)
