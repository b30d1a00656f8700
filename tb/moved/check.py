"""Lives in tb/run/check.py now."""

from pymodel.support.moved import forward

forward(__spec__, "tb.run.check")
