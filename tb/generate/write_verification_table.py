"""Writes the verification table of README.md from what the commands left in build/results.

python -m tb.generate verification
"""

from collections.abc import Callable
from pathlib import Path

from pymodel.support.command import CommandParser, conclude
from pymodel.support.errors import InputError
from pymodel.support.files import RESULTS, ROOT, replacing
from tb.coverage.coverage_page import GOALS
from tb.gates.benches_on_gates import DESIGNS
from tb.report.command_results import CHECKS, Row, read_all, table
from tb.sim.sources import rtl_digest
from tb.soak.tries import CHECKPOINTS, FAULTS

README = ROOT / "README.md"
BEGIN, END = (
    "<!-- verification: written by python -m tb.generate verification -->\n",
    "<!-- end -->\n",
)
NAMES = ("layer", "mutation", "formal", "coverage", "netlist", "soak")
OF_THIS_RTL = {"a run on the RTL as it is now": lambda r: r.get("rtl") == rtl_digest()}
# What a run must have done for its figures to be shown
NEEDED: dict[str, dict[str, Callable[[dict], bool]]] = {
    "layer": {
        "our own array": lambda r: r["array"] == "systolic_array",
        "16 images": lambda r: r["images"] >= 16,
    },
    "mutation": OF_THIS_RTL
    | {
        "seeds 1, 2, 3 and one that was drawn": lambda r: {"1", "2", "3"} < r["seeds"].keys(),
        "40 named faults": lambda r: r["named"] >= 40,
        "500 mutants for each seed": lambda r: all(
            counts["netlist"] >= 500 for counts in r["seeds"].values()
        ),
        "5 s a mutant": lambda r: r["seconds_per_mutant"] <= 5,
    },
    "formal": OF_THIS_RTL | {"nothing wrong": lambda r: not r["wrong"]},
    "coverage": OF_THIS_RTL
    | {"its goals": lambda r: all(r[kind] >= goal for kind, goal in GOALS.items())},
    "netlist": OF_THIS_RTL
    | {"all designs": lambda r: {design.name for design in DESIGNS} == r["gates"].keys()},
    "soak": {
        "all faults": lambda r: (
            {row["name"] for row in r["faults"]} == {*(fault.name for fault in FAULTS), CHECKPOINTS}
        ),
        "no try left out": lambda r: r["skipped"] == 0,
        "1,000 damaged checkpoints": lambda r: r["checkpoints_refused"] >= 1000,
    },
}


def rows(results: Path) -> list[Row]:
    """Returns the lines of the table.

    Raises InputError if a result is missing, is not whole, or says that something is wrong.
    """
    checks = {check.name: check for check in CHECKS}
    found = read_all(results)
    for name in NAMES:
        if name not in found:
            raise InputError(
                f"{results / name}.json: not there, expected what make {checks[name].target} writes"
            )
    lines = table(results, {name: found[name] for name in NAMES})
    lines = [row for row in lines if row.state != "missing"]
    for row in lines:
        if row.state == "wrong":
            raise InputError(f"{row.command}: {row.result}; the README shows only what is right")
    for name, needed in NEEDED.items():
        for words, holds in needed.items():
            if not holds(found[name]):
                raise InputError(
                    f"{results / name}.json: expected {words}, as make "
                    f"{checks[name].target} does without options"
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
