"""The old name of pymodel/hardware/registers.py."""

from pymodel.support.old_names import forward

forward(__spec__, "pymodel.hardware.registers")
