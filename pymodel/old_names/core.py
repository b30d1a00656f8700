"""Lives in pymodel/hardware/core.py now."""

from pymodel.support.old_names import forward

forward(__spec__, "pymodel.hardware.core")
