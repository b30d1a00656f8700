"""Lives in pymodel/hardware/cycles.py now."""

from pymodel.support.old_names import forward

forward(__spec__, "pymodel.hardware.cycles")
