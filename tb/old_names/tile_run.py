"""Lives in tb/components/tile_run.py now."""

from pymodel.support.old_names import forward

forward(__spec__, "tb.components.tile_run")
