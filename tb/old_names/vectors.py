"""Lives in tb/run/vectors.py now."""

from pymodel.support.old_names import forward

forward(__spec__, "tb.run.vectors")
