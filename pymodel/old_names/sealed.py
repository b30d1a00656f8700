"""Lives in pymodel/support/checksummed_tensors.py now."""

from pymodel.support.old_names import forward

forward(__spec__, "pymodel.support.checksummed_tensors")
