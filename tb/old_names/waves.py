"""The old name of tb/sim/waves.py."""

from pymodel.support.old_names import forward

forward(__spec__, "tb.sim.waves")
