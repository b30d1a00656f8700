"""Lives in tb/gates/gate_benches.py now."""

from pymodel.support.moved import forward

forward(__spec__, "tb.gates.gate_benches")
