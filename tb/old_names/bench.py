"""Lives in tb/run/benchmark.py now."""

from pymodel.support.old_names import forward

forward(__spec__, "tb.run.benchmark")
