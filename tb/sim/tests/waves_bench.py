"""Looks in the simulator for every signal that a save file names."""

import io
import re

import cocotb
from vcd.gtkw import GTKWSave

from tb.sim.waves import trace_array, trace_top

# Number of signals in a save file. Our array: 7 of control, one of each row and column, and 7 of
# each PE. Another array: 9 ports and 4 other signals of its top module.
SIGNALS = {"systolic_array": 7 + 8 + 8 + 64 * 7, "load_first_array": 9 + 4}


@cocotb.test()
async def every_signal_exists(dut):
    """Each name in the save file leads to a signal in the hierarchy."""
    top = dut._name
    file = io.StringIO()
    if top == "systolic_array":
        trace_array(GTKWSave(file))
    else:
        trace_top(GTKWSave(file), dut, "clk_i")
    names = re.findall(rf"^(?:\+\{{.*\}} )?{top}\.(\S+)$", file.getvalue(), re.MULTILINE)
    assert len(names) == SIGNALS[top]
    for name in names:
        handle = dut
        for part in name.split("."):
            word, high, low = re.fullmatch(r"(\w+)(?:\[(\d+)(?::(\d+))?\])?", part).groups()
            handle = getattr(handle, word)
            if low is not None:
                assert len(handle) == int(high) - int(low) + 1, name
            elif high is not None:
                handle = handle[int(high)]
