"""The old name of tb/run/replay.py."""

from pymodel.support.old_names import forward

forward(__spec__, "tb.run.replay")
