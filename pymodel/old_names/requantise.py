"""The old name of pymodel/hardware/thresholds.py."""

from pymodel.support.old_names import forward

forward(__spec__, "pymodel.hardware.thresholds")
