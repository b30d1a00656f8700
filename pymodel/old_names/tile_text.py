"""The old name of pymodel/hardware/tile_text.py."""

from pymodel.support.old_names import forward

forward(__spec__, "pymodel.hardware.tile_text")
