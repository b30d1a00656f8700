"""Lives in pymodel/support/files.py now."""

from pymodel.support.moved import forward

forward(__spec__, "pymodel.support.files")
