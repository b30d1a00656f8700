"""Starts the command of this room; python -m tb.verify --help describes it."""

from pymodel.support.command import run_room
from pymodel.support.fresh import forget_compiled

if __name__ == "__main__":
    forget_compiled()
    run_room("tb.verify", "tb.verify.long_checks")
