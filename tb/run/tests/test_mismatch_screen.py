"""The hint names a fault in the RTL whose place is drawn by the seed."""

import json
import os
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from pylibfst import ffi, lib
from pylibfst.helpers import fstReaderIterBlocks, get_scopes_signals2
from rich.console import Console

from pymodel.hardware.tiling import cut
from pymodel.reference.integer_convolution import tile_psums
from pymodel.support.errors import InputError
from tb.components.packing import unpack
from tb.components.tile_run import Record, TileRun
from tb.run import mismatch_screen
from tb.run.layer import main
from tb.run.likely_cause import Cause, Diagnosis, Suspect, diagnose
from tb.run.mismatch_screen import hint, screen, show_mismatch, summary
from tb.sim.sources import faulty_rtl
from tb.sim.wave_window import cut_waveform
from tb.sim.waves import SAVE_FILES, Watch

SEED = int(os.environ.get("COCOTB_RANDOM_SEED", "1"))
ARRAY = "systolic_array.v"
ACT = "assign {swap_west, zero_west, act_west} = act_skewed[r*ACT_LANE +: ACT_LANE];"
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
        f"assign {{swap_west, zero_west, act_west}} = r == {row} ? "
        f"{{act_skewed[r*ACT_LANE + ACT_WIDTH +: 2], late}} : {lane};"
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
    # The marker is at the received psum.
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


def record_of(cols: int, groups: int = 2) -> Record:
    """Returns a record without a fault, of at most 140 psum vectors, on an array of 3 rows.

    The layer has two images, and so many input groups and output groups.
    """
    rng = np.random.default_rng(3)
    codes = rng.integers(0, 16, (2, 2 * groups, 3, 4))
    weights = rng.integers(-7, 8, (groups * cols, 2 * groups, 1, 2))
    tiles = cut(codes, weights, 1, 0, 3, cols)
    codes, weights = torch.tensor(codes), torch.tensor(weights)
    psums = [tile_psums(codes, weights, tile, 1, 0, 3, cols) for tile in tiles.tiles]
    run = TileRun(tiles, torch.stack(psums, dim=1).numpy())
    received = run.expected.reshape(-1, cols)[:140].copy()
    unknown = np.zeros(received.shape, bool)
    return Record(run, received, unknown, 100 + 2 * np.arange(len(received)), (4, 4, 16), (500, 10))


def faulty_record(cols: int, column: int, first: int, groups: int = 2) -> Record:
    """Returns a record whose first fault is an X; then the lowest bit of the next column is 0."""
    record = record_of(cols, groups)
    record.received[first, column], record.unknown[first, column] = 0, True
    record.received[first + 2 :, column + 1] &= ~1
    return record


def lines_of(parts, width: int) -> str:
    """Returns what a terminal of `width` characters shows."""
    console = Console(width=width, color_system=None)
    with console.capture() as captured:
        console.print(*parts, sep="\n")
    return "\n".join(line.rstrip() for line in captured.get().splitlines())


WIDE = """\
First wrong psum: image 0, kernel position (0, 1), input group 1, output group 1, pixel (1, 0),
channel 6 (column 2), cycle 232
                expected                                     got
 tile  groups pixel    0    1    2     3    tile  groups pixel    0    1    2     3
 (0,1) 0→1    (2,2)   54   78  -14  -116    (0,1) 0→1    (2,2)   54   78  -14  -116
 (0,1) 1→1    (0,0)  -55   77  -22    55    (0,1) 1→1    (0,0)  -55   77  -22    55
 (0,1) 1→1    (0,1)  -65   91  -26    65    (0,1) 1→1    (0,1)  -65   91  -26    65
 (0,1) 1→1    (0,2)  -20   28   -8    20    (0,1) 1→1    (0,2)  -20   28   -8    20
 (0,1) 1→1    (1,0)    0    0   0*     0    (0,1) 1→1    (1,0)    0    0   X*     0
 (0,1) 1→1    (1,1)   -5    7   -2     5    (0,1) 1→1    (1,1)   -5    7   -2     5
 (0,1) 1→1    (1,2)  -75  105  -30   75*    (0,1) 1→1    (1,2)  -75  105  -30   74*
 (0,1) 1→1    (2,0)  -20   28   -8    20    (0,1) 1→1    (2,0)  -20   28   -8    20
Hint: bit 0 of psums stuck at 0, in column 3 (explains 30 of 30 wrong psums; only at times, 48% of
what it predicts)."""
NARROW = """\
First wrong psum: image 0, kernel position (0, 1),
input group 0, output group 1, pixel (2, 1),
channel 17 (column 7), cycle 222
                     expected
 tile grou… pix…   2   3    4   5    6  7    8   9
 (0,… 0→1   (1,… -43  55 -128  20  -46 89  183  16
 (0,… 0→1   (1,…  13  48 -139  46  -26 25  139  65
 (0,… 0→1   (1,…   4  61 -123  70  -20 30  128  41
 (0,… 0→1   (2,… -29  22  -23  10  -14 41   53 -19
 (0,… 0→1   (2,… -65  34  -55  -8  -38 9…  125 -31
 (0,… 0→1   (2,… -34  48  -82  32  -28 64  122  -2
 (0,… 1→1   (0,… -66 -22   44 -22  -66 44  55* -22
 (0,… 1→1   (0,… -78 -26   52 -26  -78 52  65* -26
                       got
 tile grou… pix…   2   3    4   5    6  7    8   9
 (0,… 0→1   (1,… -43  55 -128  20  -46 89  183  16
 (0,… 0→1   (1,…  13  48 -139  46  -26 25  139  65
 (0,… 0→1   (1,…   4  61 -123  70  -20 30  128  41
 (0,… 0→1   (2,… -29  22  -23  10  -14 41   53 -19
 (0,… 0→1   (2,… -65  34  -55  -8  -38 X*  125 -31
 (0,… 0→1   (2,… -34  48  -82  32  -28 64  122  -2
 (0,… 1→1   (0,… -66 -22   44 -22  -66 44  54* -22
 (0,… 1→1   (0,… -78 -26   52 -26  -78 52  64* -26"""


def test_the_maps_of_a_small_array():
    """Both maps stand side by side, with a star at what is wrong."""
    record = faulty_record(4, 2, 66)
    _, title, maps, *_, last = screen(record, diagnose(record))
    assert lines_of([title, maps, last], 98) == WIDE


def test_the_maps_where_there_is_little_room():
    """A row of a map stays a line, and eight of ten columns are shown."""
    record = faulty_record(10, 7, 61)
    _, title, maps, *_ = screen(record, diagnose(record))
    assert lines_of([title, maps], 50) == NARROW


@pytest.mark.parametrize(("unknown", "came", "share"), [(True, "X", "100%"), (False, "0", "97%")])
def test_the_table_of_suspects(unknown, came, share):
    """The table shows the expected psum, the received psum and three suspects, in 80 columns."""
    record = faulty_record(10, 7, 61)
    record.unknown[61, 7] = unknown
    table = screen(record, diagnose(record))[4]
    assert lines_of([table], 80).splitlines() == [
        f"{'':45}psum      explains,      received,",
        f"{'suspect':44}there   of the wrong   of predicted",
        "─" * 79,
        f"{'none: what was expected':44}{'94':>5}",
        f"{'received':44}{came:>5}",
        f"{'bit 0 of psums stuck at 0, in column 8':44}{'94':>5}{share:>15}{'54%':>15}",
        f"{'psums off by -1, in column 8':44}{'94':>5}{share:>15}{'27%':>15}",
        f"{'bit 0 of psums stuck at 0, in all columns':44}{'94':>5}{share:>15}{'7%':>15}",
    ]


def test_where_there_is_little_room_the_suspects_take_several_lines():
    record = faulty_record(10, 7, 61)
    table = screen(record, diagnose(record))[4]
    assert lines_of([table], 60).splitlines()[-2:] == [
        f"{'bit 0 of psums stuck':25}{'94':>5}{'100%':>15}{'7%':>15}",
        "at 0, in all columns",
    ]


def test_only_the_first_wrong_psum_stands_out():
    record = faulty_record(10, 7, 61)
    for table in screen(record, diagnose(record))[2].renderables:
        rows = list(zip(*(column.cells for column in table.columns[3:]), strict=True))
        assert {
            (row, column): str(cell.style)
            for row, cells in enumerate(rows)
            for column, cell in enumerate(cells)
            if cell.style
        } == {(4, 5): "bold red reverse", (6, 6): "red", (7, 6): "red"}


def test_a_layer_of_one_group_has_no_groups_in_its_maps():
    record = faulty_record(4, 2, 7, groups=1)
    text = lines_of(screen(record, diagnose(record)), 98)
    assert "First wrong psum: image 0, kernel position (0, 0), pixel (2, 1), channel 2 (" in text
    assert "→" not in text
    assert "groups" not in text


def test_the_keys_of_the_result():
    record = faulty_record(10, 7, 61)
    found = summary(record, diagnose(record))
    first, second, third = found.pop("suspects")
    assert found == {
        "image": 0,
        "kernel_position": [0, 1],
        "input_group": 0,
        "output_group": 1,
        "pixel": [2, 1],
        "column": 7,
        "channel": 17,
        "cycle": 222,
        "expected": 94,
        "got": None,
        "wrong": 38,
        "hint": "bit 0 of psums stuck at 0, in column 8 (explains 38 of 38 wrong psums; only at "
        "times, 54% of what it predicts).",
    }
    words = "bit 0 of psums stuck at 0, in column 8"
    assert first == {
        "words": words,
        "explained": 38,
        "recall": 1.0,
        "precision": 38 / 71,
        "value": 94,
    }
    assert [second["words"], third["words"]] == [
        "psums off by -1, in column 8",
        "bit 0 of psums stuck at 0, in all columns",
    ]


def diagnosis(precision: float | None, unknown: str = "") -> Diagnosis:
    """Returns a diagnosis with one suspect, or none."""
    suspects = []
    if precision is not None:
        suspects.append(Suspect((Cause("rows reversed"),), 1500, 0.75, precision, 3))
    return Diagnosis(0, 0, 1, 2, 3, 2000, suspects, unknown)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (diagnosis(1.0), "rows reversed (explains 1,500 of 2,000 wrong psums)."),
        (diagnosis(0.6), "rows reversed (explains 1,500 of 2,000 wrong psums)."),
        (
            diagnosis(0.59),
            "rows reversed (explains 1,500 of 2,000 wrong psums; only at times, 59% of what it "
            "predicts).",
        ),
        (diagnosis(1.0, "X or Z"), "rows reversed (explains 1,500 of 2,000 wrong psums)."),
        (diagnosis(None, "X or Z in column 3"), "X or Z in column 3."),
        (diagnosis(None), "none of the usual suspects explains it."),
    ],
)
def test_the_hint_in_words(found, words):
    assert hint(record_of(4), found) == words


def test_the_cycle_and_the_file_of_a_mismatch(capsys):
    record = faulty_record(10, 7, 61)
    assert show_mismatch(record) == 222
    assert json.loads(mismatch_screen.MISMATCH.read_text()) == summary(record, diagnose(record))
    assert "First wrong psum: image 0" in capsys.readouterr().out


@pytest.mark.parametrize(("count", "cycle"), [(0, 0), (1, 100), (140, 378)])
def test_all_that_came_is_right(count, cycle, capsys):
    whole = record_of(10)
    parts = {name: vars(whole)[name][:count] for name in ("received", "unknown", "cycles")}
    assert show_mismatch(replace(whole, **parts)) == cycle
    words = f"All {count} psum vectors that came are right, up to cycle {cycle}.\n"
    assert capsys.readouterr().out == words
    assert not mismatch_screen.MISMATCH.exists()


@pytest.mark.parametrize(("cycle", "first"), [(222, 172), (50, 0), (49, 0), (51, 1)])
def test_the_cycles_around_a_mismatch(cycle, first, monkeypatch, capsys, tmp_path):
    """Cycle 0 ends at time 500, and a cycle takes 10; half a cycle before its end is marked."""
    record = record_of(10)
    cuts = []
    monkeypatch.setattr(mismatch_screen, "cut_waveform", lambda *given: cuts.append(given))
    mismatch_screen.cut_around(record, cycle, tmp_path / "whole.fst")
    times = 500 + 10 * first, 500 + 10 * (cycle + 50)
    assert cuts == [(tmp_path / "whole.fst", tmp_path / "mismatch.fst", *times)]
    assert f"Waveform of cycles {first} to {cycle + 50}: " in capsys.readouterr().out
    watch = Watch(str(tmp_path / "mismatch.fst"), cycle + 51, 500 + 10 * cycle - 5)
    assert mismatch_screen.watch_around(record, cycle) == watch


def test_an_earlier_mismatch_is_forgotten(tmp_path):
    waveform = tmp_path / "mismatch.fst"
    left = [mismatch_screen.MISMATCH, waveform, *map(waveform.with_suffix, SAVE_FILES.values())]
    for path in left[1:]:  # one of the files may be missing
        path.touch()
    mismatch_screen.forget_mismatch()
    assert not any(path.exists() for path in left)


@pytest.mark.parametrize(
    ("place", "count", "shown"),
    [
        (0, 3, range(3)),
        (2, 3, range(3)),
        (6, 7, range(7)),
        (7, 8, range(8)),
        (0, 20, range(8)),
        (4, 20, range(8)),
        (5, 20, range(1, 9)),
        (10, 20, range(6, 14)),
        (19, 20, range(12, 20)),
        (9, 10, range(2, 10)),
    ],
)
def test_what_is_shown_around_a_place(place, count, shown):
    assert mismatch_screen._around(place, count) == shown
