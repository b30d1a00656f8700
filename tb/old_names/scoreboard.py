"""Lives in tb/components/scoreboard.py now."""

from pymodel.support.old_names import forward

forward(__spec__, "tb.components.scoreboard")
