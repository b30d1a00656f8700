"""The old name of tb/components/packing.py."""

from pymodel.support.old_names import forward

forward(__spec__, "tb.components.packing")
