"""The old name of tb/components/tile_run.py."""

from pymodel.support.old_names import forward

forward(__spec__, "tb.components.tile_run")
