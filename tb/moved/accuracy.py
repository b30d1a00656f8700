"""Lives in tb/run/accuracy.py now."""

from pymodel.support.moved import forward

forward(__spec__, "tb.run.accuracy")
