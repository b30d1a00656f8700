"""The old name of tb/run/accuracy.py."""

from pymodel.support.old_names import forward

forward(__spec__, "tb.run.accuracy")
