"""Runs the command of this room: python -m pymodel.own_network --help."""

from pymodel.support.command import run_room
from pymodel.support.fresh import forget_compiled

if __name__ == "__main__":
    forget_compiled()
    run_room("pymodel.own_network", "pymodel.own_network.export")
