"""Lives in tb/components/adapter.py now."""

from pymodel.support.old_names import forward

forward(__spec__, "tb.components.adapter")
