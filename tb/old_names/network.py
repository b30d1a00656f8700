"""Lives in tb/run/network.py now."""

from pymodel.support.old_names import forward

forward(__spec__, "tb.run.network")
