"""The old name of tb/run/benchmark.py."""

from pymodel.support.old_names import forward

forward(__spec__, "tb.run.benchmark")
