"""The old name of pymodel/lsq_quantiser.py."""

from pymodel.support.old_names import forward

forward(__spec__, "pymodel.lsq_quantiser")
