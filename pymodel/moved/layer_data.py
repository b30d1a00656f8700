"""Lives in pymodel/reference/layer_data.py now."""

from pymodel.support.moved import forward

forward(__spec__, "pymodel.reference.layer_data")
