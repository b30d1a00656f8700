"""The old name of tb/components/array_schedule.py."""

from pymodel.support.old_names import forward

forward(__spec__, "tb.components.array_schedule")
