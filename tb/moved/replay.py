"""Lives in tb/run/replay.py now."""

from pymodel.support.moved import forward

forward(__spec__, "tb.run.replay")
