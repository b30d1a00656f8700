"""Lives in pymodel/own_network/layer_file.py now."""

from pymodel.support.moved import forward

forward(__spec__, "pymodel.own_network.layer_file")
