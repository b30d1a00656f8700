"""Starts the command of this room; python -m tb.course --help describes it."""

from pymodel.support.command import run_room
from pymodel.support.compiled_files import compile_changed

if __name__ == "__main__":
    compile_changed()
    run_room("tb.course", "tb.course.whole_sequence")
