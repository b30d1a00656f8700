"""Unites what the runs reached, which Verilator and cocotb-coverage have written to files."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import yaml

from tb.sim.sources import RTL

MEMORIES = (("ram", "words["), ("output_fifo", "entries["))
DATA = "the words of a memory are data, so no bit has to toggle"
KINDS = ("line", "branch", "toggle")


class Point(NamedTuple):
    """A place of the RTL that runs may reach, in any instance and with any parameters."""

    kind: str
    module: str
    line: int
    column: int
    what: str  # "if", "else", "cond_then", …; for a toggle "signal[3]:0->1"; for a line ""


@dataclass
class Coverage:
    """All that the runs reached together."""

    # Hits of each point; 0 for points that no run reached
    hits: Counter[Point] = field(default_factory=Counter)
    # How often each bin was hit, by functional cover point and bin
    bins: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    excluded: dict[Point, str] = field(default_factory=dict)  # reason of each exclusion

    def of(self, kind: str, module: str | None = None) -> list[Point]:
        """Returns the points of a kind that are not excluded, of one module or of all."""
        return [
            p
            for p in self.hits
            if p.kind == kind and module in (None, p.module) and p not in self.excluded
        ]

    def percent(self, kind: str, module: str | None = None) -> float | None:
        """Returns the percentage of points that were reached, of one module or of all.

        Excluded points do not count. Returns None if no point is left.
        """
        points = self.of(kind, module)
        return share(sum(self.hits[p] > 0 for p in points), len(points)) if points else None

    def functional(self, name: str | None = None) -> float:
        """Returns the percentage of bins that were hit, of one cover point or of all; 0 if none."""
        hits = [
            n for point, bins in self.bins.items() if name in (None, point) for n in bins.values()
        ]
        return share(sum(n > 0 for n in hits), len(hits)) if hits else 0.0


def share(part: int, whole: int) -> float:
    """Returns part / whole in percent, rounded down, so that only a whole is 100 %."""
    return math.floor(10000 * part / whole) / 100


def merge(folders: Iterable[Path]) -> Coverage:
    """Returns what several runs reached together; each folder holds the files of one run."""
    coverage = Coverage()
    for folder in folders:
        coverage.hits.update(read_points((folder / "reached.dat").read_text()))
        functional = folder / "reached.yml"
        if functional.exists():
            for name, point in yaml.safe_load(functional.read_text()).items():
                if "bins:_hits" in point:
                    hits = {str(bin_): n for bin_, n in point["bins:_hits"].items()}
                    coverage.bins[name].update(hits)
    return coverage


def read_points(text: str) -> Counter[Point]:
    r"""Returns the points in a coverage file of Verilator, and how often each was reached.

    A line of source counts as reached if every block that it belongs to was reached. What stands
    after an `if` in the same line is such a block too.

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
