"""Lives in tb/run/benchmark.py now."""

from pymodel.support.moved import forward

forward(__spec__, "tb.run.benchmark")
