"""Sums up the coverage of all runs, and writes it as tables and as a page."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader
from tabulate import tabulate

from pymodel.support.files import ROOT, replacing
from tb.coverage.reached import DATA, KINDS, MEMORIES, Coverage
from tb.coverage.read_exclusions import Exclusion, source_lines

# The page has the style of the report.
TEMPLATES = [Path(__file__).parent / "templates", ROOT / "tb" / "report" / "templates"]
GOALS = {"line": 100, "branch": 100, "toggle": 99, "functional": 100}  # percent


def summary(coverage: Coverage, modules: Sequence[str], exclusions: Sequence[Exclusion]) -> dict:
    """Returns percentages, counts, holes and exclusions by the keys of coverage.json."""
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
    """Writes the page as HTML: tables, holes, exclusions, and each source with its counts."""
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
        loader=FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.get_template("coverage.html")
    with replacing(path) as temporary:
        temporary.write_text(
            template.render(result=result, kinds=KINDS, goals=GOALS, sources=sources)
        )
