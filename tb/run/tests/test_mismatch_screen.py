"""The hint names a fault in the RTL whose place is drawn by the seed."""

import json
import os
import re

import numpy as np
import pytest
from pylibfst import ffi, lib
from pylibfst.helpers import fstReaderIterBlocks, get_scopes_signals2

from pymodel.support.errors import InputError
from tb.components.packing import unpack
from tb.components.tile_run import Record
from tb.run import mismatch_screen
from tb.run.layer import main
from tb.sim.sources import faulty_rtl
from tb.sim.wave_window import cut_waveform

SEED = int(os.environ.get("COCOTB_RANDOM_SEED", "1"))
ARRAY = "systolic_array.v"
ACT = "assign {swap_west, act_west} = act_skewed[r*ACT_LANE +: ACT_LANE];"
NORTH = "assign psum_north = g_row[r-1].g_col[c].psum_south;"
SOUTH = "assign psum_skewed[c*PSUM_WIDTH +: PSUM_WIDTH] = g_row[ROWS-1].g_col[c].psum_south;"
WEIGHT = "{hops, weight_i[r*WEIGHT_WIDTH +: WEIGHT_WIDTH]}"
HOPS = "assign hops_west = g_row[r].g_col[c-1].hops_east;"
SWAP = "wire swap = act_valid_i && act_swap_i;"
SIGN = "{(PSUM_WIDTH - WEIGHT_WIDTH){weight[WEIGHT_WIDTH-1]}}"
ADD = "psum_o <= psum_i + product;"
DESKEW = "skew #(.LANES(COLS), .WIDTH(PSUM_WIDTH), .REVERSE(1)) psum_deskew ("
VALID = "assign psum_valid_o = "


def low(signal: str, bits: int, sign: str) -> str:
    """Returns Verilog for the lowest bits of a psum, extended by `sign`."""
    return f"{{{{(PSUM_WIDTH-{bits}){{{sign}}}}}, {signal}[{bits - 1}:0]}}"


def sign_dropped(rng):
    return (
        "pe.v",
        [(SIGN, SIGN.replace("weight[WEIGHT_WIDTH-1]", "1'b0"))],
        "sign of weights dropped",
    )


def products_truncated(rng):
    bits = int(rng.integers(5, 7))
    cut = low("product", bits, f"product[{bits - 1}]")
    words = f"products truncated to {bits} bits, in all PEs"
    return "pe.v", [(ADD, f"psum_o <= psum_i + {cut};")], words


def psum_truncated(rng):
    row, bits = int(rng.integers(3, 7)), int(rng.integers(5, 7))
    whole = "g_row[r-1].g_col[c].psum_south"
    cut = low(whole, bits, f"{whole}[{bits - 1}]")
    fault = f"assign psum_north = r == {row + 1} ? {cut} : {whole};"
    return ARRAY, [(NORTH, fault)], f"psum below row {row} truncated to {bits} bits"


def rows_reversed(rng):
    fault = WEIGHT.replace("weight_i[r*", "weight_i[(ROWS-1-r)*")
    return ARRAY, [(WEIGHT, fault)], "rows reversed"


def columns_reversed(rng):
    lanes = (
        "wire [COLS*PSUM_WIDTH-1:0] lanes;\n"
        "generate for (c = 0; c < COLS; c = c + 1) begin : g_out\n"
        "assign psum_o[c*PSUM_WIDTH +: PSUM_WIDTH] = lanes[(COLS-1-c)*PSUM_WIDTH +: PSUM_WIDTH];\n"
        f"end endgenerate\n{DESKEW}"
    )
    faults = [(DESKEW, lanes), (".data_o(psum_o)", ".data_o(lanes)")]
    return ARRAY, faults, "columns of psums reversed"


def row_late(rng):
    row = int(rng.integers(0, 8))
    lane = "act_skewed[r*ACT_LANE +: ACT_LANE]"
    fault = (
        f"reg [ACT_WIDTH-1:0] late; always @(posedge clk_i) late <= {lane};\n"
        f"assign {{swap_west, act_west}} = r == {row} ? "
        f"{{act_skewed[r*ACT_LANE + ACT_WIDTH], late}} : {lane};"
    )
    return ARRAY, [(ACT, fault)], f"activations one cycle late, in row {row}"


def column_late(rng):
    column = int(rng.integers(0, 8))
    south = "g_row[ROWS-1].g_col[c].psum_south"
    fault = (
        f"reg [PSUM_WIDTH-1:0] late; always @(posedge clk_i) late <= {south};\n"
        + SOUTH.replace(south, f"(c == {column} ? late : {south})")
    )
    return ARRAY, [(SOUTH, fault)], f"psums one cycle late, in column {column}"


def swap_late(rng):
    fault = (
        "reg late; always @(posedge clk_i) late <= act_valid_i && act_swap_i;\nwire swap = late;"
    )
    return ARRAY, [(SWAP, fault)], "swap of weights 1 cycle late"


def weights_of_the_tile_before(rng):
    """Returns the fault that every second tile's weights do not come."""
    fault = (
        "reg [7:0] loads = 0;\nalways @(posedge clk_i) loads <= loads + weight_valid_i;\n"
        "wire [HOPS_WIDTH-1:0] hops = weight_valid_i && !loads[3] ?"
    )
    right = "wire [HOPS_WIDTH-1:0] hops = weight_valid_i ?"
    return ARRAY, [(right, fault)], "weights of the tile before, in all PEs"


def columns_without_weights(rng):
    column = int(rng.integers(1, 7))
    fault = HOPS.replace("g_row", f"c == {column} ? 0 : g_row")
    return ARRAY, [(HOPS, fault)], f"does not pass column {column}"


def weight_bit_stuck(rng):
    row, bit = int(rng.integers(0, 8)), int(rng.integers(0, 3))
    whole = "weight_i[r*WEIGHT_WIDTH +: WEIGHT_WIDTH]"
    fault = f"{{hops, {whole} | (r == {row} ? 4'd{1 << bit} : 4'd0)}}"
    return ARRAY, [(WEIGHT, fault)], f"bit {bit} of weights stuck at 1, in row {row}"


def vector_lost(rng):
    lost = int(rng.integers(40, 100))
    fault = (
        "reg [31:0] count = 0;\n"
        "always @(posedge clk_i) count <= rst_i ? 0 : count + valid_taps[LATENCY];\n"
        f"{VALID} count != {lost} && "
    )
    return ARRAY, [(VALID, fault)], "one psum vector lost"


def product_sign_dropped_in_one_pe(rng):
    row, column = rng.integers(0, 8, 2).tolist()
    north = "reg [PSUM_WIDTH-1:0] north;\nalways @(posedge clk_i) north <= psum_north;\n"
    fault = (
        f"wire [PSUM_WIDTH-1:0] sum;\n{north}wire [PSUM_WIDTH-1:0] product = sum - north;\n"
        f"assign psum_south = r == {row} && c == {column} ? north + (product & 16'hff) : sum;\n"
        "pe #("
    )
    words = f"sign of products dropped, in PE (row {row}, column {column})"
    return ARRAY, [("pe #(", fault), (".psum_o (psum_south)", ".psum_o(sum)")], words


def activations_stop(rng):
    """Returns the fault that a PE hands on 0, so that the columns east of it add nothing there."""
    row, column = int(rng.integers(0, 8)), int(rng.integers(1, 8))
    fault = f".act_i(r == {row} && c == {column} ? 4'd0 : act_west)"
    words = f"nothing added, in row {row} from column {column} on"
    if column == 7:
        words = f"nothing added, in PE (row {row}, column 7)"
    return ARRAY, [(".act_i (act_west)", fault)], words


def two_columns(rng):
    """Returns the faults that one column is late and another lacks its lowest bit."""
    late, cut = rng.choice(8, 2, replace=False).tolist()
    south = "g_row[ROWS-1].g_col[c].psum_south"
    fault = (
        f"reg [PSUM_WIDTH-1:0] late; always @(posedge clk_i) late <= {south};\n"
        + SOUTH.replace(south, f"(c == {late} ? late : c == {cut} ? {south} & ~16'd1 : {south})")
    )
    return ARRAY, [(SOUTH, fault)], f"bit 0 of psums stuck at 0, in column {cut}"


FAULTS = [
    sign_dropped,
    products_truncated,
    psum_truncated,
    rows_reversed,
    columns_reversed,
    row_late,
    column_late,
    swap_late,
    weights_of_the_tile_before,
    columns_without_weights,
    weight_bit_stuck,
    vector_lost,
    product_sign_dropped_in_one_pe,
    activations_stop,
    two_columns,
]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Gives each test its own folder for results and waveform."""
    monkeypatch.setattr(mismatch_screen, "MISMATCH", tmp_path / "mismatch.json")
    monkeypatch.setattr(mismatch_screen, "WAVEFORM", tmp_path / "mismatch.fst")


@pytest.mark.verify
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_the_hint_is_right_and_the_waveform_is_cut_around_the_first_wrong_psum(
    fault, command, tmp_path
):
    source, replacements, words = fault(np.random.default_rng(SEED))
    rtl = faulty_rtl(tmp_path, source, *replacements)
    code, out, _ = command(main, "--rtl", rtl, "--images", 1, "--results", tmp_path / "layer.json")
    assert code == 1
    found = json.loads((tmp_path / "mismatch.json").read_text())
    assert words in found["hint"]
    assert found["hint"] in out
    y, x = found["pixel"]
    place = f"pixel ({y}, {x}), channel {found['channel']} (column {found['column']}), cycle "
    assert f"{place}{found['cycle']}\n" in out
    check_waveform(tmp_path, found)


def check_waveform(folder, found: dict) -> None:
    """Checks that the waveform has the record's psums at the times of its cycles, and a marker."""
    record = Record.load(folder / "layer.npz")
    first, last = max(0, found["cycle"] - 50), found["cycle"] + 50
    seen = waveform_values(folder / "mismatch.fst", "systolic_array.psum_o")
    assert min(seen) == record.time(first)
    assert max(seen) <= record.time(last)
    checked = 0
    for cycle, word, unknown in zip(record.cycles, record.received, record.unknown, strict=True):
        before = [time for time in seen if time < record.time(cycle)]
        if first < cycle <= last:
            psums = np.where(unknown, None, word.astype(object)).tolist()
            assert columns(seen[max(before)]) == psums
            checked += 1
    assert checked > 20
    # At the marker stands what came.
    (marker,) = re.findall(r"\*-16.300000 (\d+) ", (folder / "mismatch.gtkw").read_text())
    there = seen[max(time for time in seen if time <= int(marker))]
    assert columns(there)[found["column"]] == found["got"]


def columns(word: str) -> list[int | None]:
    """Returns the eight psums of a word of the waveform; None for one with an X or Z in it."""
    bits = word.rjust(128, word[0] if word[0] in "xz" else "0")
    parts = [bits[at : at + 16] for at in range(112, -1, -16)]
    return [
        None if set(part) - {"0", "1"} else int(unpack([int(part, 2)], 1, 16)[0, 0])
        for part in parts
    ]


def waveform_values(path, name: str) -> dict[int, str]:
    """Returns the bits of one signal by the time of each change."""
    reader = lib.fstReaderOpen(str(path).encode())
    _, signals = get_scopes_signals2(reader)
    (handle,) = (s.handle for n, s in signals.by_name.items() if n.split(" [")[0] == name)
    lib.fstReaderSetFacProcessMask(reader, handle)
    values = {}
    fstReaderIterBlocks(
        reader, lambda _, time, __, text: values.update({time: ffi.string(text).decode()})
    )
    lib.fstReaderClose(reader)
    return values


def test_a_file_that_is_no_waveform(tmp_path):
    (tmp_path / "no.fst").write_text("nothing")
    with pytest.raises(InputError, match=r"no.fst: is no waveform"):
        cut_waveform(tmp_path / "no.fst", tmp_path / "cut.fst", 0, 1)
    assert not (tmp_path / "cut.fst").exists()


@pytest.mark.verify
def test_too_little_came_and_all_of_it_is_right(command, tmp_path):
    """There is no screen, but a waveform around the last psum; earlier results are gone."""
    mismatch_screen.MISMATCH.write_text("of before")
    fault = (
        "reg [31:0] count = 0;\n"
        "always @(posedge clk_i) count <= rst_i ? 0 : count + valid_taps[LATENCY];\n"
        f"{VALID} count < 90 && "
    )
    rtl = faulty_rtl(tmp_path, ARRAY, (VALID, fault))
    code, out, _ = command(main, "--rtl", rtl, "--images", 1, "--results", tmp_path / "layer.json")
    assert code == 1
    assert "FAILED: missing output: 54 of 144" in out
    assert "All 90 psum vectors that came are right, up to cycle 112." in out
    assert (tmp_path / "mismatch.fst").exists()
    assert not mismatch_screen.MISMATCH.exists()
