"""Lives in pymodel/hardware/registers.py now."""

from pymodel.support.moved import forward

forward(__spec__, "pymodel.hardware.registers")
