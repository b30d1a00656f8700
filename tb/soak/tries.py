"""Tries faults around the bench, and counts what is lost, half-written or passes unearned.

python -m tb.soak                                  # all faults; build/results/soak.json
python -m tb.soak --only "killed" --only "stale"   # faults whose names hold a word
COCOTB_RANDOM_SEED=7 python -m tb.soak             # other times, places and sizes

Each try harms a copy of the checkout in a temporary folder, and then looks at what is left in it.
"""

import os
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from random import Random

from tabulate import tabulate
from tqdm import tqdm

from pymodel.checkpoint import SHIPPED
from pymodel.support.command import CommandParser, conclude, quiet, tell
from pymodel.support.errors import InputError
from pymodel.support.files import RESULTS, temporary_folder
from pymodel.support.result_files import write_results
from tb.sim.result_about import Subject
from tb.sim.simulators import check_simulator, random_seed
from tb.soak.checkout import HARMS, Checkout, HarmError, kill_all
from tb.soak.harms import CHECKPOINTS, FAULTS, SKIPPED, FaultKind, damaged_checkpoint

AT_ONCE = 2  # number of tries at once, each in a copy of its own
DAMAGED = 1000  # number of damaged checkpoints

# A function that takes the name of a fault, and how a try of it ended
Count = Callable[[str, str | HarmError], None]


@dataclass
class Tally:
    """The ends of all tries of one fault."""

    name: str
    tries: int = 0
    skipped: int = 0
    ends: Counter = field(default_factory=Counter)
    harms: list[HarmError] = field(default_factory=list)

    def add(self, end: str | HarmError) -> None:
        """Counts a try by how it ended, or as skipped if this machine does not allow it."""
        if isinstance(end, HarmError):
            self.harms.append(end)
        else:
            self.ends[end] += 1
            if end.startswith(SKIPPED):
                self.skipped += 1
                return
        self.tries += 1

    def as_dict(self) -> dict:
        """Returns the fault's entry in soak.json."""
        return {
            "name": self.name,
            "tries": self.tries,
            "skipped": self.skipped,
            "failed": len(self.harms),
            "ends": dict(self.ends),
            "harms": [str(harm) for harm in self.harms],
        }


def soak(seed: str, names: Collection[str]) -> list[Tally]:
    """Tries the faults of these names; returns how their tries ended."""
    tries = [(kind, n) for kind in FAULTS if kind.name in names for n in range(kind.tries)]
    damaged = DAMAGED if CHECKPOINTS in names else 0
    tallies = {kind.name: Tally(kind.name) for kind, _ in tries}
    if damaged:
        tallies[CHECKPOINTS] = Tally(CHECKPOINTS)
    with (
        temporary_folder("soak") as folder,
        tqdm(total=len(tries) + damaged, unit="try", disable=quiet() or None) as bar,
    ):

        def count(name: str, end: str | HarmError) -> None:
            tallies[name].add(end)
            bar.set_description(name)
            bar.set_postfix(failed=sum(len(tally.harms) for tally in tallies.values()))
            bar.update()

        if tries:
            bar.set_description("copies of the checkout")
            try_in_checkouts(tries, seed, folder, count)
        if damaged:
            try_checkpoints(damaged, seed, folder, count)
    return list(tallies.values())


def try_in_checkouts(
    tries: Sequence[tuple[FaultKind, int]], seed: str, folder: Path, count: Count
) -> None:
    """Makes the tries, AT_ONCE at a time, in copies of the checkout below `folder`."""
    copies = SimpleQueue()

    def attempt(kind: FaultKind, number: int) -> str | HarmError:
        checkout = copies.get()
        try:
            return kind.provoke(checkout, Random(f"{seed} {kind.name} {number}"), number)
        except HarmError as harm:
            harm.add_note(f"{kind.name}, try {number}")
            return harm
        finally:
            copies.put(checkout)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        try:
            for number in range(AT_ONCE):
                copies.put(working_checkout(folder / str(number)))
            names = {pool.submit(attempt, kind, number): kind.name for kind, number in tries}
            for future in as_completed(names):
                count(names[future], future.result())
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            kill_all()
            raise


def working_checkout(folder: Path) -> Checkout:
    """Returns a copy of the checkout in which two runs have passed.

    Raises InputError if one of the two fails.
    """
    checkout = Checkout.copied_to(folder)
    try:
        for _ in range(2):  # the first one compiles
            checkout.good_run()
    except HarmError as harm:
        raise InputError(f"a run fails without any fault: {' '.join(str(harm).split())}") from None
    return checkout


def try_checkpoints(number: int, seed: str, folder: Path, count: Count) -> None:
    """Damages the shipped checkpoint `number` times, in a file in `folder`."""
    whole, rng = SHIPPED.read_bytes(), Random(f"{seed} checkpoints")
    for _ in range(number):
        try:
            end = damaged_checkpoint(folder / "damaged.safetensors", rng, whole)
        except HarmError as harm:
            end = harm
        count(CHECKPOINTS, end)


def main() -> int:
    parser = CommandParser("tb.soak", __doc__)
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        help="try only faults whose names hold this word; repeatable",
    )
    parser.add_argument(
        "--results", type=Path, help="JSON file; default soak.json, or soak-part.json with --only"
    )
    arguments = parser.parse_args()
    check_simulator("icarus")
    seed, names = random_seed(), chosen(arguments.only)
    tell(f"COCOTB_RANDOM_SEED={seed}")
    subject = Subject("tb.soak.tries", rtl=None)
    tallies = soak(seed, names)
    results = summary(tallies, seed)
    about = subject.unchanged()
    path = arguments.results or RESULTS / ("soak-part.json" if arguments.only else "soak.json")
    write_results(path, results, passed=not results["failed"], about=about)
    tell(closing_table(tallies))
    for tally in tallies:
        for harm in tally.harms:
            tell(f"{' '.join(getattr(harm, '__notes__', [tally.name]))}: {harm}\n")
    if results["failed"]:
        return conclude(
            f"FAILED: {results['failed']} of {results['tries']} tries did harm, with seed {seed}",
            passed=False,
        )
    skipped = results["skipped"]
    words = f"; {skipped} not tried, which this machine does not allow" if skipped else ""
    return conclude(
        f"Nothing lost, nothing half-written, no unearned pass{words}. "
        f"Results: {os.path.relpath(path)}"
    )


def chosen(words: Sequence[str]) -> set[str]:
    """Returns the names of the faults that hold one of `words`, or all names if there are no words.

    Raises InputError for a word that no name holds.
    """
    names = [*(kind.name for kind in FAULTS), CHECKPOINTS]
    for word in words:
        if not any(word in name for name in names):
            raise InputError(
                f"--only: no fault holds '{word}', expected a word of {', '.join(names)}"
            )
    return {name for name in names if not words or any(word in name for word in words)}


def summary(tallies: Sequence[Tally], seed: str) -> dict:
    """Returns the counts of all tries by the keys of soak.json."""
    checkpoints = [tally for tally in tallies if tally.name == CHECKPOINTS]
    return {
        "faults": [tally.as_dict() for tally in tallies],
        "tries": sum(tally.tries for tally in tallies),
        "skipped": sum(tally.skipped for tally in tallies),
        "failed": sum(len(tally.harms) for tally in tallies),
        "seed": int(seed),
        "checkpoints_refused": sum(tally.tries - len(tally.harms) for tally in checkpoints),
    }


def closing_table(tallies: Sequence[Tally]) -> str:
    """Returns a table as text: a row for each fault and each way in which its tries ended."""
    lines = []
    for tally in tallies:
        kinds = Counter(harm.kind for harm in tally.harms)
        counts = [str(kinds[kind]) for kind in HARMS]
        ends = [f"{count:,} {end}" for end, count in sorted(tally.ends.items())]
        first = [tally.name, f"{tally.tries:,}", ends[0] if ends else "", *counts]
        lines += [first, *(["", "", end] for end in ends[1:])]
    columns = ("fault", "tries", "how it ended", *HARMS)
    return "\n" + tabulate(lines, columns, tablefmt="simple", disable_numparse=True) + "\n"
