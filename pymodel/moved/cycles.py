"""Lives in pymodel/hardware/cycles.py now."""

from pymodel.support.moved import forward

forward(__spec__, "pymodel.hardware.cycles")
