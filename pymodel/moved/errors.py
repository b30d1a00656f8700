"""Lives in pymodel/support/errors.py now."""

from pymodel.support.moved import forward

forward(__spec__, "pymodel.support.errors")
