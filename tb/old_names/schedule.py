"""Lives in tb/components/schedule.py now."""

from pymodel.support.old_names import forward

forward(__spec__, "tb.components.schedule")
