"""A fault is put into a Verilog source by its tokens, in exactly one place."""

import re

import pytest

from pymodel.support.errors import InputError
from tb.sim.sources import faulty_rtl, find_once, replace_once, tokens

SOURCE = """\
  // the sum <= 0 in a comment
  always @(posedge clk_i) begin
    if (rst_i)   sum <= 0;
    else if (en) sum   <= sum+part;  /* sum <= sum
      + part */
  end
"""


@pytest.mark.parametrize(
    "old",
    ["sum <= sum + part", "sum<=sum+part", " sum\n<=\tsum +part ", "sum <= sum // + 1\n + part"],
)
def test_spacing_does_not_matter(old):
    """Comments count as blanks, too."""
    place = find_once(SOURCE, old, "sum.v")
    assert SOURCE[place] == "sum   <= sum+part"
    assert "else if (en) 1;  /*" in replace_once(SOURCE, old, "1", "sum.v")


@pytest.mark.parametrize(
    ("old", "count"),
    [("sum <=", 2), ("summ", 0), ("um <= 0", 0), ("sum < = 0", 0), ("4'd1", 0), ("", 0)],
)
def test_one_place_must_match(old, count):
    """Whole tokens must match: no part of a name matches, and no operator with a blank in it."""
    message = f"sum.v: '{old}' occurs {count} times, expected once"
    with pytest.raises(InputError, match=re.escape(message)):
        find_once(SOURCE, old, "sum.v")


def test_a_fault_without_a_place_is_refused(tmp_path):
    with pytest.raises(
        InputError, match=r"rtl/pe\.v: 'no such text' occurs 0 times, expected once"
    ):
        faulty_rtl(tmp_path, "pe.v", ("no  such text", ""))


def test_tokens_of_verilog():
    text = 'a[3+:2]<=~|b?16\'hff:"x y";//c\n$signed(d) <<< 1'
    assert [token[0] for token in tokens(text)] == [
        *("a", "[", "3", "+:", "2", "]", "<=", "~|", "b", "?", "16", "'", "hff", ":", '"x y"', ";"),
        *("$signed", "(", "d", ")", "<<<", "1"),
    ]
