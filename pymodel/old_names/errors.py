"""Lives in pymodel/support/errors.py now."""

from pymodel.support.old_names import forward

forward(__spec__, "pymodel.support.errors")
