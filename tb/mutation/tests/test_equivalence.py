"""The miter tells which differences in a register's bit matter, and lemmas which never occur."""

import json
import re

import pytest

from pymodel.support.files import ROOT, temporary_folder
from tb.mutation.drawn_mutants import BUILD, TARGETS, Mutant, read, yosys
from tb.mutation.equivalence import cut, equivalent, over_two_cycles

# The stored bit reaches output y only while `valid` is 1.
MODULE = """
module {name} (input clk, input a, output y, output z);
  reg valid, bit;
  always @(posedge clk) begin
    valid <= a;
    bit   <= {stored};
  end
  assign y = {seen};
  assign z = valid;
endmodule
"""


@pytest.fixture(scope="module")
def netlists():
    """Returns `gold` and netlists that store or see another bit, and a folder for the questions."""
    others = {
        "gold": ("a", "bit && valid"),
        "masked": ("1'b1", "bit && valid"),
        "inverted": ("a", "!(bit && valid)"),
        "stored": ("!a", "bit && valid"),
    }
    with temporary_folder("test-equivalence", BUILD) as folder:
        source = folder / "all.v"
        source.write_text(
            "".join(MODULE.format(name=n, stored=s, seen=y) for n, (s, y) in others.items())
        )
        at = folder.relative_to(ROOT)
        yosys(f"read_verilog {at}/all.v", "proc", "opt_clean", f"write_json {at}/all.json")
        modules = json.loads((folder / "all.json").read_text())["modules"]
        for module in modules.values():  # cells have names, not numbers, that all modules share
            flops = [name for name, cell in module["cells"].items() if cell["type"] == "$dff"]
            for name in flops:
                (net,) = (
                    net
                    for net, wire in module["netnames"].items()
                    if wire["bits"] == module["cells"][name]["connections"]["Q"] and net != "z"
                )
                module["cells"][net] = module["cells"].pop(name)
        yield {name: cut(module) for name, module in modules.items()}, folder


@pytest.mark.parametrize(
    ("name", "may_differ", "same"),
    [
        ("masked", {"next:bit[0]"}, True),
        ("masked", set(), False),  # the bit itself does differ
        ("inverted", {"next:bit[0]"}, False),  # in the first cycle
        ("stored", {"next:bit[0]"}, False),  # in the second
    ],
)
def test_over_two_cycles(netlists, name, may_differ, same):
    sides, folder = netlists
    assert over_two_cycles(sides["gold"], sides[name], may_differ, folder) is same


@pytest.mark.verify
@pytest.mark.parametrize(
    ("register", "same", "differs"), [("weight_words_o", 1, 2), ("error_1", 3, 1)]
)
def test_lemmas_of_a_build_show_which_bits_are_always_0(register, same, differs):
    """With 4 columns, weights come in multiples of 4 words; and no error is above 7."""
    target = next(t for t in TARGETS if t.module == "geometry" and t.parameters["SUM_WIDTH"] == 32)
    assert target.parameters["COLS"] == 4
    (cell,) = (
        name
        for name, body in re.findall(
            r"cell \$\w+ (\$procdff\S+)\n(.*?)\n  end",
            yosys(*read(target), "dump geometry/t:$dff*"),
            re.DOTALL,
        )
        if re.search(rf"connect \\Q \\{register}\b", body)
    )
    change = "mutate -mode const0 -module geometry -cell {} -port Q -portbit {}"
    mutants = [Mutant(target, bit, change.format(cell, bit), "") for bit in (same, differs)]
    assert equivalent(target, mutants) == {same}
