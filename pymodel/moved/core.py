"""Lives in pymodel/hardware/core.py now."""

from pymodel.support.moved import forward

forward(__spec__, "pymodel.hardware.core")
