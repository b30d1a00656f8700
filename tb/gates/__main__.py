"""Starts the commands of this room; python -m tb.gates netlist --help describes one of them."""

from pymodel.support.command import run_room
from pymodel.support.fresh import forget_compiled

COMMANDS = {"netlist": "tb.gates.benches_on_gates", "synth": "tb.gates.synthesis"}

if __name__ == "__main__":
    forget_compiled()
    run_room("tb.gates", COMMANDS)
