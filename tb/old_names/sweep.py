"""Lives in tb/run/sweep.py now."""

from pymodel.support.old_names import forward

forward(__spec__, "tb.run.sweep")
