"""Lives in tb/run/vectors.py now."""

from pymodel.support.moved import forward

forward(__spec__, "tb.run.vectors")
