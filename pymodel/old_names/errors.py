"""The old name of pymodel/support/errors.py."""

from pymodel.support.old_names import forward

forward(__spec__, "pymodel.support.errors")
