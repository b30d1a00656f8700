"""Lives in tb/components/packing.py now."""

from pymodel.support.old_names import forward

forward(__spec__, "tb.components.packing")
