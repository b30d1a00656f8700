"""Connects an array one of whose sources includes another file, as a user's array may."""

from tb.examples.load_first_array import LoadFirstArray


class IncludingArray(LoadFirstArray):
    """The second array, but its processing element lies in this folder and includes sum.inc.

    That element is made from rtl/load_first_pe.v by `tb.soak.harms.stale_build`.
    """

    SOURCES = ("../../../rtl/load_first_array.v", "load_first_pe.v", "../../../rtl/skew.v")
