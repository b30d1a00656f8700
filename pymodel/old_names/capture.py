"""The old name of pymodel/layer_capture.py."""

from pymodel.support.old_names import forward

forward(__spec__, "pymodel.layer_capture")
