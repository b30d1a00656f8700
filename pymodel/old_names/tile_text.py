"""The old name of pymodel/tile_files/folder.py."""

from pymodel.support.old_names import forward

forward(__spec__, "pymodel.tile_files.folder")
