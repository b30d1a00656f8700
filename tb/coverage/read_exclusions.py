"""Reads which points no test can reach, and takes them out of what was measured."""

import re
import tomllib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from pymodel.support.errors import InputError
from tb.coverage.reached import KINDS, Coverage, Point
from tb.sim.sources import RTL

EXCLUSIONS = Path(__file__).with_name("exclusions.toml")


class Exclusion(NamedTuple):
    """Points of a module that no test can reach, and the reason."""

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


def exclude(coverage: Coverage, exclusions: Sequence[Exclusion], path: Path = EXCLUSIONS) -> None:
    """Takes the points of the exclusions, which file `path` lists, out of `coverage`.

    The point of a toggle is a bit of a signal, which is reached if it went both ways. The point of
    a line or branch is its source, with "else: " and the like before that of a branch. Raises
    InputError, which names `path`, if a point does not exist or was reached after all.
    """
    known = defaultdict(list)
    for point in coverage.hits:
        for name in names_of(point):
            known[point.kind, point.module, name].append(point)
    for exclusion in exclusions:
        for text in exclusion.points:
            for name in expanded(text):
                points = known.get((exclusion.kind, exclusion.module, name), [])
                words = f"{path}: {exclusion.kind} exclusion of {exclusion.module}: {name}"
                if not points:
                    raise InputError(f"{words}: there is no such point, expected one of the module")
                if all(coverage.hits[point] for point in points):
                    raise InputError(f"{words}: it was reached, expected one that no run reaches")
                coverage.excluded.update(
                    (point, exclusion.reason) for point in points if not coverage.hits[point]
                )


def names_of(point: Point) -> list[str]:
    """Returns the names by which an exclusion may name a point."""
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
