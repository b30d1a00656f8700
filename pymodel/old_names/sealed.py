"""Lives in pymodel/support/sealed.py now."""

from pymodel.support.old_names import forward

forward(__spec__, "pymodel.support.sealed")
