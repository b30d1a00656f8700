"""Lives in tb/gates/benches_on_gates.py now."""

from pymodel.support.old_names import forward

forward(__spec__, "tb.gates.benches_on_gates")
