"""Lives in tb/components/own_array.py now."""

from pymodel.support.old_names import forward

forward(__spec__, "tb.components.own_array")
