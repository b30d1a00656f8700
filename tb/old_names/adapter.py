"""The old name of tb/components/array_adapter.py."""

from pymodel.support.old_names import forward

forward(__spec__, "tb.components.array_adapter")
