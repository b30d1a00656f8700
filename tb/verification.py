"""Writes the verification table of README.md from what the commands left in build/results.

python -m tb.verification
"""

from pathlib import Path

from pymodel.command import CommandParser, conclude, run_command
from pymodel.errors import InputError
from pymodel.files import RESULTS, ROOT, replacing
from tb.results import CHECKS, Row, read_all, table

README = ROOT / "README.md"
BEGIN, END = "<!-- verification: written by python -m tb.verification -->\n", "<!-- end -->\n"
NAMES = ("layer", "mutation", "formal", "coverage", "netlist", "soak")


def rows(results: Path) -> list[Row]:
    """The table's lines. InputError if a result is missing, or says that something is wrong."""
    checks = {check.name: check for check in CHECKS}
    found = read_all(results)
    for name in NAMES:
        if name not in found:
            raise InputError(f"{results / name}.json: not there, expected what make "
                             f"{checks[name].target} writes")  # fmt: skip
    lines = table(results, {name: found[name] for name in NAMES})
    lines = [row for row in lines if row.state != "missing"]
    for row in lines:
        if row.state == "wrong":
            raise InputError(f"{row.command}: {row.result}; the README shows only what is right")
    return lines


def updated(text: str, lines: list[Row]) -> str:
    """`text` with this table between the two markers. InputError without them."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise InputError(f"{README}: expected the table between {BEGIN.strip()} and {END.strip()}")
    cells = [f"| {row.what} | {row.result} | `{row.command}` |\n" for row in lines]
    return "".join([before, begin, "\n| | | printed by |\n| --- | --- | --- |\n", *cells, "\n", end,
                    after])  # fmt: skip


def main() -> int:
    CommandParser("tb.verification", __doc__).parse_args()
    text = updated(README.read_text(encoding="utf-8"), rows(RESULTS))
    with replacing(README) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return conclude("Written: README.md")


if __name__ == "__main__":
    run_command(main)
