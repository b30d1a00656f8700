"""Lives in tb/components/tile_run.py now."""

from pymodel.support.moved import forward

forward(__spec__, "tb.components.tile_run")
