"""Lives in pymodel/hardware/tiling.py now."""

from pymodel.support.old_names import forward

forward(__spec__, "pymodel.hardware.tiling")
