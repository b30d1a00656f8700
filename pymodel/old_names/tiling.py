"""The old name of pymodel/hardware/tiling.py."""

from pymodel.support.old_names import forward

forward(__spec__, "pymodel.hardware.tiling")
