"""The old name of pymodel/reference/layer_data.py."""

from pymodel.support.old_names import forward

forward(__spec__, "pymodel.reference.layer_data")
