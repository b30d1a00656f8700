"""The old name of tb/examples/load_first_array.py."""

from pymodel.support.old_names import forward

forward(__spec__, "tb.examples.load_first_array")
