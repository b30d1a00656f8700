"""Starts the commands of this room; python -m tb.gates netlist --help describes one of them."""

from pymodel.support.command import run_room
from pymodel.support.compiled_files import compile_changed

COMMANDS = {
    "netlist": "tb.gates.benches_on_gates",
    "synth": "tb.gates.synthesis",
    "activity": "tb.gates.switching_activity",
}

if __name__ == "__main__":
    compile_changed()
    run_room("tb.gates", COMMANDS)
