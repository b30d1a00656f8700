"""The old name of pymodel/tile_files/identify_files.py."""

from pymodel.support.old_names import forward

forward(__spec__, "pymodel.tile_files.identify_files")
