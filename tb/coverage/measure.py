"""Measures how much of the RTL the benches exercise: lines, branches, toggles, functional points.

python -m tb.coverage               # tables, build/coverage/index.html, build/results/coverage.json
python -m tb.coverage --only delay pe   # these benches and modules, build/coverage/part/index.html
"""

import os
import re
import time
from collections import Counter
from pathlib import Path

from pymodel.support.command import CommandParser, conclude, tell
from pymodel.support.files import RESULTS, ROOT
from pymodel.support.result_files import write_results
from tb.coverage.coverage_page import GOALS, result_table, summary, write_page
from tb.coverage.reached import merge
from tb.coverage.read_exclusions import EXCLUSIONS, exclude, read_exclusions
from tb.coverage.runs import LARGEST, SIMULATOR, label, run_all, size, suite
from tb.sim.errors import BenchError
from tb.sim.result_about import Subject
from tb.sim.simulators import check_simulator, leave_out_settings, simulator_version
from tb.sim.source_notes import refuse_in_sources
from tb.sim.sources import RTL, check_sources, rtl_digest

BUILD = ROOT / "build" / "coverage"


# The cover points of tb/components/cover_points.py
FUNCTIONAL = (
    "array.corners",
    "array.signed_corners",
    "core.back_to_back",
    "core.kept_packets",
    "core.kernel_stride_padding",
    "core.not_needed",
    "core.pooled",
    "core.resets",
    "core.stalls",
    "pe.weight_activation",
    "pe.weight_held_activation",
    "pe.weight_signed_activation",
    "reconfigurable_array.changes",
    "reconfigurable_array.during",
    "reconfigurable_pe.halves",
    "reconfigurable_pe.tokens",
    "reconfigurable_pe.whole",
    "reconfigurable_pe.zeros",
    "zero_hold.changes",
)
# A comment by which Verilator counts no points, or less
LEAVES_OUT = re.compile(r"verilator\s+coverage_\w*off")


def main() -> int:
    parser = CommandParser("tb.coverage", __doc__)
    parser.add_argument(
        "--only", nargs="+", metavar="BENCH", default=[], help="run these tb/test_BENCH.py alone"
    )
    parser.add_argument(
        "--fresh", action="store_true", help="measure again, even if a result was kept"
    )
    parser.add_argument(
        "--exclusions", type=Path, default=EXCLUSIONS, help="TOML file of points left out"
    )
    arguments = parser.parse_args()
    check_simulator(SIMULATOR)
    leave_out_settings("COCOTB_TEST_FILTER")
    excluded = read_exclusions(arguments.exclusions)
    refuse_in_sources(check_sources(RTL), LEAVES_OUT, "exclusions with reasons", comments=True)
    began = time.monotonic()
    runs = suite(arguments.only)
    left_out = [label(run) for run in runs if size(run) > LARGEST]
    runs = [run for run in runs if size(run) <= LARGEST]
    subject = Subject("tb.coverage.measure", *(run.bench for run in runs))
    try:
        folders = run_all(runs, arguments)
    except BenchError as error:
        return conclude(f"FAILED: {error}", passed=False)
    coverage = merge(folders)
    modules = sorted({path.stem for path in check_sources(RTL)})
    if arguments.only:
        modules = [module for module in modules if module in arguments.only]
        coverage.hits = Counter({p: n for p, n in coverage.hits.items() if p.module in modules})
        excluded = [exclusion for exclusion in excluded if exclusion.module in modules]
    else:
        for name in FUNCTIONAL:  # a point that no bench watches counts as one never reached
            coverage.bins[name] = coverage.bins[name] or Counter({"any": 0})
    exclude(coverage, excluded, arguments.exclusions)
    result = summary(coverage, modules, excluded)
    result |= {"simulator": simulator_version(SIMULATOR), "rtl": rtl_digest(), "runs": len(runs)}
    result |= {"runs_left_out": left_out}
    result |= {"seconds": round(time.monotonic() - began, 1)}
    page = BUILD / ("part" if arguments.only else "") / "index.html"
    write_page(page, coverage, result)
    tell("", result_table(result), "")
    missed = [
        f"{kind} coverage is {result[kind]:.2f} %, the goal is {goal} %"
        for kind, goal in GOALS.items()
        if result[kind] < goal and not (arguments.only and kind == "functional")
    ]
    if not arguments.only:
        about = subject.unchanged()
        write_results(RESULTS / "coverage.json", result, passed=not missed, about=about)
    if missed:
        return conclude("\n".join(f"FAILED: {line}" for line in missed), passed=False)
    return conclude(f"All goals are reached. Report: {os.path.relpath(page)}")
