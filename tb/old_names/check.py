"""Lives in tb/run/check.py now."""

from pymodel.support.old_names import forward

forward(__spec__, "tb.run.check")
