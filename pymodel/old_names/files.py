"""Lives in pymodel/support/files.py now."""

from pymodel.support.old_names import forward

forward(__spec__, "pymodel.support.files")
