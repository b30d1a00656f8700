"""Lives in pymodel/hardware/thresholds.py now."""

from pymodel.support.moved import forward

forward(__spec__, "pymodel.hardware.thresholds")
