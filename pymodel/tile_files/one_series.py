"""Checks that the files of one series hold different parts of one thing, in one way.

A file of results is read in whatever way agrees with the layer. So a file that holds another file's
part, or is the only one of its series in its way, would agree although somebody has written the
wrong thing.
"""

import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import product

from pymodel.tile_files.agreement import OF_RESULTS, Agreement, Reading
from pymodel.tile_files.compare_results import ResultReading, result_readings
from pymodel.tile_files.conventions import option
from pymodel.tile_files.identify_files import OUTPUT, TileFolder


def series_faults(reading: Reading, folder: TileFolder) -> list[str]:
    """Returns a line for each file of results that its series shows to be wrong.

    `reading` is the final one of the folder: the way of each file is the one that agrees most.
    """
    return [
        line
        for results in _series(reading, folder)
        for line in (*_of_another_way(reading, results), *_of_one_part(reading, results))
    ]


def series_gaps(reading: Reading, folder: TileFolder) -> list[str]:
    """Returns a line for each series of results of which files are missing."""
    return [line for results in _series(reading, folder) for line in _gaps(reading, results)]


def _series(reading: Reading, folder: TileFolder) -> Iterator[list[Agreement]]:
    """Yields the agreements of each series of several files of results."""
    found = {result.reading.file.name: result for result in reading.results}
    for role in folder.series:
        for series in folder.series[role]:
            results = [found[name] for name in series.names if name in found]
            if len(results) > 1:
                yield results


def _way(way: ResultReading) -> dict[str, str]:
    """Returns the conventions of a file of results, and the operation applied to the sums."""
    names = OF_RESULTS if way.role == OUTPUT else OF_RESULTS[:2]
    found = {option(name): getattr(way.conventions, name) for name in names}
    return found | ({"operation": way.kind} if way.role == OUTPUT else {})


def _of_another_way(reading: Reading, results: list[Agreement]) -> Iterator[str]:
    """Yields a line for each file that agrees less in the way of most files of its series."""
    ways = [_way(result.reading) for result in results]
    common = max(ways, key=ways.count)
    usual = results[ways.index(common)].reading
    for result, way in zip(results, ways, strict=True):
        if way == common:
            continue
        other = replace(result.reading, kind=usual.kind, conventions=usual.conventions)
        if reading.tried(other).share < result.share:
            name = next(name for name in way if way[name] != common[name])
            yield (
                f"{other.file.name} agrees with {name} {way[name]} alone, and "
                f"{ways.count(common)} of the {len(ways)} files of its series with {name} "
                f"{common[name]}, expected one way for all of them"
            )


def _part(way: ResultReading) -> tuple:
    """Returns the part of the layer that a file holds, as a key."""
    return way.role, way.position, way.inputs, way.first_output


def _of_one_part(reading: Reading, results: list[Agreement]) -> Iterator[str]:
    """Yields a line for each file that holds a part that another file of its series holds.

    Files of equal parts, such as two of nothing but zeros, may stand for one another.
    """
    taken: dict[tuple, Agreement] = {}
    for result in results:
        part = _part(result.reading)
        first = taken.setdefault(part, result)
        if first is result:
            continue
        free = next((p for p in _parts(reading, result) if p not in taken), None)
        if free is None:
            names = result.reading.file.name, first.reading.file.name
            yield (
                f"{names[0]} holds what {names[1]} holds, {_in_words(reading, result.reading)}, "
                "expected another part in each file of a series"
            )
        else:
            taken[free] = result


def _parts(reading: Reading, result: Agreement) -> Iterator[tuple]:
    """Yields the parts of the layer with which a file agrees as well as with its own."""
    way = result.reading
    # The number that the name of a file of psums gives kernel position 0
    base = way.file.numbers.get("position", 0) - (way.position or 0)
    transposed = reading.activations.conventions.activations != "pixels"
    fixed = {name: getattr(way.conventions, name) for name in OF_RESULTS}
    tiles = len(reading.tiles)
    for other in result_readings(way.file, reading.layer, tiles, base, fixed, transposed):
        if other.role != way.role or (other.inputs is None) != (way.inputs is None):
            continue
        again = reading.tried(replace(other, kind=way.kind, conventions=way.conventions))
        if again.agreeing == again.counting:
            yield _part(other)


def _gaps(reading: Reading, results: list[Agreement]) -> Iterator[str]:
    """Yields a line if files of some parts of the layer are missing in a series."""
    ways = [result.reading for result in results]
    outputs, width = reading.layer.channels[0], max(1, ways[0].outputs)
    ranges = [
        range(len(reading.layer.weights)) if ways[0].position is not None else [None],
        range(len(reading.tiles)) if ways[0].inputs is not None else [None],
        range(0, outputs, width),
    ]
    held = {_part(way)[1:] for way in ways}
    missing = [part for part in product(*ranges) if part not in held]
    if missing:
        position, inputs, first = missing[0]
        way = replace(ways[0], position=position, inputs=inputs, first_output=first)
        names = f"{ways[0].file.name} to {ways[-1].file.name}"
        yield (
            f"note: {names}: {len(missing)} of {math.prod(map(len, ranges))} parts have no file, "
            f"the first is {_in_words(reading, way)}"
        )


def _in_words(reading: Reading, way: ResultReading) -> str:
    """Returns the part of a layer that a file holds, in words."""
    words = []
    if way.position is not None:
        words.append(f"kernel position {divmod(way.position, reading.layer.kernel)}")
    if way.inputs is not None:
        words.append(f"input tile {way.inputs}")
    last = min(way.first_output + way.outputs, reading.layer.channels[0]) - 1
    return ", ".join([*words, f"channels {way.first_output} to {last}"])
