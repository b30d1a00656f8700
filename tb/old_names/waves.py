"""Lives in tb/sim/waves.py now."""

from pymodel.support.old_names import forward

forward(__spec__, "tb.sim.waves")
