"""Lives in tb/run/replay.py now."""

from pymodel.support.old_names import forward

forward(__spec__, "tb.run.replay")
