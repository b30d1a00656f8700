"""Lives in tb/run/sweep.py now."""

from pymodel.support.moved import forward

forward(__spec__, "tb.run.sweep")
