"""The old name of tb/components/systolic_array_adapter.py."""

from pymodel.support.old_names import forward

forward(__spec__, "tb.components.systolic_array_adapter")
