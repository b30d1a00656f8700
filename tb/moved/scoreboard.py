"""Lives in tb/components/scoreboard.py now."""

from pymodel.support.moved import forward

forward(__spec__, "tb.components.scoreboard")
