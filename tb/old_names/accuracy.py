"""Lives in tb/run/accuracy.py now."""

from pymodel.support.old_names import forward

forward(__spec__, "tb.run.accuracy")
