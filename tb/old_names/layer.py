"""Lives in tb/run/layer.py now."""

from pymodel.support.old_names import forward

forward(__spec__, "tb.run.layer")
