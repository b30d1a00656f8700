"""Which outputs a tap reaches, against a list of all of them."""

from collections.abc import Iterator

import cocotb
import pytest
from cocotb.clock import Clock
from cocotb.triggers import ReadOnly, RisingEdge

from tb.simulator import run_bench
from tb.testing import SIMULATORS

# All small sides, and large ones around the powers of two.
SIDES = [*range(1, 17), 31, 32, 33, 127, 128, 129, 251, 252, 253, 254, 255]


def cases() -> Iterator[tuple[int, int, int, int, int]]:
    """Side, output side, stride, padding and tap; the output side of every kernel that has the tap.

    The kernel allows the padding, too, and fits into the padded map.
    """
    for stride in (1, 2):
        for padding in range(4):
            for tap in range(7):
                for side in SIDES:
                    padded = side + 2 * padding
                    kernels = range(max(tap, padding) + 1, min(7, padded) + 1)
                    for out_side in {(padded - kernel) // stride + 1 for kernel in kernels}:
                        yield side, out_side, stride, padding, tap


@cocotb.test()
async def every_tap(dut):
    """A question in every cycle; the answer in the next: any outputs, the first, how many."""
    cocotb.start_soon(Clock(dut.clk_i, 10, unit="ns").start(False))
    await RisingEdge(dut.clk_i)
    reaching, empty = 0, 0
    asked = None
    for case in [*cases(), None]:
        if case:
            side, out_side, stride, padding, tap = case
            dut.side_i.value = side
            dut.stride2_i.value = stride - 1
            dut.padding_i.value = padding
            dut.tap_i.value = tap
        if asked:
            side, out_side, stride, padding, tap = asked
            dut.out_side_i.value = out_side  # belongs to the answer
            await ReadOnly()
            inputs = {o: o * stride - padding + tap for o in range(out_side)}
            inside = [o for o, i in inputs.items() if 0 <= i < side]
            assert int(dut.any_o.value) == bool(inside), f"any_o is wrong, {asked}"
            if inside:
                found = [int(h.value) for h in (dut.first_o, dut.count_o, dut.origin_o)]
                expected = [inside[0], len(inside), inputs[inside[0]]]
                assert found == expected, f"{asked}: expected {expected}, got {found}"
                reaching += 1
            else:
                empty += 1
        await RisingEdge(dut.clk_i)
        asked = case
    assert reaching > 1000
    assert empty > 10


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_tap_range(simulator):
    run_bench("tb.test_tap_range", "tap_range", simulator=simulator)
