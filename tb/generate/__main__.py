"""Starts the commands of this room; python -m tb.generate guide --help describes one of them."""

from pymodel.support.command import run_room
from pymodel.support.compiled_files import compile_changed

COMMANDS = {
    "registers": "tb.generate.write_register_files",
    "guide": "tb.generate.write_guide",
    "notebook": "tb.generate.write_notebook",
    "verification": "tb.generate.write_verification_table",
}

if __name__ == "__main__":
    compile_changed()
    run_room("tb.generate", COMMANDS)
