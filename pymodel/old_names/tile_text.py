"""Lives in pymodel/hardware/tile_text.py now."""

from pymodel.support.old_names import forward

forward(__spec__, "pymodel.hardware.tile_text")
