"""The timing diagrams in rtl/README.md, cycle by cycle against the RTL."""

import re
from collections.abc import Iterator

import cocotb
import pytest
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, ReadOnly, RisingEdge

from tb.packing import pack
from tb.simulator import RTL, run_bench
from tb.testing import SIMULATORS

ROWS, COLS = 2, 3
INPUTS = ("weight_valid_i", "weight_col_i", "weight_i", "act_valid_i", "act_swap_i", "act_i")
OUTPUTS = ("psum_valid_o", "psum_o")
LANE_WIDTHS = {"weight_i": 4, "act_i": 4, "psum_o": 16}


def diagrams() -> list[dict[str, list[str]]]:
    """Each diagram: signal name → one word a cycle."""
    blocks = re.findall(r"```timing\n(.*?)```", (RTL / "README.md").read_text(), re.DOTALL)
    return [{line.split()[0]: line.split()[1:] for line in b.splitlines()} for b in blocks]


def cycles(diagram: dict[str, list[str]]) -> Iterator[dict[str, str]]:
    """One dictionary a cycle: signal → word."""
    for words in zip(*diagram.values(), strict=True):
        yield dict(zip(diagram, words, strict=True))


def value(signal: str, word: str) -> int:
    """The integer on the bus that a word of a diagram stands for."""
    if signal in LANE_WIDTHS:
        return pack([[int(lane) for lane in word.split(",")]], LANE_WIDTHS[signal])[0]
    return int(word)


@cocotb.test()
async def diagrams_hold(dut):
    """Drive each diagram's inputs and compare its outputs in every cycle."""
    cocotb.start_soon(Clock(dut.clk_i, 10, unit="ns").start())
    for number, diagram in enumerate(diagrams()):
        for signal in INPUTS:
            getattr(dut, signal).value = 0
        dut.rst_i.value = 1
        await ClockCycles(dut.clk_i, 2)
        dut.rst_i.value = 0
        for cycle in cycles(diagram):
            for signal in INPUTS:
                # Anything: all ones, so that data without valid would show.
                handle = getattr(dut, signal)
                anything = 2 ** len(handle) - 1
                word = cycle[signal]
                handle.value = anything if word == "." else value(signal, word)
            await ReadOnly()
            for signal in OUTPUTS:
                if cycle[signal] != ".":
                    got = int(getattr(dut, signal).value)
                    where = f"diagram {number}, cycle {cycle['cycle']}, {signal}"
                    assert got == value(signal, cycle[signal]), where
            await RisingEdge(dut.clk_i)


def test_diagrams_are_whole():
    """Three of them, every signal in every cycle, outputs in each."""
    found = diagrams()
    assert len(found) == 3
    for diagram in found:
        assert list(diagram) == ["cycle", *INPUTS, *OUTPUTS]
        assert [int(c) for c in diagram["cycle"]] == list(range(len(diagram["cycle"])))
        assert len(list(cycles(diagram))) > 10
        assert diagram["psum_valid_o"].count("1") == diagram["act_valid_i"].count("1") > 0


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_contract(simulator):
    run_bench(
        "tb.test_contract", "systolic_array", simulator=simulator,
        parameters={"ROWS": ROWS, "COLS": COLS},
    )  # fmt: skip
