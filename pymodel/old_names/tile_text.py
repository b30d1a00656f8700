"""The old name of pymodel/tile_files/read_folder.py."""

from pymodel.support.old_names import forward

forward(__spec__, "pymodel.tile_files.read_folder")
