"""Lives in pymodel/hardware/tile_text.py now."""

from pymodel.support.moved import forward

forward(__spec__, "pymodel.hardware.tile_text")
