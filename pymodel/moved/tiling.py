"""Lives in pymodel/hardware/tiling.py now."""

from pymodel.support.moved import forward

forward(__spec__, "pymodel.hardware.tiling")
