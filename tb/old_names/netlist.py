"""The old name of tb/gates/benches_on_gates.py."""

from pymodel.support.old_names import forward

forward(__spec__, "tb.gates.benches_on_gates")
