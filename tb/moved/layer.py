"""Lives in tb/run/layer.py now."""

from pymodel.support.moved import forward

forward(__spec__, "tb.run.layer")
