"""Lives in pymodel/support/sealed.py now."""

from pymodel.support.moved import forward

forward(__spec__, "pymodel.support.sealed")
