"""The old name of tb/components/scoreboard.py."""

from pymodel.support.old_names import forward

forward(__spec__, "tb.components.scoreboard")
