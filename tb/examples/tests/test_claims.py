"""Whatever an adapter claims of its array, an array that breaks just that claim does not pass.

The claims are the attributes and methods of `ArrayAdapter`. Some cannot hide a fault, whatever
their value: a broken array fails with them too.
"""

import inspect

import pytest

from tb.components.array_adapter import OWN, SIZES, ArrayAdapter, adapter_class
from tb.components.systolic_array_adapter import SystolicArrayAdapter
from tb.modules.pytest_runs import first_few
from tb.run.check import check
from tb.sim.sources import RTL, check_sources, faulty_rtl

SUM = "psum_o <= psum_i + product;"
SIGN = "ACT_SIGNED != 0 && act_i[ACT_WIDTH-1];"
ACT = "{swap, zeros[r], acts[r*ACT_WIDTH +: ACT_WIDTH]};"
SOUTH = "= g_row[ROWS-1].g_col[c].psum_south;"
SOURCES = [str(RTL / f"{name}.v") for name in ("load_first_array", "load_first_pe", "skew")]
ADAPTER = f"""
from cocotb.triggers import RisingEdge
from tb.examples.load_first_array import LoadFirstArray

class Mine(LoadFirstArray):
    SOURCES = {SOURCES}
"""

# What breaks each claim in our own array: the source, what stands there and what stands there
# instead. The array of the claims in SIGNED takes signed activations.
ARRAYS = {
    "act_signed": ("pe.v", SIGN, "1'b0;"),
    "act_signed = False": ("pe.v", SIGN, "act_i[ACT_WIDTH-1];"),
    "act_width": ("systolic_array.v", ACT, ACT.replace("};", "} & 6'h37;")),
    "weight_width": ("pe.v", "swap_i ? shadow : active;", "(swap_i ? shadow : active) | -8;"),
    "psum_width": ("pe.v", SUM, "psum_o <= (psum_i + product) << 6 >>> 6;"),
    "rows": ("systolic_array.v", ACT, "(r == ROWS - 1) ? {swap, 5'd0} : " + ACT),
    "cols": (
        "systolic_array.v",
        SOUTH,
        "= g_row[ROWS-1].g_col[c == COLS - 1 ? c - 1 : c].psum_south;",
    ),
}
SIGNED = {"act_signed"}
# What breaks each claim in the adapter of another array
ADAPTERS = {
    "reset": "async def reset(self): await RisingEdge(self.clock)",
    "load": "async def load(self, weights): await super().load(weights[::-1])",
    "stream": "async def stream(self, activations): await super().stream(activations[::-1])",
    "play": "async def play(self, weights, activations):\n"
    "        await super().play(weights[:-1], activations[:-1])",
    "psums": "def psums(self):\n"
    "        found = super().psums()\n"
    "        return found and [found[16 * c + 15 : 16 * c] for c in range(7, -1, -1)]",
    "PARAMETERS": 'PARAMETERS = {"ROW": 8}',
    "TOPLEVEL": 'TOPLEVEL = "load_first_pe"',
    "CLOCK": 'CLOCK = "rst_i"',
}
# Values of these hide nothing; the array has a fault of its own.
NEVER_HIDE = {"latency": "self.latency = 300", "patience": "self.patience = 500"}
# Where these claims are broken: what a design is compiled from (test_examples.py), what leaves
# arrays of other dataflows (test_dataflows.py), what waveforms and the report show, and what every
# adapter inherits
ELSEWHERE = {
    *("SOURCES", "INCLUDES", "DEFINES", "trace", "start", "run", "limit", "vectors", "check_fit"),
    *("act_range", "design", "options", "changed", "arrived", "depth", "expected", "shows"),
    *("subject", "PORTS_ONLY", "pe", "VARIABLES", "variables", "tile_size"),
}


def test_every_claim_is_listed():
    public = {name for name in vars(ArrayAdapter) if not name.startswith("_")}
    public |= {"TOPLEVEL", "SOURCES", *SIZES}
    broken = {claim.partition(" ")[0] for claim in (*ARRAYS, *ADAPTERS, *NEVER_HIDE)}
    assert broken | ELSEWHERE == public
    for name in ELSEWHERE - {"SOURCES", "INCLUDES", "DEFINES", "PORTS_ONLY", "VARIABLES", "shows"}:
        assert inspect.isroutine(member := vars(ArrayAdapter)[name]) or isinstance(
            member, property | classmethod
        )


@pytest.mark.parametrize("claim", first_few(ARRAYS, 2))
def test_an_array_that_breaks_a_claim_does_not_pass(claim, tmp_path):
    source, old, new = ARRAYS[claim]
    for right in (True, False):
        rtl = RTL if right else faulty_rtl(tmp_path, source, (old, new))
        dut = SystolicArrayAdapter.of_size(8, 8, 4, 4, claim in SIGNED)
        dut = dut.changed(SOURCES=check_sources(rtl))
        assert (check(OWN, "icarus", dut).failure is None) == right


@pytest.mark.parametrize("claim", first_few(ADAPTERS, 1))
def test_an_adapter_that_breaks_a_claim_does_not_pass(claim, tmp_path, monkeypatch, command):
    assert run_adapter(tmp_path, command, ADAPTERS[claim]) != 0


@pytest.mark.parametrize("claim", first_few(NEVER_HIDE, 0))
def test_a_value_that_hides_nothing(claim, tmp_path, command):
    body = f"def __init__(self, dut):\n        super().__init__(dut)\n        {NEVER_HIDE[claim]}"
    assert run_adapter(tmp_path, command, body) == 0
    rtl = faulty_rtl(tmp_path, "load_first_pe.v", ("psum_i + product", "psum_i + product + 1"))
    broken = body + f"\n    SOURCES = {[str(rtl / one.split('/')[-1]) for one in SOURCES]}"
    assert run_adapter(tmp_path, command, broken) != 0


def run_adapter(folder, command, body: str) -> int:
    """Returns the exit code of make check on the second array, by an adapter with this body."""
    from tb.run.check import main

    path = folder / "mine.py"
    path.write_text(f"{ADAPTER}    {body}\n")
    assert adapter_class(path)
    return command(main, "-q", "--dut", path)[0]
