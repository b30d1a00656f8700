"""The old name of pymodel/support/checksummed_tensors.py."""

from pymodel.support.old_names import forward

forward(__spec__, "pymodel.support.checksummed_tensors")
