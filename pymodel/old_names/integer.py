"""The old name of pymodel/reference/integer_network.py."""

from pymodel.support.old_names import forward

forward(__spec__, "pymodel.reference.integer_network")
