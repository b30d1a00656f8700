"""Lives in pymodel/reference/layer_data.py now."""

from pymodel.support.old_names import forward

forward(__spec__, "pymodel.reference.layer_data")
