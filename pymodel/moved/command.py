"""Lives in pymodel/support/command.py now."""

from pymodel.support.moved import forward

forward(__spec__, "pymodel.support.command")
