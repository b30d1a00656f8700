"""Runs the command of this room: python -m pymodel.own_network --help."""

from pymodel.support.command import run_room
from pymodel.support.compiled_files import compile_changed

if __name__ == "__main__":
    compile_changed()
    run_room("pymodel.own_network", "pymodel.own_network.export")
