"""Starts the commands of this room; python -m tb.run layer --help describes one of them."""

from pymodel.support.command import run_room
from pymodel.support.compiled_files import compile_changed

COMMANDS = {
    "layer": "tb.run.layer",
    "check": "tb.run.check",
    "accuracy": "tb.run.accuracy",
    "network": "tb.run.network",
    "scaling": "tb.run.scaling",
    "replay": "tb.run.replay",
    "vectors": "tb.run.vectors",
    "bench": "tb.run.benchmark",
}

if __name__ == "__main__":
    compile_changed()
    run_room("tb.run", COMMANDS)
