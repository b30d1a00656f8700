"""Finds the likely cause of a mismatch by computing the psums that each usual suspect would give.

A suspect is a fault that people make (weights of the tile before, rows reversed, one cycle late, a
sign dropped, bits cut off, …) in all PEs, one row, one column, or one PE. Each suspect predicts
every psum of a run. The suspect whose predictions agree best with the received psums is the hint.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from tb.components.tile_run import Record

WINDOW = 4096  # number of psum vectors of an 8 × 8 array that are looked at
BEFORE = 512  # number of these vectors before the first wrong one
LEAST_AGREEMENT = 0.6  # smallest agreement of a suspect that becomes the hint
MOST_COLUMNS = 3  # largest number of wrong columns that are looked at one by one
# Causes in all columns that cannot be distinguished from another cause
VALID = {
    "psums one cycle late": " (or valid one cycle early)",
    "psums one cycle early": " (or valid one cycle late)",
}
TAKING = ", so it takes weights meant for other columns"
FEW = 10  # fewer wrong psums than these may agree with a suspect by chance


class Where(NamedTuple):
    """The part of the array where something is wrong: all of it, or a row, a column, a PE."""

    whole: str = ""  # "columns" or "PEs" if the part is all of these
    row: int | None = None
    column: int | None = None
    eastward: bool = False  # whether the part reaches from the column to the east edge

    @property
    def only_column(self) -> int | None:
        """Returns the column that holds all of this part, None if it reaches over several."""
        return None if self.eastward else self.column

    @property
    def words(self) -> str:
        """Returns the place in words."""
        if self.whole:
            return f"in all {self.whole}"
        if self.row is None:
            return f"in column {self.column}"
        if self.column is None:
            return f"in row {self.row}"
        if self.eastward:
            return f"in row {self.row} from column {self.column} on"
        return f"in PE (row {self.row}, column {self.column})"


ALL_COLUMNS, ALL_PES = Where(whole="columns"), Where(whole="PEs")


@dataclass(frozen=True)
class Cause:
    """A fault that may explain a mismatch: its kind, its amount and its place."""

    kind: str  # a phrase, with {} for each amount
    amount: tuple[int, ...] = ()  # cycles, bits, rows, columns
    where: Where | None = None  # None: the kind names the place

    def at(self, where: Where) -> "Cause":
        """Returns this cause at a place."""
        return replace(self, where=where)

    @property
    def words(self) -> str:
        """Returns the cause in words; all words of causes are made here."""
        words = self.kind.format(*self.amount).replace(" 1 cycles", " 1 cycle")
        if self.where:
            words += f", {self.where.words}"
        if self.where == ALL_COLUMNS:
            words += VALID.get(self.kind, "")
        return words


@dataclass(frozen=True)
class Suspect:
    """Possible causes that act together (usually one), and their agreement with received psums."""

    causes: tuple[Cause, ...]
    explained: int  # wrong psums that it predicts exactly
    recall: float  # share of the wrong psums that the suspect predicts exactly
    precision: float  # share of the suspect's wrong predictions that were received
    value: int  # the suspect's psum at the first wrong place

    @property
    def words(self) -> str:
        """Returns the causes in words."""
        return "; ".join(cause.words for cause in self.causes)

    @property
    def agreement(self) -> float:
        """Returns how well the causes agree with the received psums, from 0 to 1.

        The agreement is the harmonic mean of recall and precision. It is 0.9 of the recall if that
        is more and the causes explain at least FEW psums, because a fault may act only at times.
        """
        both = 2 * self.recall * self.precision / (self.recall + self.precision)
        return max(both, 0.9 * self.recall) if self.explained >= FEW else both


@dataclass(frozen=True)
class Diagnosis:
    """Where a run first went wrong, and which causes are suspected."""

    index: int  # number of the psum vector, in the order of the run
    column: int
    expected: int
    got: int | None  # None: X or Z
    cycle: int
    wrong: int  # number of wrong psums among those looked at, without X and Z
    suspects: list[Suspect]  # the likeliest first
    unknown: str  # the places of X and Z and the likely cause, in words; empty without X and Z

    @property
    def hint(self) -> Suspect | None:
        """Returns the likeliest cause, None if no cause agrees well enough."""
        best = self.suspects[0] if self.suspects else None
        return best if best and best.agreement >= LEAST_AGREEMENT else None


def diagnose(record: Record) -> Diagnosis | None:
    """Returns the first wrong psum of a run with its suspects, None if all psums are right."""
    cols = record.received.shape[1]
    count = len(record.received)
    expected = record.run.expected.reshape(-1, cols)[:count]
    wrong = record.wrong()
    if not wrong.any():
        return None
    index, column = map(int, np.argwhere(wrong)[0])
    start = max(0, index - BEFORE)
    rows = record.run.tiles.weights.shape[1]
    window = slice(start, min(count, start + max(2 * BEFORE, WINDOW * 64 // (rows * cols))))
    got, known = record.received[window], ~record.unknown[window]
    evidence = _Evidence(record, window, wrong[window])

    here, first = wrong[window] & known, (index - start, column)
    suspects: list[Suspect] = []
    # Column → the first cause in it alone that explains all of it, and its psum at the first place
    exact: dict[int, tuple[Cause, int]] = {}
    for cause, predicted in evidence.suspects():
        predicted = np.broadcast_to(predicted, got.shape)
        same = predicted == got
        if explained := int((here & same).sum()):
            claimed = int(((predicted != evidence.psums) & known).sum())
            recall, value = explained / int(here.sum()), int(predicted[first])
            suspects.append(Suspect((cause,), explained, recall, explained / claimed, value))
        alone = cause.where.only_column if cause.where else None
        if alone in evidence.columns and alone not in exact and (same | ~known)[:, alone].all():
            exact[alone] = cause, int(predicted[first])
    # Of suspects that agree equally, the more precise one comes first. The sort is stable, so of
    # equals the first, which is the simplest, stays first.
    suspects.sort(key=lambda s: (-round(s.agreement, 3), -round(s.precision, 3)))
    one_does = suspects and suspects[0].recall == 1
    if not one_does and len(exact) > 1 and exact.keys() == set(np.flatnonzero(here.any(0))):
        causes, values = zip(*exact.values(), strict=True)
        # Where the very first is an X, its column may not be among these.
        value = exact[column][1] if column in exact else values[0]
        suspects.insert(0, Suspect(causes, int(here.sum()), 1.0, 1.0, value))
    return Diagnosis(
        index,
        column,
        int(expected[index, column]),
        None if record.unknown[index, column] else int(record.received[index, column]),
        int(record.cycles[index]),
        int((wrong[window] & known).sum()),
        suspects,
        _of_unknown(record),
    )


def _of_unknown(record: Record) -> str:
    """Returns in words the places of X and Z and their likely cause; empty without X and Z."""
    unknown = record.unknown
    if not unknown.any():
        return ""
    columns = np.flatnonzero(unknown.any(0))
    vectors = np.flatnonzero(unknown.any(1))
    cols = unknown.shape[1]
    if len(columns) == cols:
        where = "X or Z in all columns"
    else:
        where = f"X or Z in column{'s' * (len(columns) > 1)} {' '.join(map(str, columns))}"
    pixels = record.run.expected.shape[2]
    if vectors[-1] < pixels:
        return f"{where} in the first tile only: weights or sums are used that nothing has set yet"
    if len(columns) == cols:
        return f"{where}: weights never become active, or a register in all columns has no reset"
    if len(columns) > 1 and columns[-1] == cols - 1 and len(columns) == cols - columns[0]:
        return (
            f"{where}: what travels east (weights, their swap, activations) does not pass column "
            f"{columns[0]}"
        )
    return f"{where}: its weights never arrive, its sum is never cleared, or nothing drives it"


class _Evidence:
    """Holds the inputs and psums of the window, over psum vectors v, rows r and columns c."""

    def __init__(self, record: Record, window: slice, wrong: np.ndarray):
        tiles, expected = record.run.tiles, record.run.expected
        images, count, pixels, _ = expected.shape
        run, self.pixel = np.divmod(np.arange(window.start, window.stop), pixels)
        self.pixels = pixels
        self.shows = record.run.shows
        self.act_width, self.weight_width, self.psum_width = record.widths
        self.first_wrong = int(wrong.any(1).argmax())
        # A fault in one column or PE is looked for where most of the wrong psums are, or in each of
        # a few columns.
        per_column = wrong.sum(0)
        worst = int(per_column.argmax())
        self.got, self.known = record.received[window], ~record.unknown[window]
        share = per_column[worst] / per_column.sum()
        few = np.flatnonzero(per_column).tolist()
        self.columns = few
        if len(few) > MOST_COLUMNS:
            self.columns = [worst] if share >= LEAST_AGREEMENT else []
        self.first_column = few[0] if few else 0
        weights = tiles.weights.astype(np.int64)
        self.weights = weights[run % count]  # [v, r, c]
        # In the very first tile there is none before.
        self.before = np.where((run == 0)[:, None, None], 0, weights[(run - 1) % count])
        self.after = np.where(
            (run == images * count - 1)[:, None, None], 0, weights[(run + 1) % count]
        )
        everything = tiles.activations.reshape(-1, tiles.activations.shape[-1]).astype(np.int64)
        self.acts = everything[window]  # [v, r]
        self.earlier = _shifted(everything, 1)[window]
        self.later = _shifted(everything, -1)[window]
        self.products = self.acts[:, :, None] * self.weights
        flat = expected.reshape(-1, expected.shape[-1])
        self.psums = flat[window]  # [v, c]
        self.psum_earlier = _shifted(flat, 1)[window]
        self.psum_later = _shifted(flat, -1)[window]

    def suspects(self) -> Iterator[tuple[Cause, np.ndarray]]:
        """Yields each cause with the psums [v, c] that it gives, simple causes first.

        Of an array that gives sums over tiles, or what a core makes of them, only causes in whole
        columns and in all PEs are looked at: a row is no place in it.
        """
        for cause, psums in self._of_psums():
            yield cause.at(ALL_COLUMNS), psums
        if self.shows != "psum":
            yield from self._of_sums()
            return
        products = list(self._of_products())
        for cause, product in products:
            yield cause.at(ALL_PES), product.sum(1)
        for cause, product in products:
            changed = product - self.products
            for row in range(changed.shape[1]):
                yield cause.at(Where(row=row)), self.psums + changed[:, row]
            if east := self.first_column:
                for row in range(changed.shape[1]):
                    one = np.where(np.arange(changed.shape[2]) < east, 0, changed[:, row])
                    yield cause.at(Where(row=row, column=east, eastward=True)), self.psums + one
        for column in self.columns:
            for cause, psums in self._of_psums():
                yield cause.at(Where(column=column)), self._only(column, psums)
            for cause, product in products:
                yield cause.at(Where(column=column)), self._only(column, product.sum(1))
            for cause, product in products:
                changed = product - self.products
                for row in range(changed.shape[1]):
                    one = self._only(column, self.psums + changed[:, row])
                    yield cause.at(Where(row=row, column=column)), one
        yield from self._of_partial_sums()
        cause, best = self._mixed_columns()
        yield cause, self.psums[:, best]
        yield from self._of_order()
        yield from self._of_constant_weights()

    def _of_sums(self) -> Iterator[tuple[Cause, np.ndarray]]:
        """Yields the causes of wrong sums beside those in all columns."""
        if self.shows == "sum":
            for cause, product in self._of_products():
                yield cause.at(ALL_PES), product.sum(1)
        for column in self.columns:
            for cause, psums in self._of_psums():
                yield cause.at(Where(column=column)), self._only(column, psums)
        yield from self._of_order()

    def _only(self, column: int, psums: np.ndarray) -> np.ndarray:
        """Returns psums [v, c] that are those of `psums` in one column, and right elsewhere."""
        chosen = np.arange(self.psums.shape[1]) == column
        return np.where(chosen, psums, self.psums)

    def _passing(self, late: np.ndarray) -> np.ndarray:
        """Returns the weights [v, r, c] in use if our array's swap is `late` [r, c] cycles late.

        The next tile's weights are then under way already, the last column first, and pass through
        the shadow registers of the columns before. So PE c takes one of those weights.
        """
        cols = late.shape[1]
        row, col = np.indices(late.shape)
        taken = np.where(late > 0, np.maximum(cols - late, col), col)
        now = np.where(late > 0, self.after[:, row, taken], self.weights)
        held = np.where(late > 0, self.weights[:, row, taken], self.before)
        return np.where(self.pixel[:, None, None] < late, held, now)

    def _with_swap_late(self, late: int) -> np.ndarray:
        """Returns the products [v, r, c] if activations and swap come `late` cycles late.

        Each activation then meets the weights that are in use when it comes.
        """
        weights = self._passing(np.full(self.weights.shape[1:], late))
        # Of the vectors before, in the tile before, the weights are those that this tile holds.
        acts = self.acts
        for _ in range(late):
            acts = _shifted(acts, 1)
        return acts[:, :, None] * weights

    def _of_constant_weights(self) -> Iterator[tuple[Cause, np.ndarray]]:
        """Yields the set of weights that fits the received psums best; as a fit, it comes last."""
        rows = self.weights.shape[1]
        weights = np.zeros(self.weights.shape[1:], np.int64)
        for column, known in enumerate(self.known.T):
            acts = self.acts[known].astype(float)
            if len(acts) < 4 * rows or np.linalg.matrix_rank(acts) < rows:
                return
            fit = np.linalg.lstsq(acts, self.got[known, column].astype(float))[0]
            weights[:, column] = fit.round()
        psums = self.acts @ weights
        cause = Cause("the same weights in all tiles")
        yield cause.at(ALL_PES), psums
        for column in self.columns:
            yield cause.at(Where(column=column)), self._only(column, psums)

    def _of_products(self) -> Iterator[tuple[Cause, np.ndarray]]:
        """Yields faults in weights and activations: each cause with its products [v, r, c]."""
        acts, weights = self.acts[:, :, None], self.weights
        act_width, weight_width = self.act_width, self.weight_width
        unsigned = (1 << weight_width) - 1

        def with_weights(other):
            return acts * other

        def with_acts(other):
            return other[:, :, None] * weights

        yield Cause("weights of the tile before"), with_weights(self.before)
        yield Cause("weights of the tile after"), with_weights(self.after)
        for late in (1, 2, 3):
            first, last = self.pixel < late, self.pixel >= self.pixels - late
            early = with_weights(np.where(last[:, None, None], self.after, weights))
            yield Cause("the swap of weights {} cycles early", (late,)), early
            held = with_weights(np.where(first[:, None, None], self.before, weights))
            swap_late = "the swap of weights {} cycles late"
            yield Cause(swap_late, (late,)), held
            passing = with_weights(self._passing(np.full(weights.shape[1:], late)))
            yield Cause(swap_late + TAKING, (late,)), passing
            with_swap = self._with_swap_late(late)
            yield Cause("activations and their swap {} cycles late", (late,)), with_swap
        for unit, place in zip(("row", "column"), np.indices(weights.shape[1:]), strict=True):
            for lag in (place, place + 1):
                late = f"the swap of weights later with each {unit}, by one cycle"
                late += " from the first on" if lag.all() else ""
                held = np.where(self.pixel[:, None, None] < lag, self.before, weights)
                yield Cause(late), with_weights(held)
                yield Cause(late + TAKING), with_weights(self._passing(lag))
        rows_reversed = with_weights(weights[:, ::-1])
        yield Cause("the rows reversed (the weights against the activations)"), rows_reversed
        yield Cause("the columns of weights reversed"), with_weights(weights[:, :, ::-1])
        if weights.shape[1] == weights.shape[2]:
            yield (
                Cause("weights transposed (rows and columns)"),
                with_weights(weights.transpose(0, 2, 1)),
            )
        for step, where in ((1, "before"), (-1, "after")):
            yield Cause(f"weights of the column {where}"), with_weights(np.roll(weights, step, 2))
            yield Cause(f"weights of the row {where}"), with_weights(np.roll(weights, step, 1))
            yield Cause(f"activations of the row {where}"), with_acts(np.roll(self.acts, step, 1))
        yield (
            Cause("the sign of weights dropped (taken as unsigned)"),
            with_weights(weights & unsigned),
        )
        yield Cause("the sign of weights dropped (magnitude)"), with_weights(abs(weights))
        yield Cause("weights negated"), with_weights(-weights)
        signed = bool((self.acts < 0).any())
        other = self.acts & (1 << act_width) - 1 if signed else _wrapped(self.acts, act_width)
        yield Cause(f"activations taken as {'un' * signed}signed"), with_acts(other)
        yield Cause("weights zero, or nothing added"), with_weights(0 * weights)
        yield Cause("activations one cycle late"), with_acts(self.earlier)
        yield Cause("activations one cycle early"), with_acts(self.later)
        yield Cause("products one cycle late"), _shifted(self.products, 1)
        yield Cause("products one cycle early"), _shifted(self.products, -1)
        yield Cause("products added twice"), 2 * self.products
        for kept in range(2, act_width + weight_width):
            yield Cause("products truncated to {} bits", (kept,)), _wrapped(self.products, kept)
            yield (
                Cause("products truncated to {} bits, unsigned", (kept,)),
                self.products & (1 << kept) - 1,
            )
        whole = (1 << act_width + weight_width) - 1
        yield Cause("the sign of products dropped"), self.products & whole
        for kept in range(1, weight_width):
            yield (
                Cause("weights truncated to {} bits", (kept,)),
                with_weights(_wrapped(weights, kept)),
            )
        for kept in range(1, act_width):
            yield (
                Cause("activations truncated to {} bits", (kept,)),
                with_acts(self.acts & (1 << kept) - 1),
            )
        for bit in range(act_width):
            for level in (0, 1):
                stuck = _stuck(self.acts, bit, level)
                stuck = _wrapped(stuck, act_width) if signed else stuck
                yield Cause("bit {} of activations stuck at {}", (bit, level)), with_acts(stuck)
        for bit in range(weight_width):
            for level in (0, 1):
                stuck = _wrapped(_stuck(weights, bit, level), weight_width)
                yield Cause("bit {} of weights stuck at {}", (bit, level)), with_weights(stuck)

    def _of_psums(self) -> Iterator[tuple[Cause, np.ndarray]]:
        """Yields faults in psums: each cause with its psums [v, c]."""
        psums = self.psums
        yield Cause("psums one cycle late"), self.psum_earlier
        yield Cause("psums one cycle early"), self.psum_later
        for kept in range(3, self.psum_width):
            yield Cause("psums truncated to {} bits", (kept,)), _wrapped(psums, kept)
            yield Cause("psums truncated to {} bits, unsigned", (kept,)), psums & (1 << kept) - 1
            limit = 1 << kept - 1
            yield Cause("psums saturated to {} bits", (kept,)), psums.clip(-limit, limit - 1)
        yield Cause("the sign of psums dropped"), abs(psums)
        yield Cause("psums negated"), -psums
        yield Cause("negative psums made zero (a ReLU too early)"), psums.clip(0)
        yield Cause("psums zero"), 0 * psums
        yield Cause("the columns of psums reversed"), psums[:, ::-1]
        yield Cause("psums of the column before"), np.roll(psums, 1, 1)
        yield Cause("psums of the column after"), np.roll(psums, -1, 1)
        yield Cause("psums added to those before (not cleared)"), psums + self.psum_earlier
        for constant in (1, -1):
            yield Cause("psums off by {:+d}", (constant,)), psums + constant
        yield Cause("psums inverted (missing + 1 of a negation)"), ~psums
        yield Cause("psums twice as large"), 2 * psums
        yield Cause("psums half as large"), psums >> 1
        for bit in range(self.psum_width):
            for level in (0, 1):
                stuck = _wrapped(_stuck(psums, bit, level), self.psum_width)
                yield Cause("bit {} of psums stuck at {}", (bit, level)), stuck

    def _mixed_columns(self) -> tuple[Cause, np.ndarray]:
        """Returns the cause that columns have each other's weights, and the best fit per column.

        The fit is the index [c] of the column whose psums agree best with the received ones.
        """
        # [v, column of weights, received column]
        same = (self.psums[:, :, None] == self.got[:, None, :]) & self.known[:, None, :]
        best = same.sum(0).argmax(0)
        order = " ".join(["{}"] * len(best))
        kind = f"weights or psums of other columns (columns have those of {order})"
        return Cause(kind, tuple(best.tolist())), best

    def _of_partial_sums(self) -> Iterator[tuple[Cause, np.ndarray]]:
        """Yields faults that lose or cut off the psum on its way south, below one row."""
        sums = self.products.cumsum(1)
        for row in range(sums.shape[1] - 1):
            partial = sums[:, row]
            rest = self.psums - partial
            yield Cause("the psum below row {} lost (not passed on south)", (row,)), rest
            for kept in range(3, self.psum_width):
                cut = "the psum below row {} truncated to {} bits"
                unsigned = partial & (1 << kept) - 1
                yield Cause(cut, (row, kept)), rest + _wrapped(partial, kept)
                yield Cause(f"{cut}, unsigned", (row, kept)), rest + unsigned

    def _of_order(self) -> Iterator[tuple[Cause, np.ndarray]]:
        """Yields the loss and the repetition of a psum vector, which displace all later vectors."""
        differ = self.first_wrong
        position = np.arange(len(self.psums))[:, None]
        yield (
            Cause("one psum vector lost"),
            np.where(position < differ, self.psums, self.psum_later),
        )
        yield (
            Cause("one psum vector repeated"),
            np.where(position < differ, self.psums, self.psum_earlier),
        )


def _shifted(values: np.ndarray, by: int) -> np.ndarray:
    """Returns the values shifted by `by` vectors: values[v − by], and zeros where there is none."""
    moved = np.roll(values, by, 0)
    if by > 0:
        moved[:by] = 0
    else:
        moved[by:] = 0
    return moved


def _stuck(values: np.ndarray, bit: int, level: int) -> np.ndarray:
    """Returns the values with one bit set to `level`, 0 or 1."""
    return (values & ~(1 << bit)) | level << bit


def _wrapped(values: np.ndarray, bits: int) -> np.ndarray:
    """Returns the lowest `bits` bits of the values, as two's complement."""
    half = 1 << bits - 1
    return ((values + half) & (1 << bits) - 1) - half
