"""Lives in tb/examples/load_first_array.py now."""

from pymodel.support.old_names import forward

forward(__spec__, "tb.examples.load_first_array")
