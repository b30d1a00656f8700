"""Lives in tb/components/systolic_array_adapter.py now."""

from pymodel.support.old_names import forward

forward(__spec__, "tb.components.systolic_array_adapter")
