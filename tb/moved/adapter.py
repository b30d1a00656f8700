"""Lives in tb/components/adapter.py now."""

from pymodel.support.moved import forward

forward(__spec__, "tb.components.adapter")
