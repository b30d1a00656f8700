"""Counts how often the nets of the arrays toggle, with and without gating at zeros.

python -m tb.gates activity                  # build/results/activity.json
python -m tb.gates activity --share 0.5 --images 4

Verilator runs each array on two inputs, and counts the toggles of every net: tiles of which each
bit toggles in a given share of the vectors that enter, and the trained layer of as many bits. Each
run is made twice: with the RTL, and with PEs as gates, because a `*` of the RTL hides the nets of
its multiplier. Every psum is checked. Toggles are no power: nets differ in capacitance, and
glitches do not count.
"""

import json
import os
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from tabulate import tabulate
from tqdm import tqdm

from pymodel.checkpoint import SHIPPED, SHIPPED_2BIT
from pymodel.hardware.tiling import cut
from pymodel.layer_capture import DEFAULT_LAYER
from pymodel.support.command import CommandParser, conclude, quiet, tell, whole_number
from pymodel.support.errors import InputError
from pymodel.support.files import RESULTS, ROOT, temporary_folder
from pymodel.support.result_files import remove_results, write_results
from tb.components.array_adapter import ADAPTER_FILE, OWN
from tb.gates.activity_bench import SETTINGS
from tb.gates.benches_on_gates import Design, synthesise
from tb.gates.toggle_counts import Place, toggle_counts
from tb.run.layer import LayerJob
from tb.sim.errors import BenchError
from tb.sim.result_about import Subject
from tb.sim.run_bench import keep_logs_quiet, run_bench
from tb.sim.simulators import check_simulator, leave_out_settings, random_seed
from tb.sim.sources import RTL, check_sources

RESULTS_FILE = RESULTS / "activity.json"
SIMULATOR = "verilator"
BENCHES = ("tb.gates.activity_bench", "tb.run.layer_bench")
RECONFIGURABLE = ROOT / "tb" / "components" / "reconfigurable.py"
TILES, PIXELS = 24, 64  # of the input whose bits toggle at a given rate
SHARE = 0.2  # the course's input activity
LAYER_IMAGES = 4
PES = {"systolic_array": "pe", "reconfigurable_array": "reconfigurable_pe"}
# The parts of an array, by the name of an instance. The array's own wires connect the parts, and do
# not count; nor do its few registers of valid and, in the reconfigurable one, of last steps.
PARTS = {
    "pe": "PEs",
    "hold": "hold at zero",
    **dict.fromkeys(("weight_skew", "act_skew", "north_skew", "psum_deskew"), "skew"),
}
# Signals of the RTL that are other names of a net that counts: inputs, weights that are passed on,
# parts of a bus, what leaves a skew; and where nothing is gated, products of which none is masked
ALIASES = re.compile(r".*_i|weight_o|weight_south_o|weight_low|weight_high|act_sign|taps")
NOT_GATED = {"low_product", "high_product"}


@dataclass(frozen=True, eq=False)
class Array:
    """An array in one of its modes."""

    name: str
    toplevel: str
    adapter: Path
    variables: Mapping[str, str] = field(default_factory=dict)  # of the adapter
    gating: bool = False
    checkpoint: Path = SHIPPED  # of a network whose squeezed layer fits the activations

    @property
    def parameters(self) -> dict[str, int]:
        """Returns the parameters of the module that are not its defaults."""
        return {"ZERO_GATING": 1} if self.gating else {}


def both(array: Array) -> list[Array]:
    """Returns an array, and the same array with gating at zeros."""
    return [array, replace(array, name=f"{array.name}, gated", gating=True)]


ARRAYS = (
    *both(Array("plain", "systolic_array", OWN)),
    *(
        one
        for mode, words in (("4bit", "4 bits"), ("2bit", "2 bits"))
        for dataflow in ("ws", "os")
        for one in both(
            Array(
                f"reconfigurable, {words}, {dataflow.upper()}",
                "reconfigurable_array",
                RECONFIGURABLE,
                {"MODE": mode, "DATAFLOW": dataflow},
                checkpoint=SHIPPED if mode == "4bit" else SHIPPED_2BIT,
            )
        )
    ),
)


@dataclass(frozen=True)
class Count:
    """What was counted in one run."""

    cycles: int
    macs: int
    zero_share: float  # share of the activations that are zero
    toggles: dict[str, int]  # by part of the array


def main() -> int:
    parser = CommandParser("tb.gates activity", __doc__)
    parser.add_argument(
        "--share",
        default=f"{SHARE:g}",
        help="share of the vectors that enter in which a bit of them toggles",
    )
    parser.add_argument("--images", default=str(LAYER_IMAGES), help="images of the trained layer")
    parser.add_argument("--only", default="", help="arrays with this text in their name")
    parser.add_argument("--rtl", type=Path, default=RTL, help="folder of the Verilog sources")
    arguments = parser.parse_args()
    check_simulator(SIMULATOR)
    leave_out_settings("COCOTB_TEST_FILTER")
    check_sources(arguments.rtl)
    random_seed()
    keep_logs_quiet()
    share = a_share(arguments.share)
    images = whole_number("--images", arguments.images, 1, 100)
    arrays = [array for array in ARRAYS if arguments.only in array.name]
    if not arrays:
        names = ", ".join(repr(array.name) for array in ARRAYS)
        raise InputError(f"--only is '{arguments.only}', expected a part of one of {names}")
    checkpoints = SHIPPED, SHIPPED_2BIT
    about = {"rtl": arguments.rtl, "checkpoint": checkpoints}
    subject = Subject("tb.gates.switching_activity", *BENCHES, **about)
    results = (
        RESULTS_FILE.with_stem(f"{RESULTS_FILE.stem}-part") if arguments.only else RESULTS_FILE
    )
    remove_results(results)
    inputs = {f"{share:.0%} of the vectors": share, DEFAULT_LAYER: None}
    jobs = [
        (array, words, gates)
        for words, given in inputs.items()
        for array in arrays
        for gates in (False, True)
    ]
    found = {}
    for job in tqdm(jobs, unit="run", disable=quiet() or None):
        array, words, gates = job
        try:
            found[job] = count(array, inputs[words], images, gates, arguments.rtl)
        except BenchError as error:
            where = "PEs as gates" if gates else "RTL"
            return conclude(f"FAILED: {array.name}, {where}, {words}: {error}", passed=False)
    rows = [
        row(array, words, found[array, words, False], found[array, words, True])
        for array, words, gates in jobs
        if not gates
    ]
    write_results(results, rows, passed=True, about=subject.unchanged())
    tell(table(rows))
    return conclude(
        "These are toggles of nets, not watts: nets differ in what a toggle costs, and glitches "
        f"do not count. Results: {os.path.relpath(results)}"
    )


def a_share(text: str) -> float:
    """Returns a share that is given as text; raises InputError unless it is above 0, at most 1."""
    try:
        share = float(text)
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise InputError(f"--share is '{text}', expected a share above 0, at most 1")
    return share


def count(array: Array, share: float | None, images: int, gates: bool, rtl: Path) -> Count:
    """Runs an array on tiles of which each bit toggles in `share` of the vectors, or on the layer.

    The layer, on `images` images, is run if `share` is None. With `gates` the PEs are gates. Raises
    BenchError if a psum is wrong, and InputError if Yosys refuses the RTL.
    """
    with temporary_folder("activity") as folder:
        results, saif = folder / "run.json", folder / "toggles.saif"
        job = LayerJob(
            SIMULATOR,
            images=images,
            checkpoint=str(array.checkpoint),
            results=str(results),
            dut=str(array.adapter),
        )
        tiles = {"share": share, "tiles": TILES, "pixels": PIXELS, "results": str(results)}
        settings = {SETTINGS: json.dumps(tiles), ADAPTER_FILE: str(array.adapter)}
        run_bench(
            BENCHES[0] if share else BENCHES[1],
            array.toplevel,
            simulator=SIMULATOR,
            parameters=array.parameters,
            sources=sources_of(array, gates, rtl),
            settings=settings | job.settings() | dict(array.variables),
            waves=False,
            variant="gates" if gates else "",
            toggles=saif,
        )
        result = json.loads(results.read_text())
        toggles = by_part(toggle_counts(saif), gates, array.gating)
    zeros = result["zero_share"] if share else zero_share(job)
    return Count(result["cycles"], result["macs"], zeros, toggles)


def zero_share(job: LayerJob) -> float:
    """Returns the share of a layer's activations that are zero as they enter, padding included."""
    layer = job.read()
    codes, weights = layer.activation_codes.numpy(), layer.weight_codes.numpy()
    sizes = {**layer.convolution._asdict(), "rows": codes.shape[1], "cols": len(weights)}
    return float((cut(codes, weights, **sizes).activations == 0).mean())


def sources_of(array: Array, gates: bool, rtl: Path) -> list[Path]:
    """Returns the Verilog files of an array; with `gates`, those of its PE as gates.

    Raises InputError if Yosys refuses the RTL.
    """
    sources = check_sources(rtl)
    if not gates:
        return sources
    pe = PES[array.toplevel]
    design = Design(pe, f"{array.toplevel}{'-gated' * array.gating}", array.parameters, (), OWN, {})
    netlist = synthesise(design, rtl, single_nets=True)
    return [source for source in sources if source.stem != pe] + netlist.sources


def by_part(nets: Mapping[Place, Mapping[str, int]], gates: bool, gating: bool) -> dict[str, int]:
    """Returns the toggles of each part of the array, each net counted once, where it is driven.

    Of PEs as gates, the nets of the gates count.
    """
    toggles: Counter[str] = Counter()
    for place, bits in nets.items():
        part = next((PARTS[name] for name in place if name in PARTS), None)
        if part is None or (gates and part == "PEs" and place[-1] != "gates"):
            continue
        toggles[part] += sum(
            n for bit, n in bits.items() if counts(bit.split("[")[0], part, gating)
        )
    return dict(toggles)


def counts(name: str, part: str, gating: bool) -> bool:
    """Returns whether a signal of a part counts, because it is no other name of one that does."""
    if ALIASES.fullmatch(name) or (name in NOT_GATED and not gating):
        return False
    return not (part == "skew" and name == "data_o")


def row(array: Array, words: str, rtl: Count, gates: Count) -> dict:
    """Returns a row of the results, a dictionary for JSON."""
    return {
        "array": array.name,
        "gating": array.gating,
        "input": words,
        "cycles": rtl.cycles,
        "macs": rtl.macs,
        "zero_share": rtl.zero_share,
        "toggles": rtl.toggles,
        "gate_toggles": gates.toggles,
        "pe_toggles_per_mac": rtl.toggles["PEs"] / rtl.macs,
        "pe_gate_toggles_per_mac": gates.toggles["PEs"] / gates.macs,
    }


def table(rows: list[dict]) -> str:
    """Returns a text table; each gated array is compared with the same array that is not gated."""
    lines = []
    plain = {(row["array"], row["input"]): row for row in rows if not row["gating"]}
    for one in rows:
        same = plain.get((one["array"].removesuffix(", gated"), one["input"]))
        less = ""
        if one["gating"] and same:
            less = f"{one['pe_gate_toggles_per_mac'] / same['pe_gate_toggles_per_mac'] - 1:+.1%}"
        lines.append(
            [
                one["input"],
                one["array"],
                f"{one['zero_share']:.1%}",
                *(
                    f"{one['toggles'].get(part, 0) / one['cycles']:,.0f}"
                    for part in ("PEs", "skew")
                ),
                f"{one['toggles'].get('hold at zero', 0) / one['cycles']:,.0f}",
                f"{one['pe_toggles_per_mac']:.2f}",
                f"{one['pe_gate_toggles_per_mac']:.2f}",
                less,
            ]
        )
    headers = [
        "input",
        "array",
        "zeros",
        "PEs, a cycle",
        "skew",
        "hold",
        "PEs, a MAC",
        "gates of PEs, a MAC",
        "gated",
    ]
    return tabulate(lines, headers, tablefmt="simple", disable_numparse=True)
