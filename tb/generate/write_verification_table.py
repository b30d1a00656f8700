"""Writes the verification table of README.md from what the commands left in build/results.

python -m tb.generate verification
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from pymodel.checkpoint import SHIPPED
from pymodel.support.command import CommandParser, conclude
from pymodel.support.errors import InputError
from pymodel.support.files import RESULTS, ROOT, replacing
from pymodel.support.result_files import file_digest
from tb.components.array_adapter import OWN
from tb.coverage.coverage_page import GOALS
from tb.gates.benches_on_gates import DESIGNS
from tb.report.command_results import CHECKS, Row, brief, read_all, table
from tb.sim.result_about import adapter_digest
from tb.sim.sources import rtl_digest
from tb.soak.tries import CHECKPOINTS, FAULTS

README = ROOT / "README.md"
BEGIN, END = (
    "<!-- verification: written by python -m tb.generate verification -->\n",
    "<!-- end -->\n",
)
NAMES = ("layer", "mutation", "python_mutation", "formal", "coverage", "netlist", "soak")


class Need(NamedTuple):
    """A condition on a result, without which the README does not show its figures."""

    what: str  # name of the figure that the condition looks at
    found: Callable[[dict], Any]  # returns the figure of a result
    expected: str  # the figure that is expected, in words
    holds: Callable[[Any], bool]  # returns whether a figure is as expected


def _least(what: str, found: Callable[[dict], float], least: float) -> Need:
    return Need(what, found, f"{least:,} or more", lambda figure: figure >= least)


def _same(what: str, found: Callable[[dict], Iterable[str]], names: Iterable[str]) -> Need:
    """Returns the condition that a result has just these names."""
    expected = set(names)
    return Need(
        f"{what} missing or unknown",
        lambda r: sorted(expected ^ set(found(r))),
        "none",
        lambda others: not others,
    )


NEEDED: dict[str, tuple[Need, ...]] = {
    "layer": (
        Need(
            "array",
            lambda r: r["array"],
            "'systolic_array', our own array",
            lambda name: name == "systolic_array",
        ),
        _least("images", lambda r: r["images"], 16),
    ),
    "mutation": (
        Need(
            "seeds",
            lambda r: sorted(r["seeds"]),
            "1, which make verify draws, and perhaps others",
            lambda seeds: "1" in seeds,
        ),
        _least("named faults", lambda r: r["named"], 40),
        _least(
            "mutants of a seed",
            lambda r: min(counts["netlist"] for counts in r["seeds"].values()),
            500,
        ),
        Need(
            "seconds per mutant",
            lambda r: r["seconds_per_mutant"],
            "5 or less",
            lambda seconds: seconds <= 5,
        ),
    ),
    "python_mutation": (_least("mutants", lambda r: r["mutants"], 1500),),
    "coverage": tuple(
        _least(f"{kind} coverage in percent", lambda r, kind=kind: r[kind], goal)
        for kind, goal in GOALS.items()
    ),
    "netlist": (_same("designs", lambda r: r["gates"], (d.name for d in DESIGNS)),),
    "soak": (
        _same(
            "faults",
            lambda r: (row["name"] for row in r["faults"]),
            (*(fault.name for fault in FAULTS), CHECKPOINTS),
        ),
        Need("tries left out", lambda r: r["skipped"], "none", lambda skipped: skipped == 0),
        _least("damaged checkpoints refused", lambda r: r["checkpoints_refused"], 1000),
    ),
}


def rows(results: Path) -> list[Row]:
    """Returns the lines of the table.

    Raises InputError if a result is missing, says that something is wrong, or is of a run that did
    less than NEEDED asks for.
    """
    checks = {check.name: check for check in CHECKS}
    found = read_all(results)
    for name in NAMES:
        if name not in found:
            raise InputError(
                f"{results / name}.json: not there, expected what make {checks[name].target} writes"
            )
    now = {"rtl": rtl_digest(), "checkpoint": file_digest(SHIPPED), "adapter": adapter_digest(OWN)}
    lines = table(results, {name: found[name] for name in NAMES}, now)
    lines = [row for row in lines if row.state != "missing"]
    for row in lines:
        if row.state in ("wrong", "stale"):
            raise InputError(f"{row.command}: {row.result}; the README shows only what is right")
    for name, needs in NEEDED.items():
        for need in needs:
            figure = need.found(found[name])
            if not need.holds(figure):
                raise InputError(
                    f"{results / name}.json: {need.what}: {brief(figure)}, expected "
                    f"{need.expected}; make {checks[name].target} writes this file"
                )
    return lines


def updated(text: str, lines: list[Row]) -> str:
    """Returns `text` with this table between the two markers; raises InputError without them."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise InputError(f"{README}: expected the table between {BEGIN.strip()} and {END.strip()}")
    cells = [f"| {row.what} | {row.result} | `{row.command}` |\n" for row in lines]
    return "".join(
        [before, begin, "\n| | | printed by |\n| --- | --- | --- |\n", *cells, "\n", end, after]
    )


def main() -> int:
    CommandParser("tb.generate verification", __doc__).parse_args()
    text = updated(README.read_text(encoding="utf-8"), rows(RESULTS))
    with replacing(README) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return conclude("Written: README.md")
