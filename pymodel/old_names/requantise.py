"""Lives in pymodel/hardware/thresholds.py now."""

from pymodel.support.old_names import forward

forward(__spec__, "pymodel.hardware.thresholds")
