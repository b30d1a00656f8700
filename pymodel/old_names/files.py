"""The old name of pymodel/support/files.py."""

from pymodel.support.old_names import forward

forward(__spec__, "pymodel.support.files")
