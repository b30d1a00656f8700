"""Finds the reading of a folder's files under which they agree with one another."""

import re
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import cache, cached_property

import numpy as np

from pymodel.support.errors import InputError
from pymodel.tile_files.compare_results import ResultReading, output_kinds, result_readings
from pymodel.tile_files.conventions import Conventions, option
from pymodel.tile_files.identify_files import (
    ACTIVATION,
    OUTPUT,
    PSUM,
    RESULTS,
    WEIGHT,
    Series,
    TileFile,
    TileFolder,
)
from pymodel.tile_files.input_faults import (
    ACTIVATIONS,
    WEIGHTS,
    Exchanged,
    InputFault,
    WrongNumber,
    exchanges,
    observed_differences,
    solved_weights,
    wrong_numbers,
    wrong_weights,
)
from pymodel.tile_files.inputs import (
    SHARED,
    WEIGHT_BITS,
    WINDOWS,
    Geometry,
    InputReading,
    activation_readings,
    first_number,
    weight_readings,
    why_no_activations,
    why_no_weights,
)
from pymodel.tile_files.layer import FileLayer, map_layer, window_layer

ENOUGH = 0.9  # a reading is the right one if it agrees in a larger share of a file's values
FEW = 0.1  # a file that differs in a smaller share of its values from another has faults
MOST_SERIES = 64  # number of files or series of files that are tried for a role
MOST_ROWS = 64  # largest height of a map that is not square and whose height nobody says
SOME = 0.1  # two lines that are exchanged leave a larger share of the results as they are
NEAREST = 3  # number of readings that are named where none agrees
CANDIDATES = 24  # number of readings, the nearest first, in which one wrong input is looked for
FIRST = 3  # number of those in which exchanged lines and several wrong weights are looked for
# The conventions that the files of activations decide, and those that the results decide.
OF_ACTIVATIONS = ("activations", "map", "activation_bits", "windows", "pixels", "cores")
OF_RESULTS = ("columns", "channels", "outputs_in", "outputs")


@dataclass(frozen=True)
class Agreement:
    """A file of psums or outputs under one reading, beside what PyTorch computes."""

    reading: ResultReading
    expected: np.ndarray  # int64, of the shape of the file's numbers
    agreeing: int  # number of values that agree, of those that count
    counting: int  # number of values that are not zero on one side, in well-formed words

    @property
    def share(self) -> float:
        """Share of the counting values that agree; 0 if none counts."""
        return self.agreeing / self.counting if self.counting else 0.0


@dataclass(frozen=True)
class Reading:
    """All files of a folder under one reading."""

    activations: InputReading
    weights: InputReading
    geometry: Geometry
    results: tuple[Agreement, ...] = ()
    misfits: tuple[TileFile, ...] = ()  # results whose numbers of lines fit nothing

    @cached_property
    def layer(self) -> FileLayer:
        """The layer of the activations and weights."""
        return self.layer_of(self.activations.values, self.weights.values)

    def layer_of(self, activations: np.ndarray, weights: np.ndarray) -> FileLayer:
        """Returns the layer of these values instead of those in the files."""
        if self.activations.conventions.activations in WINDOWS:
            return window_layer(activations, weights)
        return map_layer(activations, weights, self.geometry.stride)

    def inputs(self) -> tuple:
        """Returns a key of the inputs: readings with the same key have the same psums and sums."""
        arrays = self.activations.values, self.weights.values
        windows = self.activations.conventions.activations in WINDOWS
        return windows, self.activations.tiles, *((a.shape, a.tobytes()) for a in arrays)

    @property
    def tiles(self) -> list[slice]:
        """Input channels of each input tile of the files."""
        ends = np.cumsum(self.activations.tiles).tolist()
        sizes = self.activations.tiles
        return [slice(end - size, end) for end, size in zip(ends, sizes, strict=True)]

    @property
    def conventions(self) -> Conventions:
        """Conventions of all files; those of the results are of the file that agrees most."""
        chosen = asdict(self.weights.conventions)
        chosen |= {n: getattr(self.activations.conventions, n) for n in OF_ACTIVATIONS}
        for result in sorted(self.results, key=lambda result: result.share):
            found = result.reading
            names = OF_RESULTS if found.role == OUTPUT else OF_RESULTS[:2]
            chosen |= {n: getattr(found.conventions, n) for n in names}
        return Conventions(**chosen)

    @cached_property
    def rank(self) -> tuple[int, int, int]:
        """Key by which readings are compared, larger for a better one.

        The key is the agreement of the results, and then how many conventions are the usual ones.
        """
        return (
            sum(self._agreeing_files(role) for role in RESULTS),
            sum(r.agreeing for r in self.results),
            -self.deviations - sum(r.reading.conventions.deviations for r in self.results),
        )

    @property
    def deviations(self) -> int:
        """Number of conventions of activations and weights that are not the usual ones."""
        return self.activations.conventions.deviations + self.weights.conventions.deviations

    def _agreeing_files(self, role: str) -> int:
        """Returns the number of values in the files of a role that agree.

        The result is 0 if the agreeing files hold less than half of the values of the role, because
        the psums at the middle of the kernel agree under many readings.
        """
        results = [r for r in self.results if r.reading.role == role]
        agreeing = [r for r in results if r.share > ENOUGH]
        size, whole = (sum(r.reading.values.size for r in part) for part in (agreeing, results))
        return sum(r.counting for r in agreeing) if 2 * size >= whole else 0

    @property
    def counting(self) -> int:
        """Number of values of all results that count."""
        return sum(r.counting for r in self.results)

    @property
    def share(self) -> float:
        """Share of the counting values of all results that agree."""
        return sum(r.agreeing for r in self.results) / self.counting if self.counting else 0.0

    @property
    def decided(self) -> bool:
        """Whether the results of at least one file agree."""
        return self.rank[0] > 0

    @property
    def says_the_height(self) -> bool:
        """Whether outputs agree: psums of all padded pixels agree whatever the map's height is."""
        return any(r.share > ENOUGH for r in self.results if r.reading.role == OUTPUT)

    def predicted(self) -> dict[str, bytes]:
        """Returns the expected contents of each result file that agrees, by the file's name."""
        agreeing = (r for r in self.results if r.share > ENOUGH)
        return {r.reading.file.name: r.expected.tobytes() for r in agreeing}

    def judged(self, folder: TileFolder, fixed: dict[str, str], final: bool = False) -> "Reading":
        """Returns the reading with each file of results in the conventions that agree most.

        Unless `final` is set, only values above zero are compared, which a ReLU does not change.
        With `final`, the reading also names the operation that was applied to the sums.
        """

        psums_of, outputs_of, kinds = self._computed()
        allowed = [
            kind for kind, (choice, _) in kinds.items() if fixed.get("outputs", choice) == choice
        ]
        if not final:
            allowed = [k for k in ("ReLU", "input added, then ReLU") if k in kinds]
        transposed = self.activations.conventions.activations != "pixels"
        results, misfits = [], []
        for role in (PSUM, OUTPUT):
            for series in folder.series[role]:
                base = first_number(series, self.geometry.positions)
                for file in series.files:
                    ways = result_readings(
                        file, self.layer, len(self.tiles), base, fixed, transposed
                    )
                    best = _best(
                        _agreement(self.layer, way, psums_of, outputs_of, final)
                        for plain in ways
                        for way in _of_kinds(plain, kinds, allowed)
                    )
                    if best:
                        results.append(best)
                    else:
                        misfits.append(file)
        return replace(self, results=tuple(results), misfits=tuple(misfits))

    def as_good_at_first_sight(self, results: tuple[Agreement, ...]) -> bool:
        """Returns whether `results` agree with this reading in all values above zero.

        The results keep the conventions of the other reading that they come from. Only files that
        agreed in more than half of their values are compared, if there are any: the conventions of
        the others are not known.
        """
        psums_of, outputs_of, _ = self._computed()
        for result in [r for r in results if r.share > 1 / 2] or results:
            again = _agreement(self.layer, result.reading, psums_of, outputs_of, False)
            if again.agreeing < again.counting:
                return False
        return True

    def tried(self, way: ResultReading) -> Agreement:
        """Returns how a file of results agrees in another way."""
        psums_of, outputs_of, _ = self._computed()
        return _agreement(self.layer, way, psums_of, outputs_of, True)

    def _computed(self) -> tuple[Callable, Callable, dict]:
        """Returns functions for the psums of a tile and the outputs of a kind, and the kinds."""

        @cache
        def psums_of(tile: int | None) -> np.ndarray:
            return self.layer.psums(slice(None) if tile is None else self.tiles[tile])

        @cache
        def outputs_of(kind: str, tile: int | None) -> np.ndarray:
            if tile is None:
                return kinds[kind][1]()
            sums = self.layer.add_up(psums_of(tile))
            return output_kinds(self.layer, sums)[kind][1]()

        kinds = output_kinds(self.layer, self.layer.sums)
        return psums_of, outputs_of, kinds


def _best(found: Iterator[Agreement]) -> Agreement | None:
    """Returns the agreement with the largest share, the first of several; None if there is none.

    The search ends at the first agreement in all values.
    """
    best = None
    for one in found:
        if best is None or one.share > best.share:
            best = one
        if best.counting and best.agreeing == best.counting:
            break
    return best


def _of_kinds(
    way: ResultReading, kinds: dict[str, tuple[str, Callable]], allowed: list[str]
) -> Iterator[ResultReading]:
    """Yields the reading of a file for each operation that may have been applied to the sums.

    The operations are those of `output_kinds`.
    """
    if way.role == PSUM:
        yield way
        return
    # These are sums of one input tile, to which no ReLU has been applied yet.
    if way.inputs is not None:
        yield replace(way, kind="sums", conventions=replace(way.conventions, outputs="raw"))
        return
    for kind in allowed:
        conventions = replace(way.conventions, outputs=kinds[kind][0])
        yield replace(way, kind=kind, conventions=conventions)


def _agreement(
    layer: FileLayer, way: ResultReading, psums_of: Callable, outputs_of: Callable, signed: bool
) -> Agreement:
    """Returns how a file agrees; with `signed` unset negative outputs count as zeros."""
    expected = way.expected(layer, psums_of, outputs_of)
    values, wanted = way.values, expected
    if way.role == OUTPUT and way.inputs is None and not signed:
        values, wanted = values.clip(0), wanted.clip(0)
    counts = ((values != 0) | (wanted != 0)) & way.file.words.well_formed[:, None]
    agreeing = int(((values == wanted) & counts).sum())
    return Agreement(way, expected, agreeing, int(counts.sum()))


@dataclass(frozen=True)
class Finding:
    """The reading that was taken, and what was found out about the other files."""

    reading: Reading
    decided_by: str  # "results", "nothing" if there are none, or "no agreement"
    same: tuple[str, ...]  # names of further inputs that hold the same
    stale: tuple[str, ...]  # names of inputs that nothing agrees with
    faults: tuple[str, ...]  # a line for each value of an input that is wrong
    nearest: tuple[Reading, ...]  # the readings that agree most
    fault: InputFault | None  # the one input value that explains all differences of the results


def find_reading(folder: TileFolder, geometry: Geometry, fixed: dict[str, str]) -> Finding:
    """Returns the reading of a folder under which its files agree.

    `fixed` has the conventions that the user fixed. Raises InputError if activations or weights are
    missing or fit no convention, if two readings that differ agree equally, and if there are
    several files for a role and no results to decide by.
    """
    for role in (ACTIVATION, WEIGHT):
        if not folder.series[role]:
            raise _missing(folder, role)
    found = list(_readings(folder, geometry, fixed))
    square = bool(found) or geometry.height is not None
    if not square:  # no map of this size is square: the results may say its height
        for height in range(1, MOST_ROWS + 1):
            found += _readings(folder, replace(geometry, height=height), fixed)
    if not found:
        raise _nothing_fits(folder, geometry, fixed)
    everything = found
    found = _judged(found, folder, fixed)
    if not square and not max(found, key=lambda reading: reading.rank).says_the_height:
        raise _nothing_fits(folder, geometry, fixed)
    best = max(found, key=lambda reading: reading.rank)
    nearest = sorted(found, key=lambda reading: (-reading.share, -reading.rank[2]))
    decided = "results"
    if best.decided:
        _refuse_ties(best, found)
    elif not best.counting:
        decided = "nothing"
        best = max(found, key=lambda reading: reading.rank[2])
        _refuse_choice(folder, best, everything)
    best = best.judged(folder, fixed, final=True)
    fault = None
    if decided == "results" and best.decided:
        fault = _input_fault(best, folder, fixed)
    elif decided == "results":
        # One wrong weight or activation can make more than a tenth of the outputs wrong.
        decided_at_last = []
        # Exchanged files may leave no agreement at all, so the most usual readings come too.
        usual = sorted(found, key=lambda reading: reading.deviations)[:FIRST]
        tried = [*nearest[:FIRST], *(r for r in usual if r not in nearest[:FIRST])]
        tried += [r for r in nearest[FIRST:CANDIDATES] if r not in usual]
        for number, reading in enumerate(tried):
            final = reading.judged(folder, fixed, final=True)
            if fault := _input_fault(final, folder, fixed, several=number < 2 * FIRST):
                best = final
                break
            decided_at_last += [final] if final.decided else []
        if not fault and decided_at_last:
            best = decided_at_last[0]
        elif not fault:
            decided = "no agreement"
            nearest = [r.judged(folder, fixed, final=True) for r in nearest[:NEAREST]]
            usual = max(found, key=lambda reading: (-reading.deviations, reading.rank[1]))
            best = usual.judged(folder, fixed, final=True)
    same, stale, faults = _other_inputs(folder, best, everything)
    if fault:
        faults = (fault.text(), *faults)
    return Finding(best, decided, same, stale, faults, tuple(nearest[:NEAREST]), fault)


def _readings(folder: TileFolder, geometry: Geometry, fixed: dict[str, str]) -> Iterator[Reading]:
    """Yields every reading of activations and weights that fits their files.

    Raises InputError if there are too many files to try all of them.
    """
    for role in (ACTIVATION, WEIGHT):
        if (count := len(folder.series[role])) > MOST_SERIES:
            raise InputError(
                f"{folder.path}: {count} files or series can be {role}s, expected {MOST_SERIES} at "
                "most; --ignore FILE leaves a file out"
            )
    if not any("core" in file.numbers for file in folder.files(WEIGHT)):
        fixed = {"cores": "inputs"} | fixed
    weights = cache(
        lambda series, tiles, shared: weight_readings(
            folder.series[WEIGHT][series], tiles, dict(shared), geometry, fixed
        )
    )
    for series in _with_single_tiles(folder.series[ACTIVATION]):
        for activations in activation_readings(series, geometry, fixed):
            shared = tuple((n, getattr(activations.conventions, n)) for n in SHARED)
            for other in range(len(folder.series[WEIGHT])):
                for found in weights(other, activations.tiles, shared):
                    yield Reading(activations, found, geometry)


def _judged(found: list[Reading], folder: TileFolder, fixed: dict[str, str]) -> list[Reading]:
    """Returns the readings with their results, the usual ones first, up to a perfect one.

    The search ends at a reading that agrees with every value: a reading that predicts other values
    cannot agree as well. Results are computed once for all readings with the same inputs.
    """
    seen: dict[tuple, Reading] = {}
    judged = []
    for reading in sorted(found, key=lambda reading: -reading.rank[2]):
        key = reading.inputs()
        if key not in seen:
            seen[key] = reading.judged(folder, fixed)
        same = seen[key]
        judged.append(replace(reading, results=same.results, misfits=same.misfits))
        whole = same.counting and not same.misfits
        if whole and all(r.agreeing == r.counting for r in same.results):
            break
    return judged


def _with_single_tiles(series: list[Series]) -> Iterator[Series]:
    """Yields the series of activations, and the files of several tiles also one by one.

    The file of a tile that the other files do not have may lie beside the file of tile 0.
    """
    for whole in series:
        yield whole
        if len(whole.files) > 1:
            yield from (Series([file]) for file in whole.files)


def _input_fault(
    reading: Reading, folder: TileFolder, fixed: dict[str, str], several: bool = True
) -> InputFault | None:
    """Returns the fault of the inputs that explains why results differ in two values or more.

    It is None if no fault explains that, or if several of a kind do. Without `several` only single
    wrong numbers are looked for, which is quick.
    """
    wrong = sum(r.counting - r.agreeing for r in reading.results)
    if wrong < 2:
        return None
    seen = observed_differences(reading.layer, reading.tiles, list(reading.results))
    sources = {WEIGHTS: reading.weights, ACTIVATIONS: reading.activations}

    def explains(what: str, values: np.ndarray) -> bool:
        changed = replace(reading, **{what: replace(sources[what], values=values)})
        if not changed.as_good_at_first_sight(reading.results):
            return False
        after = changed.judged(folder, fixed, final=True)
        return all(r.agreeing == r.counting for r in after.results)

    bits = {WEIGHTS: WEIGHT_BITS, ACTIVATIONS: int(reading.activations.conventions.activation_bits)}
    limits = {WEIGHTS: (-8, 7), ACTIVATIONS: (0, (1 << bits[ACTIVATIONS]) - 1)}
    found: list[InputFault] = []
    for what, index, step in wrong_numbers(seen):
        source = sources[what]
        if what == ACTIVATIONS and reading.layer.padded is not None:
            index = (index[1], *divmod(index[2], reading.layer.padded.shape[2]))
        place, old = source.place(index), int(source.values[index])
        low, high = limits[what]
        if place is None or not low <= old + step <= high:
            continue
        values = source.values.copy()
        values[index] = old + step
        if explains(what, values):
            file, word, number = place
            count = file.words.width // bits[what]
            found.append(WrongNumber(file, word, number, count, old, old + step))
    if found or not several:
        return found[0] if len(found) == 1 else None
    for what, source in sources.items():
        for values, words in exchanges(what, source, seen, lines=reading.share > SOME):
            if explains(what, values):
                found.append(Exchanged(words))
    if found:
        return found[0] if len(found) == 1 else None
    solved = solved_weights(seen)
    if solved is not None and explains(WEIGHTS, solved):
        return wrong_weights(reading.weights, solved)
    return None


def _refuse_ties(best: Reading, found: list[Reading]) -> None:
    """Raises InputError if another reading agrees equally and predicts other results."""
    for other in found:
        if other.rank[:2] == best.rank[:2] and other.predicted() != best.predicted():
            raise InputError(
                f"{best.activations.files[0].words.path.parent}: two readings agree with "
                f"{best.share:.1%} of the values of psums and outputs, {_words(best, other)}, or "
                f"{_words(other, best)}: choose one of the options"
            )


def _words(reading: Reading, other: Reading) -> str:
    """Returns in words in what `reading` differs from `other`: its options and its files."""
    mine, theirs = asdict(reading.conventions), asdict(other.conventions)
    options = [f"{option(n)} {value}" for n, value in mine.items() if value != theirs[n]]
    if reading.geometry.height != other.geometry.height:
        options.append(f"--height {reading.geometry.height}")
    for ours, others in (
        (reading.activations, other.activations),
        (reading.weights, other.weights),
    ):
        if ours.series != others.series:
            options.append(f"with {listed(ours.series.names)}")
    return " ".join(options) or "as usual"


def nearness(finding: Finding) -> str:
    """Returns in words how near the nearest readings come to the results."""
    usual = max(finding.nearest, key=lambda reading: reading.rank[2])
    return ", ".join(f"{r.share:.0%} {_words(r, usual)}" for r in finding.nearest)


def _refuse_choice(folder: TileFolder, best: Reading, found: list[Reading]) -> None:
    """Raises InputError if several files hold different inputs, as no results say which count."""
    for role, mine in ((ACTIVATION, best.activations), (WEIGHT, best.weights)):
        for series in folder.series[role]:
            if series == mine.series or set(mine.files) <= set(series.files):
                continue
            other = _nearest_values(role, series, mine, found)
            if other is not None and (other.values == mine.values).all():
                continue
            names = listed(mine.series.names), listed(series.names)
            where = f"{names[0]} and {names[1]}"
            if other is not None:
                index = tuple(map(int, np.argwhere(other.values != mine.values)[0]))
                places = [r.place(index) for r in (mine, other)]
                if all(places):
                    where = " and ".join(file.words.place(word) for file, word, _ in places)
            raise InputError(
                f"{where} differ, and no psums or outputs say which of them counts: leave one out, "
                f"with --ignore {series.names[0]} or --ignore {mine.series.names[0]}"
            )


def _nearest_values(
    role: str, series: Series, mine: InputReading, found: list[Reading]
) -> InputReading | None:
    """Returns the reading of `series` whose values differ least from those of `mine`."""
    others = [r.activations if role == ACTIVATION else r.weights for r in found]
    fitting = [o for o in others if o.series == series and o.values.shape == mine.values.shape]
    return min(fitting, key=lambda o: int((o.values != mine.values).sum()), default=None)


def _other_inputs(
    folder: TileFolder, best: Reading, found: list[Reading]
) -> tuple[tuple[str, ...], ...]:
    """Returns the names of other inputs that hold the same, and those that are stale, and faults.

    A file that differs in a few values has faults: a line for each of the first few.
    """
    same, stale, faults = [], [], []
    for role, mine in ((ACTIVATION, best.activations), (WEIGHT, best.weights)):
        for series in folder.series[role]:
            used = set(mine.files) & set(series.files)
            if used:
                for file in series.files:
                    if file in mine.copies:
                        same.append(file.name)
                    elif file not in used and (lines := _almost_the_same(file, used)) is not None:
                        same.append(file.name)
                        faults += lines
                    elif file not in used:
                        stale.append(file.name)
                continue
            other = _nearest_values(role, series, mine, found)
            wrong = None if other is None else np.argwhere(other.values != mine.values)
            if wrong is None or len(wrong) > FEW * mine.values.size:
                stale += series.names
            elif not len(wrong):
                same += series.names
            else:
                same += series.names
                for index in wrong[:NEAREST].tolist():
                    faults.append(_difference(other, mine, tuple(index)))
    return tuple(same), tuple(stale), tuple(faults)


def _almost_the_same(file: TileFile, others: set[TileFile]) -> list[str] | None:
    """Returns in words where a file first differs from another one that is nearly the same.

    The list is empty if another file holds the same. Returns None if no other file is nearly the
    same.
    """
    for other in others:
        if file.words.bits.shape == other.words.bits.shape:
            wrong = np.flatnonzero((file.words.bits != other.words.bits).any(1))
            if not len(wrong):
                return []
            if len(wrong) <= FEW * len(file.words):
                places = [f.words.place(int(wrong[0])) for f in (file, other)]
                return [f"{places[0]}: differs from {places[1]}, with which the results agree"]
    return None


def _difference(other: InputReading, mine: InputReading, index: tuple[int, ...]) -> str:
    """Returns in words where two readings of the same values differ."""
    (file, word, number), place = other.place(index), mine.place(index)
    right = place[0].words.place(place[1]) if place else "the padding"
    count = other.blocks[0].layout.shape[1]
    return (
        f"{file.words.place(word)}: number {count - number} of {count} is "
        f"{other.values[index]}, and {mine.values[index]} in {right}, with which the results "
        "agree: the former is wrong"
    )


def listed(names: list[str] | tuple[str, ...]) -> str:
    """Returns names in a row; those that differ in numbers only become one, such as k0..8.txt."""
    rows: dict[str, list[list[str]]] = {}
    for name in names:
        rows.setdefault(re.sub(r"\d+", "#", name), []).append(re.findall(r"\d+", name))
    words = []
    for pattern, group in rows.items():
        spans = [_runs({int(number) for number in column}) for column in zip(*group, strict=True)]
        for span in spans:
            pattern = pattern.replace("#", span, 1)
        words.append(pattern)
    return ", ".join(words)


def _runs(numbers: set[int]) -> str:
    """Returns numbers as text, neighbours as a range: 0..6,8."""
    text = []
    for number in sorted(numbers):
        if number - 1 in numbers:
            text[-1] = f"{text[-1].split('..')[0]}..{number}"
        else:
            text.append(str(number))
    return ",".join(text)


def _missing(folder: TileFolder, role: str) -> InputError:
    """Returns the error for a folder without a usable file of a role."""
    if folder.faults[role]:
        return InputError(folder.faults[role][0])
    names = {
        ACTIVATION: "activations, such as activation.txt",
        WEIGHT: "weights, such as weight.txt",
    }
    return InputError(f"{folder.path}: holds no file of {names[role]}")


def _nothing_fits(folder: TileFolder, geometry: Geometry, fixed: dict[str, str]) -> InputError:
    """Returns the error for inputs that no convention fits: the first file whose size is wrong."""
    if text := next(iter(folder.faults[ACTIVATION] + folder.faults[WEIGHT]), None):
        return InputError(text)
    series = _with_single_tiles(folder.series[ACTIVATION])
    found = [r for s in series for r in activation_readings(s, geometry, fixed)]
    if not found:
        return why_no_activations(folder.series[ACTIVATION], geometry)
    return why_no_weights(folder.series[WEIGHT], found, geometry)
