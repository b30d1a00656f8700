"""Lives in tb/components/schedule.py now."""

from pymodel.support.moved import forward

forward(__spec__, "tb.components.schedule")
