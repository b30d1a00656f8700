"""Connects an array one of whose sources includes another file, as a user's array may."""

from tb.examples.load_first_array import LoadFirstArray


class IncludingArray(LoadFirstArray):
    """The adapter of `load_first_array` with a PE of this folder, which includes sum.inc.

    `tb.soak.harms.stale_build` makes that PE from rtl/load_first_pe.v.
    """

    SOURCES = ("../../../rtl/load_first_array.v", "load_first_pe.v", "../../../rtl/skew.v")
