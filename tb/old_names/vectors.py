"""The old name of tb/run/vectors.py."""

from pymodel.support.old_names import forward

forward(__spec__, "tb.run.vectors")
