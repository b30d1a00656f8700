"""The old name of pymodel/own_network/layer_file.py."""

from pymodel.support.old_names import forward

forward(__spec__, "pymodel.own_network.layer_file")
