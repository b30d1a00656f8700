"""What one run of a bench reached is kept for the RTL that it ran on, and for no other."""

import shutil

import pytest

from pymodel.support.errors import InputError
from tb.coverage.runs import measure
from tb.sim.sources import RTL, Untouched


class Rewriting:
    """A run of a bench, while which somebody writes a source."""

    bench, toplevel, parameters = "tb.test_pe", "pe", {}

    def __init__(self, source):
        self.source = source

    def __str__(self):
        return "rewriting"

    def on(self, *_, **__):
        if self.source:
            self.source.write_text(self.source.read_text())


def test_nothing_is_kept_of_rtl_that_changed_meanwhile(tmp_path):
    """The RTL may be the same in the end: what ran in between may have been another."""
    rtl, place = shutil.copytree(RTL, tmp_path / "rtl"), tmp_path / "kept" / "place"
    place.parent.mkdir()
    untouched = Untouched.of(rtl)
    with pytest.raises(InputError, match=r"pe\.v: changed while the command ran"):
        measure([(place, Rewriting(rtl / "pe.v"))], untouched)
    assert not place.exists()
    assert measure([(place, Rewriting(None))], Untouched.of(rtl)) == 1
    assert place.exists()
