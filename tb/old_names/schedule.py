"""Lives in tb/components/array_schedule.py now."""

from pymodel.support.old_names import forward

forward(__spec__, "tb.components.array_schedule")
