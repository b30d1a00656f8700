"""Starts the commands of this room; python -m tb.generate guide --help describes one of them."""

from pymodel.support.command import run_room
from pymodel.support.fresh import compile_changed

COMMANDS = {
    "registers": "tb.generate.register_files",
    "guide": "tb.generate.guide",
    "notebook": "tb.generate.notebook",
    "verification": "tb.generate.verification_table",
}

if __name__ == "__main__":
    compile_changed()
    run_room("tb.generate", COMMANDS)
