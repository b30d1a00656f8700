"""Lives in tb/sim/waves.py now."""

from pymodel.support.moved import forward

forward(__spec__, "tb.sim.waves")
