"""Measures how much of the RTL the benches exercise: lines, branches, toggles, functional points.

python -m tb.coverage               # tables, build/coverage/index.html, build/results/coverage.json
python -m tb.coverage --only delay pe   # these benches and modules, build/coverage/part/index.html
"""

import argparse
import logging
import math
import multiprocessing
import os
import re
import shutil
import signal
import sys
import time
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import yaml
from jinja2 import Environment, FileSystemLoader
from tabulate import tabulate
from tqdm import tqdm

from pymodel.support.command import CommandParser, conclude, quiet, tell
from pymodel.support.errors import InputError
from pymodel.support.files import RESULTS, ROOT, replacing, temporary_folder, write_json
from tb.sim.errors import BenchError
from tb.sim.run import COVERAGE, COVERAGE_ARGUMENTS, runtime_arguments
from tb.sim.simulators import check_simulator, random_seed, simulator_version
from tb.sim.sources import RTL, check_sources, rtl_digest
from tb.sim.store import Store, code
from tb.testplan.modules import TABLE, Run

SIMULATOR = "verilator"
BUILD = ROOT / "build" / "coverage"
STORE = Store("coverage")
EXCLUSIONS = Path(__file__).with_name("exclusions.toml")
# Each module of rtl/ has its bench; the core has these besides.
MORE_BENCHES = ("core_random", "core_states")
MEMORIES = (("ram", "words["), ("output_fifo", "entries["))
DATA = "what a memory holds is data: nothing has to toggle"
# Arrays of more PEs take minutes to compile, and have no line that these lack.
LARGEST = 64
ARRAYS = ("core", "systolic_array", "load_first_array")
# What functional.py watches
FUNCTIONAL = (
    "array.corners",
    "core.back_to_back",
    "core.kept_packets",
    "core.kernel_stride_padding",
    "core.resets",
    "core.stalls",
    "pe.weight_activation",
)
GOALS = {"line": 100, "branch": 100, "toggle": 99, "functional": 100}  # percent
KINDS = ("line", "branch", "toggle")


def label(run: Run) -> str:
    """Returns a run's name, without what must not stand in the name of a file."""
    return f"{run.bench.rpartition('test_')[2].removeprefix('tb.run.')}-{run}"


def build(run: Run) -> str:
    """Returns a text that names the build of a run; runs with the same text share a build."""
    return f"{run.toplevel} {dict(run.parameters)}"


def size(run: Run) -> int:
    """Returns the number of PEs of a run's array, or 0 for a module that holds no array."""
    if run.toplevel not in ARRAYS:
        return 0
    return run.parameters.get("ROWS", 8) * run.parameters.get("COLS", 8)


def identity(run: Run) -> dict[str, Any]:
    """Returns all that the coverage of a run follows from."""
    return {
        "run": asdict(run),
        "simulator": simulator_version(SIMULATOR),
        "seed": random_seed(),
        "arguments": COVERAGE_ARGUMENTS,
        "filter": os.environ.get("COCOTB_TEST_FILTER", ""),
        "rtl": rtl_digest(),
        "code": code("tb.sim.run", run.bench),
    }


class Point(NamedTuple):
    """A place that counts how often it was reached, in any instance and with any parameters."""

    kind: str
    module: str
    line: int
    column: int
    what: str  # "if", "else", "cond_then", …; for a toggle "signal[3]:0->1"; for a line ""


@dataclass
class Coverage:
    """All that the runs reached together."""

    hits: Counter[Point] = field(default_factory=Counter)
    bins: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    excluded: dict[Point, str] = field(default_factory=dict)  # the reason

    def of(self, kind: str, module: str | None = None) -> list[Point]:
        """Returns the points of a kind that are not excluded, of one module or of all."""
        return [
            p
            for p in self.hits
            if p.kind == kind and module in (None, p.module) and p not in self.excluded
        ]

    def percent(self, kind: str, module: str | None = None) -> float | None:
        """Returns the percentage of the points of `of` that were reached; None if it has none."""
        points = self.of(kind, module)
        return share(sum(self.hits[p] > 0 for p in points), len(points)) if points else None

    def functional(self, name: str | None = None) -> float:
        """Returns the percentage of bins that were hit, of one cover point or of all."""
        hits = [
            n for point, bins in self.bins.items() if name in (None, point) for n in bins.values()
        ]
        return share(sum(n > 0 for n in hits), len(hits)) if hits else 0.0


def share(part: int, whole: int) -> float:
    """Returns part / whole in percent, rounded down, so that only a whole is 100 %."""
    return math.floor(10000 * part / whole) / 100


def main() -> int:
    parser = CommandParser("tb.coverage", __doc__)
    parser.add_argument(
        "--only", nargs="+", metavar="BENCH", default=[], help="run these tb/test_BENCH.py alone"
    )
    parser.add_argument("--fresh", action="store_true", help="measure again what was kept")
    parser.add_argument(
        "--exclusions", type=Path, default=EXCLUSIONS, help="TOML file of points left out"
    )
    arguments = parser.parse_args()
    check_simulator(SIMULATOR)
    excluded = read_exclusions(arguments.exclusions)
    began = time.monotonic()
    runs = suite(arguments.only)
    left_out = [label(run) for run in runs if size(run) > LARGEST]
    runs = [run for run in runs if size(run) <= LARGEST]
    try:
        stems = run_all(runs, arguments)
    except BenchError as error:
        return conclude(f"FAILED: {error}", passed=False)
    coverage = merge(stems)
    modules = sorted({path.stem for path in check_sources(RTL)})
    if arguments.only:
        modules = [module for module in modules if module in arguments.only]
        coverage.hits = Counter({p: n for p, n in coverage.hits.items() if p.module in modules})
        excluded = [exclusion for exclusion in excluded if exclusion.module in modules]
    else:
        for name in FUNCTIONAL:  # nobody watched is as bad as nothing seen
            coverage.bins[name] = coverage.bins[name] or Counter({"any": 0})
    exclude(coverage, excluded)
    result = summary(coverage, modules, excluded)
    result |= {"simulator": simulator_version(SIMULATOR), "rtl": rtl_digest(), "runs": len(runs)}
    result |= {"runs_left_out": left_out}
    result |= {"seconds": round(time.monotonic() - began, 1)}
    page = BUILD / ("part" if arguments.only else "") / "index.html"
    write_page(page, coverage, result)
    tell("", result_table(result), "")
    if not arguments.only:
        write_json(RESULTS / "coverage.json", result)
    missed = [
        f"{kind} coverage is {result[kind]:.2f} %, the goal is {goal} %"
        for kind, goal in GOALS.items()
        if result[kind] < goal and not (arguments.only and kind == "functional")
    ]
    if missed:
        return conclude("\n".join(f"FAILED: {line}" for line in missed), passed=False)
    return conclude(f"All goals are reached. Report: {os.path.relpath(page)}")


# The suite


def suite(only: Sequence[str] = ()) -> list[Run]:
    """Returns the runs of all benches that count, or of those named: modules, or more of the core.

    Raises InputError for an unknown name.
    """
    names = [source.stem for source in check_sources(RTL)] + list(MORE_BENCHES)
    for name in only:
        if name not in names:
            raise InputError(f"--only {name}: expected some of {', '.join(names)}")
    found = []
    for run in (run for module in TABLE for run in module.runs):
        if run.measured and (not run.simulators or SIMULATOR in run.simulators):
            bench = run.bench.removeprefix("tb.test_")
            if not only or (bench if bench in MORE_BENCHES else run.toplevel) in only:
                found.append(run)
    return found


def run_all(runs: Sequence[Run], arguments: argparse.Namespace) -> list[Path]:
    """Measure each run, as many at a time as there are cores; returns the folders of results.

    The result of a run is kept and used again. Raises BenchError if a test fails.
    """
    stems = {STORE.path(identity(run), label(run)): run for run in runs}
    missing = [stem for stem in stems if arguments.fresh or not stem.exists()]
    groups = defaultdict(list)
    for stem in missing:
        groups[build(stems[stem])].append(stem)
    largest = sorted(groups.values(), key=lambda g: ("ROWS" in str(stems[g[0]]), len(g)))
    progress = tqdm(
        total=len(runs), initial=len(runs) - len(missing), unit="run", disable=quiet() or None
    )
    if missing:
        tell(
            f"{len(runs)} runs of {len({run.bench for run in runs})} benches, "
            f"{len(runs) - len(missing)} of them are there"
        )
        runtime_arguments()
    workers = os.cpu_count() or 1
    pool = ProcessPoolExecutor(
        workers, multiprocessing.get_context("spawn"), prepare_worker, [arguments.verbose]
    )
    try:
        waiting = [
            pool.submit(measure, [(stem, stems[stem]) for stem in group]) for group in largest[::-1]
        ]
        for done in as_completed(waiting):
            progress.update(done.result())
    finally:
        progress.close()
        pool.shutdown(cancel_futures=True)
    return list(stems)


def prepare_worker(verbose: bool) -> None:
    """Ignore Ctrl-C, which the worker's simulation gets too; silence cocotb and the compilers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if not verbose:
        logging.getLogger().addHandler(logging.NullHandler())
        with Path(os.devnull).open("w") as nothing:  # cocotb-test complains after Ctrl-C
            os.dup2(nothing.fileno(), sys.stderr.fileno())


def measure(runs: Sequence[tuple[Path, Run]]) -> int:
    """Run the runs of one build, one after another; returns their number.

    Raises BenchError, with the run's name, if a test fails.
    """
    for place, run in runs:
        with temporary_folder(label(run), place.parent) as folder:
            with patch.dict(os.environ, {COVERAGE: str(folder / "reached")}):
                try:
                    run.on(SIMULATOR, waves=False)
                except BenchError as error:
                    raise BenchError(f"{label(run)}: {error}") from None
            shutil.rmtree(place, ignore_errors=True)  # of a run before this one, with --fresh
            STORE.adopt(folder, place)
    return len(runs)


# Merging


def merge(stems: Iterable[Path]) -> Coverage:
    """Returns what the runs in these folders reached together."""
    coverage = Coverage()
    for stem in stems:
        coverage.hits.update(read_points((stem / "reached.dat").read_text()))
        functional = stem / "reached.yml"
        if functional.exists():
            for name, point in yaml.safe_load(functional.read_text()).items():
                if "bins:_hits" in point:
                    hits = {str(bin_): n for bin_, n in point["bins:_hits"].items()}
                    coverage.bins[name].update(hits)
    return coverage


def read_points(text: str) -> Counter[Point]:
    r"""The points of a coverage.dat of Verilator, and how often each was reached.

    A line of source counts as reached if every block that it belongs to was: what stands after an
    `if` in the same line, too.

    >>> text = "C '\1f\2rtl/a.v\1l\0023\1n\0025\1t\2branch\1o\2if\1S\0023-4\1h\2a' 7"
    >>> for point, count in read_points(text).items(): print(*point, count)
    branch a 3 5 if 7
    line a 3 0  7
    line a 4 0  7
    """
    points, lines = Counter(), {}
    for entry in text.splitlines():
        if not entry.startswith("C '"):
            continue
        key, count = entry[3:].rsplit("' ", 1)
        found = dict(part.split("\2", 1) for part in key.split("\1") if part)
        file = Path(found["f"])
        if file.parent.name != RTL.name:
            continue  # a bench's own Verilog
        hits, what, line = int(count), found["o"], int(found["l"])
        kind = "toggle" if found["t"] == "toggle" else "branch"
        if (file.stem, what[: what.find("[") + 1]) in MEMORIES:
            continue
        if what != "block":
            points[Point(kind, file.stem, line, int(found["n"]), what)] += hits
        if kind == "branch" and not what.startswith("cond_"):
            for number in numbers(found.get("S", "")):
                place = Point("line", file.stem, number, 0, "")
                lines[place] = min(lines.get(place, hits), hits)
    points.update(lines)
    return points


def numbers(text: str) -> Iterator[int]:
    """Yields the line numbers that a text of Verilator names.

    >>> list(numbers("3,5-7"))
    [3, 5, 6, 7]
    """
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        yield from range(int(first), int(last or first) + 1)


# Exclusions


class Exclusion(NamedTuple):
    """Points that cannot be reached, and why."""

    kind: str
    module: str
    points: list[str]
    reason: str


def read_exclusions(path: Path) -> list[Exclusion]:
    """Returns the exclusions in file `path`; raises InputError if it is damaged."""
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: {str(error).splitlines()[0]}, expected exclusions") from None
    exclusions = []
    for kind, entries in tables.items():
        if kind not in KINDS or not isinstance(entries, list):
            raise InputError(f"{path}: table '{kind}', expected [[{']], [['.join(KINDS)}]]")
        for entry in entries:
            if not _is_exclusion(entry):
                raise InputError(
                    f"{path}: [[{kind}]] {entry}, expected module, points (a list of texts) "
                    "and reason"
                )
            exclusions.append(Exclusion(kind, **entry))
    return exclusions


def _is_exclusion(entry: object) -> bool:
    if not isinstance(entry, dict) or {*entry} != {"module", "points", "reason"}:
        return False
    points, texts = entry["points"], [entry["module"], entry["reason"]]
    return (
        isinstance(points, list)
        and len(points) > 0
        and all(isinstance(text, str) and text.strip() for text in texts + points)
    )


def exclude(coverage: Coverage, exclusions: Sequence[Exclusion]) -> None:
    """Take the excluded points out of `coverage`.

    The point of a toggle is a bit of a signal, which is reached if it went both ways. The point of
    a line or branch is its source, with "else: " and the like before that of a branch. Raises
    InputError if a point does not exist, or was reached after all.
    """
    known = defaultdict(list)
    for point in coverage.hits:
        for name in names_of(point):
            known[point.kind, point.module, name].append(point)
    for exclusion in exclusions:
        for text in exclusion.points:
            for name in expanded(text):
                points = known.get((exclusion.kind, exclusion.module, name), [])
                words = f"{exclusion.kind} exclusion of {exclusion.module}: {name}"
                if not points:
                    raise InputError(f"{words}: there is no such point")
                if all(coverage.hits[point] for point in points):
                    raise InputError(f"{words}: it was reached, so it must not be excluded")
                coverage.excluded.update(
                    (point, exclusion.reason) for point in points if not coverage.hits[point]
                )


def names_of(point: Point) -> list[str]:
    """Returns the names that an exclusion may give to a point."""
    if point.kind == "toggle":
        return [point.what.rpartition(":")[0]]
    text = source_lines(point.module)[point.line - 1].strip()
    return [text if point.kind == "line" else f"{point.what}: {text}"]


def expanded(text: str) -> Iterator[str]:
    """Yields the names that a name with ranges stands for, one by one.

    >>> list(expanded("g[1:0].a[3]"))
    ['g[0].a[3]', 'g[1].a[3]']
    """
    if found := re.search(r"\[(\d+):(\d+)\]", text):
        high, low = map(int, found.groups())
        for bit in range(low, high + 1):
            yield from expanded(f"{text[: found.start()]}[{bit}]{text[found.end() :]}")
    else:
        yield text


def source_lines(module: str) -> list[str]:
    """Returns the lines of a module's Verilog source."""
    return (RTL / f"{module}.v").read_text().splitlines()


# Reporting


def summary(coverage: Coverage, modules: Sequence[str], exclusions: Sequence[Exclusion]) -> dict:
    """Returns the contents of coverage.json."""
    rows = []
    for module in modules:
        row = {"module": module}
        for kind in KINDS:
            points = coverage.of(kind, module)
            row |= {
                kind: coverage.percent(kind, module),
                f"{kind}_points": len(points),
                f"{kind}_excluded": sum(
                    (p.kind, p.module) == (kind, module) for p in coverage.excluded
                ),
            }
        rows.append(row)
    counts = Counter((p.kind, p.module, why) for p, why in coverage.excluded.items())
    return {
        **{kind: coverage.percent(kind) or 0.0 for kind in KINDS},
        "functional": coverage.functional(),
        "modules": rows,
        "functional_points": [
            {"name": name, "percent": coverage.functional(name), "bins": len(bins)}
            for name, bins in sorted(coverage.bins.items())
        ],
        "holes": list(holes(coverage)),
        "exclusions": [
            *(e._asdict() | {"count": counts[e.kind, e.module, e.reason]} for e in exclusions),
            *(
                {
                    "kind": "toggle",
                    "module": module,
                    "points": [f"{name}…]"],
                    "reason": DATA,
                    "count": "all",
                }
                for module, name in MEMORIES
                if module in modules
            ),
        ],
    }


def holes(coverage: Coverage) -> Iterator[dict]:
    """Yields what was neither reached nor excluded, in the order of the sources."""
    missing = [p for p, n in coverage.hits.items() if not n and p not in coverage.excluded]
    for point in sorted(missing, key=lambda p: (KINDS.index(p.kind), *p[1:])):
        where = f"rtl/{point.module}.v:{point.line}"
        text = source_lines(point.module)[point.line - 1].strip()
        what = f"{point.what}: {text}" if point.kind == "branch" else point.what or text
        yield {"kind": point.kind, "where": where, "what": what}
    for name, bins in sorted(coverage.bins.items()):
        for bin_, hits in bins.items():
            if not hits:
                yield {"kind": "functional", "where": name, "what": bin_}


def result_table(result: dict, most: int = 20) -> str:
    """Returns the tables as text, with the first holes of each kind."""

    def cell(value: float | None) -> str:
        return "" if value is None else f"{value:.2f}"

    counts = ("toggle_points", "toggle_excluded")
    rows = [
        [row["module"], *(cell(row[kind]) for kind in KINDS), *(row[name] for name in counts)]
        for row in result["modules"]
    ]
    totals = (sum(row[name] for row in result["modules"]) for name in counts)
    rows.append(["all", *(cell(result[kind]) for kind in KINDS), *totals])
    parts = [
        tabulate(
            rows,
            ("module", "line %", "branch %", "toggle %", "toggles", "excluded"),
            tablefmt="simple",
            disable_numparse=True,
            colalign=("left", *["right"] * 5),
        )
    ]
    if result["functional_points"]:
        points = [[p["name"], cell(p["percent"]), p["bins"]] for p in result["functional_points"]]
        points.append(["all", cell(result["functional"]), sum(row[2] for row in points)])
        parts.append(
            tabulate(
                points,
                ("functional", "%", "bins"),
                tablefmt="simple",
                disable_numparse=True,
                colalign=("left", "right", "right"),
            )
        )
    for kind in GOALS:
        found = [f"{h['where']}: {h['what']}" for h in result["holes"] if h["kind"] == kind]
        if len(found) > most:
            found[most:] = [f"and {len(found) - most} more, in the report"]
        if found:
            parts.append(f"Holes, {kind}:\n" + "\n".join(found))
    return "\n\n".join(parts)


def write_page(path: Path, coverage: Coverage, result: dict) -> None:
    """Write the report as HTML: tables, holes, exclusions, and each source with its counts."""
    sources = []
    for row in result["modules"]:
        module = row["module"]
        reached = {p.line: n for p, n in coverage.hits.items() if p[:2] == ("line", module)}
        notes: dict[int, list[str]] = defaultdict(list)
        for point, count in coverage.hits.items():
            if not count and point.module == module:
                why = coverage.excluded.get(point)
                notes[point.line].append(
                    f"{point.what or 'line'}{f' (excluded: {why})' if why else ''}"
                )
        lines = [
            {"number": n, "text": text, "count": reached.get(n), "notes": notes[n]}
            for n, text in enumerate(source_lines(module), 1)
        ]
        sources.append({"module": module, "lines": lines})
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    template = environment.get_template("coverage.html")
    with replacing(path) as temporary:
        temporary.write_text(
            template.render(result=result, kinds=KINDS, goals=GOALS, sources=sources)
        )
