"""Lives in pymodel/support/command.py now."""

from pymodel.support.old_names import forward

forward(__spec__, "pymodel.support.command")
