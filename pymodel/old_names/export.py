"""Lives in pymodel/own_network/export.py now."""

from pymodel.support.old_names import forward

forward(__spec__, "pymodel.own_network.export")
