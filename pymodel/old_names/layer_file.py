"""Lives in pymodel/own_network/layer_file.py now."""

from pymodel.support.old_names import forward

forward(__spec__, "pymodel.own_network.layer_file")
