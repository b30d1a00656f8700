"""The old name of pymodel/hardware/cycles.py."""

from pymodel.support.old_names import forward

forward(__spec__, "pymodel.hardware.cycles")
