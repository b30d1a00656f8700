"""Lives in pymodel/hardware/registers.py now."""

from pymodel.support.old_names import forward

forward(__spec__, "pymodel.hardware.registers")
