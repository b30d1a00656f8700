"""Assumptions that a module's proofs make about its neighbours hold in the core as layers run.

The assumptions of tb/formal/properties become checks at each rising edge, while the core runs
random layers. This shows that the proofs of single modules fit together.
"""

import re
import shutil
from pathlib import Path

import pytest

from tb.formal.prove import PROPERTIES, bound, inside, statements
from tb.modules.module_table import CORES, PART, SMALL_PART
from tb.sim.errors import BenchError
from tb.sim.run_bench import run_bench
from tb.sim.sources import RTL, faulty_rtl

# Assumptions about the proof itself: what it chooses to look at, or how its registers begin
OF_THE_PROOF = {
    "reset_first",
    "restart_first",
    "any_lane",
    "any_row",
    "any_register",
    "any_tap",
    "any_word",
    "same_word",
    "same_words",
    "held_at_first",
    "watched_exists",
    "unused_length",
}
# Assumptions about numbers, kept by the rows above, by geometry and by the host, in this order
OF_THE_DATA = {"psum_of_rows_above", "sums_fit", "thresholds_ascend"}
# Assumptions about small memories and layers; the core is checked with IN_CORE instead
OF_SMALL_SIZES = {"small_sizes", "tile_fits"}
# The sequencer stays on taps that reach the map (lemma_here), but before a layer it has any tap.
OF_THE_SEQUENCER = {"reaching"}
NOT_HERE = OF_THE_PROOF | OF_THE_DATA | OF_SMALL_SIZES | OF_THE_SEQUENCER
# Of a refused layer, the first tile also reaches the sequencer. A layer stays until it is taken
# (layer_stays), so these assumptions need only be checked when it is taken.
LAYER = ("layer_sizes", "layer_fits", "output_sizes", "layer_taps")
WHEN = {f"sequencer.{name}": "take_i" for name in LAYER}
# Conditions that the address generator is proven to keep for small sizes
IN_CORE = {
    "act_in_memory": "!(pixel_valid && pixel_inside) || act_address < ACT_WORDS",
    "pixel_in_memory": "!pixel_valid || pixel < PIXELS",
    "column_in_memory": "!(column_valid && tile_valid) || column_address < WEIGHT_WORDS",
}


def checked(module: str, rtl: Path) -> str:
    """Returns the source of a module of the core with checks; a violation ends the simulation.

    The source is for Verilator: in Icarus, an expression does not follow the signals that its
    functions read.
    """
    text, checks = bound(module, rtl), dict(IN_CORE) if module == "core" else {}
    found = statements(module) if (PROPERTIES / f"{module}.sv").exists() else []
    for statement in found:
        begin = re.search(rf"\b{statement.label}: {statement.kind} \(", text)
        end, depth = begin.end(), 1
        while depth:
            depth += {"(": 1, ")": -1}.get(text[end], 0)
            end += 1
        if statement.kind == "assume" and statement.label not in NOT_HERE:
            checks[statement.label] = text[begin.end() : end - 1]
        text = text[: begin.start()] + text[end + 1 :]  # with its semicolon
    reset = "rst_i" if re.search(r"input +wire +rst_i", text) else "1'b1"
    lines = "".join(
        f"    if (had_reset && {WHEN.get(f'{module}.{label}', '1')} && !({condition}))\n"
        f'      $fatal(1, "{module} is not given what it assumes: {label}");\n'
        for label, condition in checks.items()
    )
    before, _, after = text.rpartition("endmodule")
    return (
        f"{before}\n  reg had_reset = 1'b0;\n  always @(posedge clk_i) begin\n"
        f"    had_reset <= had_reset || {reset};\n{lines}  end\nendmodule{after}"
    )


def run(folder: Path, rtl: Path = RTL) -> None:
    """Runs random layers through a core with checks; raises BenchError if one is violated."""
    sources = []
    for module in sorted({"core"} | inside("core", rtl)):
        sources.append(folder / f"{module}.v")
        sources[-1].write_text(checked(module, rtl))
    for header in rtl.glob("*.vh"):
        shutil.copy(header, folder)
    run_bench(
        "tb.test_core_random",
        "core",
        simulator="verilator",
        variant="assumptions",
        parameters=CORES["4x4"].parameters(),
        settings={PART: SMALL_PART},
        sources=sources,
    )


@pytest.mark.verify
def test_what_is_assumed_holds(tmp_path):
    run(tmp_path)


@pytest.mark.verify
def test_what_is_violated_is_named(tmp_path, caplog):
    """If a module violates what its neighbour assumes, the check is named."""
    fault = ("row_taps_o <= row_taps_2;", "row_taps_o <= 7'h7f;")
    rtl = faulty_rtl(tmp_path, "geometry.v", fault)
    with pytest.raises(BenchError):
        run(tmp_path, rtl)
    assert "sequencer is not given what it assumes: layer_taps" in caplog.text
