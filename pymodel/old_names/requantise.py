"""The old name of pymodel/hardware/output_thresholds.py."""

from pymodel.support.old_names import forward

forward(__spec__, "pymodel.hardware.output_thresholds")
