"""Toggles are counted where they belong, and an array that is wrong has none to show."""

import json

import numpy as np
import pytest

from tb.gates import switching_activity
from tb.gates.activity_bench import toggling
from tb.gates.switching_activity import ARRAYS, Count, by_part, count, main, row, table
from tb.sim.sources import RTL, faulty_rtl

NETS = {
    ("array",): {"act_i[0]": 9, "psum_o[0]": 8},
    ("array", "g_row[0]", "g_col[0]"): {"act_west": 7},
    ("array", "g_row[0]", "g_col[0]", "pe"): {
        "act_i[0]": 6,
        "act_o[0]": 5,
        "product[1]": 4,
        "low_product[1]": 30,
        "shadow[0]": 1,
        "weight_o[0]": 1,
    },
    ("array", "g_row[0]", "g_col[1]", "pe"): {"act_i[0]": 5, "act_o[0]": 3},
    ("array", "g_row[0]", "g_col[1]", "pe", "gates"): {"_7_": 2, "act_i[0]": 3, "clk_i": 90},
    ("array", "act_skew"): {"data_i[0]": 9, "data_o[0]": 1},
    ("array", "act_skew", "g_lane[1]", "g_delay"): {"stages[0]": 2, "taps[0]": 9, "taps[1]": 2},
    ("array", "g_zero_gating", "hold"): {"held[0]": 6, "hold_i": 1, "data_o[0]": 2},
}


def test_each_net_counts_once_where_it_is_driven():
    found = {"PEs": 13, "skew": 2, "hold at zero": 8}
    rtl = {place: bits for place, bits in NETS.items() if "gates" not in place}
    assert by_part(rtl, gates=False, gating=False) == found
    assert by_part(rtl, gates=False, gating=True) == found | {"PEs": 43}
    assert by_part(NETS, gates=True, gating=False) == found | {"PEs": 2}


@pytest.mark.parametrize("share", [0.2, 0.5, 1.0])
def test_bits_toggle_in_the_share_of_the_steps(share):
    codes = toggling(np.random.default_rng(1), 4000, 3, 4, share)
    assert codes.min() >= 0
    assert codes.max() <= 15
    toggles = (codes[1:] ^ codes[:-1])[..., None] >> np.arange(4) & 1
    np.testing.assert_allclose(toggles.mean((0, 1)), share, atol=0.02)


def test_gated_arrays_are_compared_with_the_same_array():
    counts = [Count(10, 100, 0.25, {"PEs": 1000, "skew": 50}) for _ in range(2)]
    gated = Count(10, 100, 0.25, {"PEs": 400, "skew": 50, "hold at zero": 20})
    rows = [
        row(ARRAYS[0], "layer", counts[0], Count(10, 100, 0.25, {"PEs": 5000})),
        row(ARRAYS[1], "layer", gated, Count(10, 100, 0.25, {"PEs": 4000})),
    ]
    lines = table(rows).splitlines()[2:]
    assert lines[0].split() == ["layer", "plain", "25.0%", "100", "5", "0", "10.00", "50.00"]
    assert lines[1].split()[-3:] == ["4.00", "40.00", "-20.0%"]
    assert rows[1]["pe_gate_toggles_per_mac"] == 40


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--share", "0"), ["--share is '0'", "above 0, at most 1"]),
        (("--share", "often"), ["--share is 'often'"]),
        (("--share", "nan"), ["--share is 'nan'"]),
        (("--images", "0"), ["--images is '0'"]),
        (("--only", "square"), ["--only is 'square'", "'plain'", "'reconfigurable, 4 bits, WS'"]),
    ],
)
def test_bad_arguments(refused, words, expected):
    refused(main, *words, words=expected)


@pytest.mark.verify
def test_held_nets_rest_and_a_wrong_array_fails(command, tmp_path, monkeypatch):
    """Nets of the RTL toggle less with gating; a wrong PE is named, and leaves no results."""
    plain, gated = (count(array, 0.2, 1, False, RTL) for array in ARRAYS[:2])
    assert (plain.cycles, plain.macs) == (gated.cycles, gated.macs)
    assert plain.zero_share == gated.zero_share > 0
    assert gated.toggles["PEs"] < plain.toggles["PEs"]
    # The nets of the multiplier count, which only the gates show.
    assert count(ARRAYS[0], 0.2, 1, True, RTL).toggles["PEs"] > 2 * plain.toggles["PEs"]

    monkeypatch.setattr(switching_activity, "RESULTS_FILE", tmp_path / "activity.json")
    (tmp_path / "activity.json").write_text(json.dumps([]))
    wrong = faulty_rtl(tmp_path, "pe.v", ("if (zero) begin", "if (1'b0) begin"))
    monkeypatch.setattr(switching_activity, "ARRAYS", ARRAYS[:2])
    code, out, _ = command(main, "--rtl", wrong)
    assert code == 1
    assert "FAILED: plain, gated, RTL, 20% of the vectors: mismatch: tile " in out
    assert not (tmp_path / "activity.json").exists()
