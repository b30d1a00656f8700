"""Lives in pymodel/reference/integer_network.py now."""

from pymodel.support.old_names import forward

forward(__spec__, "pymodel.reference.integer_network")
