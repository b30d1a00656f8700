"""Lives in tb/run/network.py now."""

from pymodel.support.moved import forward

forward(__spec__, "tb.run.network")
