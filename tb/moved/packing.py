"""Lives in tb/components/packing.py now."""

from pymodel.support.moved import forward

forward(__spec__, "tb.components.packing")
