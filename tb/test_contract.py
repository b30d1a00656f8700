"""The timing diagrams in rtl/README.md agree with the RTL, cycle by cycle."""

import re
from collections.abc import Iterator

import cocotb
import pytest
from cocotb.triggers import ClockCycles, ReadOnly, RisingEdge

from tb.components.clock import start_clock
from tb.components.packing import pack
from tb.modules.pytest_runs import each_run
from tb.sim.sources import RTL

ROWS, COLS = 2, 3
# Number of diagrams of each array, and below the signals in them
DIAGRAMS = {"systolic_array": 3, "reconfigurable_array": 3, "load_first_array": 1}
INPUTS = {
    "systolic_array": (
        "weight_valid_i",
        "weight_col_i",
        "weight_i",
        "act_valid_i",
        "act_swap_i",
        "act_i",
    ),
    "reconfigurable_array": (
        "halves_i",
        "output_stationary_i",
        "weight_valid_i",
        "weight_col_i",
        "weight_i",
        "act_valid_i",
        "act_start_i",
        "act_last_i",
        "act_i",
        "weight_north_i",
    ),
    "load_first_array": ("weight_valid_i", "weight_i", "act_valid_i", "act_i"),
}
OUTPUTS = {
    "systolic_array": ("psum_valid_o", "psum_o"),
    "reconfigurable_array": ("psum_valid_o", "psum_o"),
    "load_first_array": ("idle_o", "psum_valid_o", "psum_o"),
}
# Bits of a lane; one that is written as a pair, first/second, has two numbers of these bits
LANE_WIDTHS = {"weight_i": 4, "weight_north_i": 4, "act_i": 4, "psum_o": 16}
HALF_WIDTHS = {"act_i": 2}


def diagrams(top: str) -> list[dict[str, list[str]]]:
    """Returns each diagram as: signal name → one word for each cycle."""
    text = (RTL / "README.md").read_text()
    blocks = re.findall(rf"```timing {top}\n(.*?)```", text, re.DOTALL)
    return [{line.split()[0]: line.split()[1:] for line in b.splitlines()} for b in blocks]


def cycles(diagram: dict[str, list[str]]) -> Iterator[dict[str, str]]:
    """Yields one dictionary for each cycle: signal → word."""
    for words in zip(*diagram.values(), strict=True):
        yield dict(zip(diagram, words, strict=True))


def value(signal: str, word: str) -> int:
    """Returns the integer on the bus that a word of a diagram stands for."""
    if signal not in LANE_WIDTHS:
        return int(word)
    width = LANE_WIDTHS[signal]
    if "/" in word:
        width = HALF_WIDTHS.get(signal, width)
    return pack([[int(number) for number in re.split("[,/]", word)]], width)[0]


def leaving(diagram: dict[str, list[str]]) -> int:
    """Returns how many vectors leave: one for each activation vector, or ROWS for each block."""
    count = 0
    for cycle in cycles(diagram):
        if cycle.get("output_stationary_i") == "1":
            count += ROWS * (cycle["act_last_i"] == "1")
        else:
            count += cycle["act_valid_i"] == "1"
    return count


@cocotb.test()
async def diagrams_hold(dut):
    """Drives each diagram's inputs and compares its outputs in every cycle."""
    top = dut._name
    start_clock(dut.clk_i)
    for number, diagram in enumerate(diagrams(top)):
        for signal in INPUTS[top]:
            getattr(dut, signal).value = 0
        dut.rst_i.value = 1
        await ClockCycles(dut.clk_i, 2)
        dut.rst_i.value = 0
        for cycle in cycles(diagram):
            for signal in INPUTS[top]:
                # A value that may be anything is all ones, so that data without valid would show.
                handle = getattr(dut, signal)
                anything = 2 ** len(handle) - 1
                word = cycle[signal]
                handle.value = anything if word == "." else value(signal, word)
            await ReadOnly()
            for signal in OUTPUTS[top]:
                if cycle[signal] != ".":
                    got = int(getattr(dut, signal).value)
                    where = f"diagram {number}, cycle {cycle['cycle']}, {signal}"
                    assert got == value(signal, cycle[signal]), where
            await RisingEdge(dut.clk_i)


@pytest.mark.parametrize("top", DIAGRAMS)
def test_diagrams_are_whole(top):
    """Each array has its number of diagrams, each with every signal in every cycle."""
    found = diagrams(top)
    assert len(found) == DIAGRAMS[top]
    for diagram in found:
        assert list(diagram) == ["cycle", *INPUTS[top], *OUTPUTS[top]]
        assert [int(c) for c in diagram["cycle"]] == list(range(len(diagram["cycle"])))
        assert len(list(cycles(diagram))) >= 10
        assert diagram["psum_valid_o"].count("1") == leaving(diagram) > 0


@each_run("tb.test_contract")
def test_contract(run, simulator):
    run.on(simulator)
