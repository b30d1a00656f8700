"""Holds the one table of the RTL modules: how each is tested, mutated, proven and synthesised.

A module's bench is tb/test_<module>.py, its properties are tb/formal/properties/<module>.sv, and
its named faults are in tb/mutation/named_faults.py. The table gives the parameters of the builds.
"""

import itertools
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pymodel.hardware.core import Core
from pymodel.support.files import ROOT
from tb.components.array_adapter import ADAPTER_FILE, OWN
from tb.sim.run_bench import run_bench

# pytest runs the benches on Icarus, or on the simulator that SIM names.
SIMULATORS = [os.environ.get("SIM", "icarus")]

Parameters = Mapping[str, int]

# Environment variables of benches that several modules or builds share
PART = "SYSTOLIC_CORE_PART"  # which part of the random layers a run of tb/test_core_random.py takes
TRAINED_LAYER = "SYSTOLIC_CORE_LAYER"  # which of the network's layers tb/test_core_layers.py runs
TRAINED_REPORT = "SYSTOLIC_CORE_REPORT"  # the file that takes what tb/test_core_layers.py counted

# Builds of the core: the default, some with small memories (a kernel of 7 × 7 fits, and they are
# soon ready after a reset), four that are not square, and those whose name ends with other bits of
# an activation and a weight. Of the small ones, 4x18 alone must have a FIFO deeper than 32, and
# more words of activations than of weights; the beats of 6x4-1-3 alone have bits above the lanes.
CORES = {
    "8x8": Core(),
    "4x4": Core(4, 4, 16, 120, 200, 2, 100, output_scaling=1, pool_width=8),
    "4x8": Core(4, 8, 16, act_words=150, weight_words=400, threshold_tiles=4, pixels=90),
    "4x18": Core(4, 18, 16, act_words=960, weight_words=900, threshold_tiles=2, pixels=64),
    "16x8": Core(16, 8),
    "8x16": Core(8, 16, pixels=200),
    "4x4-8-8": Core(
        4, 4, 24, 120, 200, 2, 100, act_width=8, weight_width=8, act_signed=1, output_scaling=1
    ),
    "6x4-1-3": Core(6, 4, 16, 120, 200, 2, 100, act_width=1, weight_width=3),
    "8x8-8-8": Core(sum_width=32, act_width=8, weight_width=8, act_signed=1, output_scaling=1),
    "8x8-2-4": Core(act_width=2, pool_width=32),
}
# The builds on which the parts of the random layers run
PARTS = (*("8x8",) * 5, *("4x4", "16x8", "8x16", "4x4-8-8", "6x4-1-3", "8x8-8-8", "8x8-2-4"))
SMALL_PART = str(PARTS.index("4x4"))
# The full array with memories for the trained layer and one image
CORE_OF_ONE_IMAGE = Core(act_words=16, weight_words=72, threshold_tiles=2, pixels=16)

ARRAY_NAMES = ("ROWS", "COLS", "ACT_WIDTH", "WEIGHT_WIDTH", "PSUM_WIDTH")
# The psum widths are the least that the other parameters allow, except that of the default.
ARRAYS = (
    (8, 8, 4, 4, 16),
    (3, 5, 8, 2, 12),
    (1, 1, 4, 4, 8),
    (8, 8, 2, 8, 13),
    (4, 8, 4, 4, 10),
    (8, 4, 4, 4, 11),
    (16, 16, 4, 4, 12),
)
DIAGRAMS = {"ROWS": 2, "COLS": 3}  # the array of the timing diagrams in rtl/README.md
LOAD_FIRST = ROOT / "tb" / "examples" / "load_first_array.py"
LOAD_FIRST_SETTINGS = {ADAPTER_FILE: str(LOAD_FIRST)}


@dataclass(frozen=True, eq=False)
class Bench:
    """The cocotb tests of a Python module, and the environment variables that they read."""

    module: str  # such as "tb.test_pe"
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Run:
    """One run of a bench on a build of a Verilog module."""

    bench: str
    toplevel: str
    parameters: Parameters
    settings: Mapping[str, str] = field(default_factory=dict)
    variant: str = ""  # name of the run among those with these parameters
    long: bool = False  # left to make verify
    measured: bool = True  # its coverage counts
    simulators: tuple[str, ...] = ()  # the simulators that it runs on; (): all

    def __str__(self) -> str:
        """Returns a name for a test or a file."""
        values = (f"{name}{value}" for name, value in self.parameters.items())
        return "-".join(filter(None, (self.variant, *values))) or "default"

    def on(self, simulator: str, **options: Any) -> None:
        """Runs the bench on a simulator; options and errors are as in `run_bench` of tb/sim."""
        run_bench(
            self.bench,
            self.toplevel,
            simulator=simulator,
            parameters=dict(self.parameters),
            settings=dict(self.settings),
            variant=self.variant,
            **options,
        )


@dataclass(frozen=True)
class GateRuns:
    """A build that is synthesised to gates, and the benches that run on them."""

    size: str  # name of the build among those of the module
    parameters: Parameters
    benches: tuple[str, ...]
    adapter: Path = OWN  # adapter of an array
    settings: Mapping[str, str] = field(default_factory=dict)  # environment variables of benches


@dataclass(frozen=True)
class Module:
    """A module of rtl/, and all that is run on it."""

    name: str
    runs: tuple[Run, ...]
    # Builds into which faults are put, and the benches that must find them; several builds where
    # parameters choose between two pieces of logic
    mutated: tuple[Parameters, ...]
    mutated_benches: tuple[Bench, ...] = ()
    # The parameters of each proof, by its variant; {}: there are no properties
    proven: Mapping[str, Parameters] = field(default_factory=dict)
    gates: tuple[GateRuns, ...] = ()

    @property
    def benches(self) -> tuple[Bench, ...]:
        """Returns the benches that must find the module's faults, by default its own bench."""
        return self.mutated_benches or (Bench(f"tb.test_{self.name}"),)


def builds(names: Sequence[str], *values: Sequence[int]) -> tuple[dict[str, int], ...]:
    """Returns a build for each row of values.

    >>> builds(("ROWS", "COLS"), (8, 4), (1, 2))
    ({'ROWS': 8, 'COLS': 4}, {'ROWS': 1, 'COLS': 2})
    """
    return tuple(dict(zip(names, row, strict=True)) for row in values)


def runs(
    module: str,
    parameters: Sequence[Parameters],
    bench: str = "",
    short: int | None = None,
    **options: Any,
) -> tuple[Run, ...]:
    """Returns a run of the module's own bench, or of `bench`, for each build.

    The builds after the first `short` are long: they are left to make verify.
    """
    bench = bench or f"tb.test_{module}"
    found = [Run(bench, module, one, **options) for one in parameters]
    count = len(found) if short is None else short
    return (*found[:count], *(replace(run, long=True) for run in found[count:]))


def _core_runs() -> tuple[Run, ...]:
    """Returns the runs of the core; random layers and large builds are left to make verify."""
    found = []
    for name, core in CORES.items():
        found += runs("core", [core.parameters()], long=name not in ("4x4", "4x4-8-8"))
    for part, name in enumerate(PARTS):
        found += runs(
            "core",
            [CORES[name].parameters()],
            "tb.test_core_random",
            settings={PART: str(part)},
            variant=f"part{part}",
            long=True,
        )
    small, large = [CORES["4x4"].parameters()], [CORES["8x8"].parameters()]
    # make test runs some of these two benches' tests, and make verify all.
    for bench, some in (
        ("tb.test_core_states", "every_kernel|memories_to|any_address|stalls_are|error_is|back_to"),
        ("tb.test_core_packets", "packets_kept"),
    ):
        settings = {"COCOTB_TEST_FILTER": some}
        found += runs("core", small, bench, settings=settings, variant="some", measured=False)
        found += runs("core", small, bench, long=True)
    # The control of the large core is that of the small one; Icarus would take long.
    for bench in ("tb.test_core_states", "tb.test_core_packets"):
        found += runs("core", large, bench, variant="large", long=True, simulators=("verilator",))
    # Verilator cannot force a wire.
    found += runs("core", small, "tb.test_core_wires", simulators=("icarus",))
    return tuple(found)


_PE_NAMES = ("ACT_WIDTH", "WEIGHT_WIDTH", "PSUM_WIDTH")
_PE = builds(_PE_NAMES, (4, 4, 16), (4, 4, 8), (2, 8, 13), (8, 2, 12))
_MUTATED_PE = builds(_PE_NAMES, (4, 4, 11), (8, 2, 12), (8, 8, 20))
# Of our PE and array alone: activations in two's complement, of all bits down to one
_SIGNED_PE = builds(
    (*_PE_NAMES, "ACT_SIGNED"), (4, 4, 16, 1), (4, 4, 8, 1), (8, 8, 19, 1), (1, 3, 5, 1)
)
_SIGNED_ARRAYS = builds(
    (*ARRAY_NAMES, "ACT_SIGNED"), (8, 8, 4, 4, 11, 1), (3, 5, 8, 2, 11, 1), (7, 2, 1, 3, 6, 1)
)
# Our PEs and arrays, whose multipliers rest at zeros
_GATED_PE = builds((*_PE_NAMES, "ZERO_GATING"), (4, 4, 16, 1), (2, 8, 13, 1))
_GATED_SIGNED_PE = builds((*_PE_NAMES, "ACT_SIGNED", "ZERO_GATING"), (4, 4, 11, 1, 1))
_GATED_ARRAYS = builds(
    (*ARRAY_NAMES, "ZERO_GATING"), (8, 8, 4, 4, 16, 1), (3, 5, 8, 2, 12, 1), (5, 3, 2, 4, 9, 1)
)
_GATED_SIGNED_ARRAYS = builds((*ARRAY_NAMES, "ACT_SIGNED", "ZERO_GATING"), (5, 3, 4, 3, 10, 1, 1))
_PROVEN_GATED = {"ROWS": 2, "COLS": 2, "ACT_WIDTH": 2, "WEIGHT_WIDTH": 2, "PSUM_WIDTH": 5}
_PROVEN_GATED |= {"ZERO_GATING": 1}
# None is square; one has more rows than columns, one has many columns, and one a single column
_MUTATED_ARRAY = builds(
    ARRAY_NAMES, (4, 8, 4, 4, 10), (5, 3, 8, 2, 13), (2, 32, 4, 4, 9), (3, 1, 4, 4, 10)
)
_GEOMETRIES = (
    # The third has the largest memories and sums: no layer overflows its sums, or has too many
    # thresholds for it.
    Core().parameters(),
    Core(4, 16, 16, 4096, 1536, 4, 64).parameters(),
    Core(8, 4, 32, 32768, 32768, 256, 32768).parameters(),
    Core(4, 16, 24, 4096, 1536, 4, 64, act_width=8, weight_width=8, act_signed=1).parameters(),
    Core(6, 16, 16, 4096, 1536, 4, 64, act_width=1, weight_width=3, output_scaling=1).parameters(),
    Core(8, 16, 24, 4096, 1536, 4, 600, pool_width=24).parameters(),
)
# The largest of each number of bits that geometry's products depend on
GEOMETRY_COLUMNS = (4, 8, 16, 32, 64, 128, 254)
GEOMETRY_WORDS = (8192, 16384, 32768)
# All activations that the core can be built for: their sign, and their bits
ACTIVATIONS = tuple(itertools.product(("unsigned", "signed"), range(1, 9)))
GEOMETRY_BUILDS = tuple(range(1, len(_GEOMETRIES)))  # numbers of those that are not the default
_REGISTERS = (
    # The others have other sizes than the default, among them largest and smallest.
    Core().parameters(),
    Core(255, 200, 16, 32768, 2000, 256, 2, act_width=1, weight_width=8).parameters(),
    Core(9, 7, 24, 1000, 32768, 3, 32768, act_width=8, weight_width=2, act_signed=1).parameters(),
    Core(2, 4, output_scaling=1, pool_width=254).parameters(),
)
_ARRAY_BENCHES = ("tb.run.array_bench", "tb.run.layer_bench")
(_WIDE,) = builds(ARRAY_NAMES, (3, 5, 8, 2, 12))  # not square, other widths, no psum bit free

TABLE = (
    Module(
        "pe",
        runs("pe", _PE, short=1)
        + runs("pe", _SIGNED_PE, short=1)
        + runs("pe", (*_GATED_PE, *_GATED_SIGNED_PE), short=1),
        mutated=(*_MUTATED_PE, _SIGNED_PE[1], _GATED_PE[0]),
        proven={
            "": {"PSUM_WIDTH": 11},
            "signed": {"PSUM_WIDTH": 11, "ACT_SIGNED": 1},
            "gated": {"PSUM_WIDTH": 11, "ZERO_GATING": 1},
        },
    ),
    Module(
        "zero_hold",
        runs("zero_hold", builds(("LANES", "WIDTH"), (8, 4), (1, 1), (5, 3), (16, 2)), short=1),
        mutated=builds(("LANES", "WIDTH"), (5, 3), (2, 1)),
        proven={"": {"LANES": 8, "WIDTH": 4}},
    ),
    Module(
        "delay",
        runs(
            "delay", builds(("WIDTH", "CYCLES"), (8, 1), (1, 5), (1, 1), (4, 2), (11, 40)), short=1
        ),
        mutated=builds(("WIDTH", "CYCLES"), (4, 2), (1, 5), (2, 40)),
        proven={str(cycles): {"WIDTH": 4, "CYCLES": cycles} for cycles in (1, 2, 16)},
    ),
    Module(
        "skew",
        runs(
            "skew",
            builds(
                ("LANES", "WIDTH", "REVERSE"),
                (8, 4, 0),
                (8, 16, 1),
                (1, 3, 0),
                (1, 3, 1),
                (5, 1, 1),
                (20, 2, 0),
            ),
            short=1,
        ),
        mutated=builds(("LANES", "WIDTH", "REVERSE"), (5, 2, 0), (5, 2, 1), (20, 1, 0)),
        proven={
            "": {"LANES": 8, "WIDTH": 4, "REVERSE": 0},
            "reversed": {"LANES": 8, "WIDTH": 4, "REVERSE": 1},
        },
    ),
    Module(
        "systolic_array",
        runs("systolic_array", builds(ARRAY_NAMES, *ARRAYS), short=1)
        + runs("systolic_array", _SIGNED_ARRAYS, short=1)
        + runs("systolic_array", (*_GATED_ARRAYS, *_GATED_SIGNED_ARRAYS), short=1)
        + runs("systolic_array", [DIAGRAMS], "tb.test_contract", measured=False)
        + runs(
            "systolic_array",
            [DIAGRAMS | {"ZERO_GATING": 1}],
            "tb.test_contract",
            measured=False,
            long=True,
        ),
        mutated=(*_MUTATED_ARRAY, _SIGNED_ARRAYS[1], _GATED_ARRAYS[1]),
        proven={"": _MUTATED_ARRAY[0], "gated": _PROVEN_GATED},
        gates=(
            GateRuns("8x8", {}, ("tb.test_systolic_array", *_ARRAY_BENCHES)),
            GateRuns(
                "3x5-signed", _SIGNED_ARRAYS[1], ("tb.test_systolic_array", "tb.run.array_bench")
            ),
            GateRuns("3x5", _WIDE, ("tb.test_systolic_array", "tb.run.array_bench")),
            GateRuns(
                "3x5-gated", _GATED_ARRAYS[1], ("tb.test_systolic_array", "tb.run.array_bench")
            ),
            GateRuns("2x3", DIAGRAMS, ("tb.test_contract",)),
        ),
    ),
    Module(
        "load_first_pe",
        runs("load_first_pe", _PE, short=1),
        mutated=_MUTATED_PE,
        proven={"": {"PSUM_WIDTH": 11}},
    ),
    Module(
        "load_first_array",
        tuple(
            run
            for bench in ("tb.run.array_bench", "tb.test_load_first_array")
            for run in runs(
                "load_first_array",
                builds(ARRAY_NAMES, *ARRAYS),
                bench,
                short=1,
                settings=LOAD_FIRST_SETTINGS,
                variant="load_first_array",
            )
        )
        + runs("load_first_array", [DIAGRAMS], "tb.test_contract", measured=False),
        mutated=_MUTATED_ARRAY,
        mutated_benches=(
            Bench("tb.test_load_first_array", LOAD_FIRST_SETTINGS),
            Bench("tb.run.array_bench", LOAD_FIRST_SETTINGS),
        ),
        gates=(
            GateRuns("8x8", {}, ("tb.test_load_first_array", *_ARRAY_BENCHES), LOAD_FIRST),
            GateRuns("3x5", _WIDE, ("tb.test_load_first_array", "tb.run.array_bench"), LOAD_FIRST),
            GateRuns("2x3", DIAGRAMS, ("tb.test_contract",), LOAD_FIRST),
        ),
    ),
    Module(
        "reconfigurable_pe",
        runs("reconfigurable_pe", _PE, short=1) + runs("reconfigurable_pe", _GATED_PE, short=1),
        mutated=(*_MUTATED_PE, _GATED_PE[0]),
        proven={"": {"PSUM_WIDTH": 11}, "gated": {"PSUM_WIDTH": 11, "ZERO_GATING": 1}},
    ),
    Module(
        "reconfigurable_array",
        runs("reconfigurable_array", builds(ARRAY_NAMES, *ARRAYS), short=1)
        + runs("reconfigurable_array", _GATED_ARRAYS, short=1)
        + runs("reconfigurable_array", [DIAGRAMS], "tb.test_contract", measured=False)
        + runs(
            "reconfigurable_array",
            [DIAGRAMS | {"ZERO_GATING": 1}],
            "tb.test_contract",
            measured=False,
            long=True,
        ),
        mutated=(*_MUTATED_ARRAY, _GATED_ARRAYS[1]),
        proven={"": _MUTATED_ARRAY[0], "gated": _PROVEN_GATED},
        gates=(
            GateRuns("8x8", {}, ("tb.test_reconfigurable_array",)),
            GateRuns("3x5", _WIDE, ("tb.test_reconfigurable_array",)),
            GateRuns("3x5-gated", _GATED_ARRAYS[1], ("tb.test_reconfigurable_array",)),
            GateRuns("2x3", DIAGRAMS, ("tb.test_contract",)),
        ),
    ),
    Module(
        "ram",
        runs(
            "ram",
            builds(("WIDTH", "DEPTH"), (8, 16), (5, 10), (1, 2), (192, 3), (32, 1024)),
            short=1,
        ),
        mutated=builds(("WIDTH", "DEPTH"), (8, 16), (5, 10)),
        proven={"": {"WIDTH": 4, "DEPTH": 8}},
    ),
    Module(
        "banked_ram",
        runs(
            "banked_ram",
            builds(("WIDTH", "WORDS"), (8, 16), (5, 10), (1, 2), (24, 3), (32, 4608)),
            short=1,
        ),
        mutated=builds(("WIDTH", "WORDS"), (8, 16), (5, 10), (4, 32768)),
        proven={"": {"WIDTH": 4, "WORDS": 5}},
    ),
    Module(
        "bank_control",
        runs("bank_control", builds(("WORDS",), (10,), (16,), (2,), (1024,), (4608,)), short=1),
        mutated=builds(("WORDS",), (4,), (10,), (32768,)),
        proven={"": {"WORDS": 4}, "10": {"WORDS": 10}},
    ),
    Module(
        "stream_bank",
        runs(
            "stream_bank",
            builds(("WIDTH", "WORDS"), (32, 16), (5, 10), (1, 2), (192, 1024)),
            short=1,
        ),
        mutated=builds(("WIDTH", "WORDS"), (4, 5), (32, 16)),
        proven={"": {"WIDTH": 4, "WORDS": 5}},
    ),
    Module(
        "accumulator",
        runs(
            "accumulator",
            builds(
                ("COLS", "PSUM_WIDTH", "SUM_WIDTH", "PIXELS"),
                (8, 11, 24, 8),
                (4, 10, 16, 16),
                (1, 5, 12, 2),
                (8, 11, 24, 10),
                (8, 11, 16, 300),
            ),
            short=1,
        ),
        mutated=builds(
            ("COLS", "PSUM_WIDTH", "SUM_WIDTH", "PIXELS"), (4, 10, 16, 16), (8, 11, 16, 300)
        ),
        proven={"": {"COLS": 2, "PSUM_WIDTH": 4, "SUM_WIDTH": 7, "PIXELS": 6}},
    ),
    Module(
        "output_stage",
        runs(
            "output_stage",
            builds(
                ("COLS", "SUM_WIDTH", "TILES", "OUTPUT_SCALING"),
                (8, 24, 4, 1),
                (4, 16, 2, 0),
                (5, 32, 16, 1),
                (8, 24, 64, 0),
                (4, 16, 2, 1),
            ),
            short=1,
        ),
        mutated=builds(
            ("COLS", "SUM_WIDTH", "TILES", "OUTPUT_SCALING"),
            (4, 16, 2, 1),
            (5, 32, 16, 1),
            (4, 16, 256, 0),
        ),
        proven={
            "": {"COLS": 1, "SUM_WIDTH": 5, "TILES": 2},
            "scaled": {"COLS": 1, "SUM_WIDTH": 9, "TILES": 2, "OUTPUT_SCALING": 1},
        },
    ),
    Module(
        "output_pool",
        runs(
            "output_pool",
            builds(("COLS", "WIDTH", "POOL_WIDTH"), (8, 192, 32), (4, 64, 2), (5, 160, 10)),
            short=1,
        ),
        mutated=builds(("COLS", "WIDTH", "POOL_WIDTH"), (4, 20, 2), (2, 10, 10)),
        proven={"": {"COLS": 1, "WIDTH": 5, "POOL_WIDTH": 4}},
    ),
    Module(
        "output_fifo",
        runs(
            "output_fifo", builds(("WIDTH", "DEPTH"), (8, 4), (1, 8), (16, 16), (193, 32)), short=1
        ),
        mutated=builds(("WIDTH", "DEPTH"), (8, 4), (16, 16)),
        proven={"": {"WIDTH": 8, "DEPTH": 4}},
    ),
    Module(
        "weight_loader",
        runs("weight_loader", builds(("COLS",), (8,), (5,), (4,), (16,)), short=1),
        mutated=builds(("COLS",), (8,), (6,), (12,)),
        proven={"": {"COLS": 8}, "6": {"COLS": 6}},
    ),
    Module("tap_range", runs("tap_range", [{}]), mutated=({},), proven={"": {}}),
    Module(
        "sequencer",
        runs("sequencer", builds(("COLS",), (8,), (255,), (4,)), short=1),
        mutated=builds(("COLS",), (8,), (255,)),
        proven={name: {} for name in ("", "addresses", "rows", "cols", "final")},
    ),
    Module(
        "address_generator",
        runs("address_generator", [{}]),
        mutated=({},),
        proven={n: {} for n in ("", "memory", "starts", "maps_left", "rows_left", "fits")},
    ),
    Module(
        "geometry",
        runs("geometry", _GEOMETRIES, short=1),
        mutated=_GEOMETRIES,
        proven={"": {}, "sides": {}}
        | {
            f"{bits} {sign}": {"ACT_WIDTH": bits, "ACT_SIGNED": int(sign == "signed")}
            for sign, bits in ACTIVATIONS
        }
        | {f"{cols} columns": {"COLS": cols} for cols in GEOMETRY_COLUMNS}
        | {f"{words} words": {"ACT_WORDS": words} for words in GEOMETRY_WORDS}
        | {f"build {n}": sizes for n, sizes in enumerate(_GEOMETRIES[1:], 1)}
        | {
            f"{cols} columns {words} words": {"COLS": cols, "ACT_WORDS": words}
            for cols in GEOMETRY_COLUMNS
            for words in GEOMETRY_WORDS
        },
    ),
    Module(
        "registers", runs("registers", _REGISTERS, short=1), mutated=_REGISTERS, proven={"": {}}
    ),
    Module(
        "control",
        runs("control", builds(("COUNTER_WIDTH",), (10,), (32,)), short=1),
        # In a simulation no counter of 32 bits ends; that each bit counts is proven.
        mutated=builds(("COUNTER_WIDTH",), (10,), (14,)),
        proven={"": {}, "short counters": {"COUNTER_WIDTH": 10}},
    ),
    Module(
        "core",
        _core_runs(),
        mutated=tuple(CORES[name].parameters() for name in ("4x4", "4x8", "4x18", "6x4-1-3")),
        mutated_benches=(
            Bench("tb.test_core"),
            Bench("tb.test_core_states"),
            Bench("tb.test_core_packets"),
            Bench("tb.test_core_random", {PART: SMALL_PART}),
            Bench("tb.test_core_wires"),
        ),
        # As small as can be: the handshakes are those of any size
        proven={
            "": Core(2, 4, 16, 2, 8, 2, 2).parameters(),
            "pooled": Core(2, 4, 16, 2, 8, 2, 2, pool_width=4).parameters(),
        },
        gates=(
            *(
                GateRuns(
                    name,
                    CORES[name].parameters(),
                    ("tb.test_core", "tb.test_core_random"),
                    settings={PART: str(PARTS.index(name))},
                )
                for name in ("4x4", "4x4-8-8")
            ),
            GateRuns("8x8", CORE_OF_ONE_IMAGE.parameters(), ("tb.test_core_layers",)),
        ),
    ),
)
MODULES = {module.name: module for module in TABLE}


def runs_of(bench: str) -> tuple[Run, ...]:
    """Returns all runs of a bench ("tb.test_pe") in the table, in its order."""
    return tuple(run for module in TABLE for run in module.runs if run.bench == bench)
