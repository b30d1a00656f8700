"""Puts faults into the RTL, one at a time, and counts those that the benches find.

python -m tb.mutation                       # all named faults, 500 netlist mutants; seed 1
python -m tb.mutation --number 100 --seed random

The faults are named ones in the source (named_faults.py) and drawn ones in the netlist
(drawn_mutants.py). Each runs against its module's own bench. Of those that no bench finds, the ones
that change nothing are proven to be equivalent (equivalence.py). Verdicts are kept, so that an
interrupted run goes on.
"""

import json
import logging
import os
import random
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import partial
from pathlib import Path
from typing import NamedTuple

from tabulate import tabulate
from tqdm import tqdm

from pymodel.support.command import CommandParser, conclude, quiet, tell, whole_number
from pymodel.support.errors import InputError
from pymodel.support.files import RESULTS
from pymodel.support.result_files import read_verdict, write_results
from tb.formal.prove import bound, inside, versions
from tb.mutation.drawn_mutants import (
    TARGETS,
    Bench,
    Mutant,
    Target,
    Verdict,
    compile_fault,
    compile_netlist,
    compile_rtl,
    draw,
    shares,
    try_mutant,
)
from tb.mutation.equivalence import equivalent
from tb.mutation.named_faults import FAULTS, Fault
from tb.sim.compilation import Simulation
from tb.sim.files_read import files_read
from tb.sim.kept_results import Store, code_files, files_digest
from tb.sim.result_about import Subject
from tb.sim.simulators import check_simulator, leave_out_settings, random_seed, simulator_identity
from tb.sim.sources import RTL, find_once

LARGEST = 10_000  # largest number of drawn mutants
STORE = Store("verdict")
STATES = ("killed", "survived", "equivalent", "broken")
GRACE = 20.0  # seconds for which a bench may be silent, beside twice its duration
UNKNOWN_LIMIT = 600.0  # seconds for which a bench may be silent whose duration is not known


class Result(NamedTuple):
    """A fault that was tried, and its verdict."""

    module: str
    kind: str  # "named" or "netlist"
    where: str  # such as "rtl/pe.v:42"
    difference: str  # the change of the mutant, in words
    verdict: Verdict


def main() -> int:
    parser = CommandParser("tb.mutation", __doc__)
    parser.add_argument("--number", default="500", help="number of netlist mutants in all modules")
    parser.add_argument("--seed", default="1", help="seed of the drawing: a number, or random")
    parser.add_argument("--jobs", default=str(os.cpu_count()), help="number of faults at a time")
    parser.add_argument("--fresh", action="store_true", help="try again, even if a result was kept")
    arguments = parser.parse_args()
    number = whole_number("--number", arguments.number, 0, LARGEST)
    jobs = whole_number("--jobs", arguments.jobs, 1, 256)
    seed = random.SystemRandom().randrange(10**6)
    if arguments.seed != "random":
        seed = whole_number("--seed", arguments.seed, 0, 10**9 - 1)
    check_simulator("icarus")
    leave_out_settings()
    tell(f"Seed {seed}; faults at a time: {jobs}")
    logging.disable(logging.INFO)  # messages of this level are the compilers' commands
    store = Verdicts(arguments.fresh)
    benches = {bench.module for target in TARGETS for bench in target.benches}
    subject = Subject("tb.mutation.campaign", *benches)
    results = run(FAULTS, number, seed, jobs, store)
    return report(results, seed, store, subject)


class Verdicts:
    """The store of verdicts, each under the hash of all that it follows from.

    `begun` is when the run began: a verdict on sources that changed since is refused, not kept.
    """

    def __init__(self, fresh: bool):
        self.fresh = fresh
        self.begun = time.time()
        self.tried = 0  # number of verdicts that this run has found
        self._counting = threading.Lock()
        self._common = {
            "simulator": simulator_identity("icarus"),
            "tools": versions(),
            "seed": random_seed(),
        }
        self._locks = {target: threading.Lock() for target in TARGETS}
        self._limits: dict[Target, float] = {}

    def verdict(self, target: Target, what: str, find: Callable[[Bench], Verdict]) -> Verdict:
        """Returns the verdict of the target's benches on `what`; they run until one kills it.

        The verdict of each bench is kept, or found by `find(bench)`. Raises InputError as `kept`
        does.
        """
        seconds = 0.0
        for bench in target.benches:
            about = {"fault": what, "bench": bench.module, "settings": bench.settings}
            find_one = partial(find, bench)
            verdict = self.kept(target, about, find_one, bench_files(bench))
            seconds += verdict.seconds
            if verdict.state != "survived":
                break
        return verdict._replace(seconds=seconds)

    def kept(
        self, target: Target, what: dict, find: Callable[[], Verdict], files: Iterable[Path]
    ) -> Verdict:
        """Returns the kept verdict on `what` of `target`, else that of `find()`.

        The verdict of `find()` is kept unless it is that the fault is broken. `files` are this
        project's code that finds it. Raises InputError if one of them or of the RTL changed
        meanwhile.
        """
        files = {*_rtl_files(target.module), *files}
        identity = self.identity(target, what, files)
        if not self.fresh and (kept := STORE.load(identity)):
            return Verdict(**kept)
        verdict = find()
        for file in files:
            if file.stat().st_ctime >= self.begun:
                name = os.path.relpath(file)
                raise InputError(f"{name}: changed while its faults were tried; run again")
        with self._counting:
            self.tried += 1
        if verdict.state != "broken":  # a full disk may be why nothing compiled
            STORE.save(identity, verdict._asdict())
        return verdict

    def identity(self, target: Target, what: dict, files: Iterable[Path]) -> dict:
        """Returns all that a verdict on `what` of `target` follows from."""
        return {**self._common, "target": target.name, "what": what, "files": files_digest(files)}

    def limit(self, target: Target) -> float:
        """Returns the seconds for which a target's benches may be silent.

        They run without a fault once in each command that tries one: what makes them fail now
        may lie in the environment, and would make every fault look found. Raises InputError if
        they fail.
        """
        with self._locks[target]:
            if target not in self._limits:
                seconds = sum(_right(target, bench).seconds for bench in target.benches)
                self._limits[target] = GRACE + 2 * seconds
            return self._limits[target]


def run(
    faults: Iterable[Fault], number: int, seed: int, jobs: int, store: Verdicts
) -> list[Result]:
    """Tries all `faults` and `number` netlist mutants drawn with `seed`, `jobs` at a time.

    $COCOTB_RANDOM_SEED is the benches' own seed. Raises InputError if a bench fails without a
    fault.
    """
    faults = tuple(faults)
    numbers = {target: share for target, share in shares(number).items() if share}
    results, survivors = [], {}
    with (
        ThreadPoolExecutor(jobs) as pool,
        tqdm(total=len(faults), unit="fault", desc="mutating", disable=quiet() or None) as bar,
    ):
        try:
            # What takes longest comes first.
            drawn = {
                pool.submit(CompiledNetlist, t, n, seed): t for t, n in reversed(numbers.items())
            }
            tried = {pool.submit(try_fault, fault, store): fault for fault in faults}
            for future in as_completed(drawn):
                compiled = future.result()
                mutants = compiled.netlist.mutants
                bar.total += len(mutants)
                tried |= {pool.submit(compiled.verdict, m, store): m for m in mutants}
            for future in as_completed(tried):
                fault, verdict = tried[future], future.result()
                if isinstance(fault, Mutant) and verdict.state == "survived":
                    survivors.setdefault(fault.target, []).append((fault, verdict))
                else:
                    results.append(_result(fault, verdict))
                bar.update()
            bar.set_description("proving equivalence")
            for found in as_completed([pool.submit(prove, s, store) for s in survivors.values()]):
                results += found.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return results


def bench_files(bench: Bench) -> set[Path]:
    """Returns the files of this project's code that take part when a bench tries faults."""
    found = code_files(
        "tb.mutation.campaign",
        bench.module,
        without=("tb.mutation.named_faults", "tb.formal.proof_table"),
    )
    return found | {Path(value) for value in bench.settings.values() if value.endswith(".py")}


def _rtl_files(module: str) -> set[Path]:
    """Returns the sources of a module and of those inside it, and what they include."""
    sources = sorted(RTL / f"{name}.v" for name in {module} | inside(module))
    return set(files_read("icarus", sources).files)


_compiling = threading.Lock()


class CompiledNetlist:
    """A target's netlist with the drawn mutants; it is compiled when the first mutant runs."""

    def __init__(self, target: Target, number: int, seed: int):
        self.netlist = draw(target, number, seed)
        self._lock = threading.Lock()
        self._ready: tuple[Simulation, float] | None = None

    def verdict(self, mutant: Mutant, store: Verdicts) -> Verdict:
        """Returns the verdict of the target's benches on a mutant."""
        return store.verdict(mutant.target, mutant.change, partial(self._try, mutant.number))

    def _try(self, number: int, bench: Bench) -> Verdict:
        simulation, limit = self._prepared()
        return try_mutant(simulation, bench, random_seed(), number, limit)

    def _prepared(self) -> tuple[Simulation, float]:
        """Returns the simulation, and the seconds for which it may be silent.

        Raises InputError if a bench fails on the netlist without a mutant.
        """
        with self._lock:
            if self._ready is None:
                with _compiling:
                    simulation = compile_netlist(self.netlist)
                seconds = 0.0
                for bench in self.netlist.target.benches:
                    verdict = try_mutant(simulation, bench, random_seed(), limit=UNKNOWN_LIMIT)
                    if verdict.state != "survived":
                        name = self.netlist.target.name
                        raise InputError(f"{name}: {verdict.how} fails on the netlist as it is")
                    seconds += verdict.seconds
                self._ready = simulation, GRACE + 2 * seconds
            return self._ready


def try_fault(fault: Fault, store: Verdicts) -> Verdict:
    """Returns the verdict on a named fault: it is killed if a bench of its module fails."""
    for target in (target for target in TARGETS if target.module == fault.module):
        find = partial(_try_fault, fault, target, store)
        verdict = store.verdict(target, f"{fault.old} => {fault.new}", find)
        if verdict.state != "survived":
            break
    return verdict


def _try_fault(fault: Fault, target: Target, store: Verdicts, bench: Bench) -> Verdict:
    return _try(partial(compile_fault, fault), target, store.limit(target), bench)


def _right(target: Target, bench: Bench) -> Verdict:
    """Returns a bench's verdict on the RTL as it is; raises InputError if the bench fails."""
    verdict = _try(compile_rtl, target, UNKNOWN_LIMIT, bench)
    if verdict.state != "survived":
        raise InputError(f"{target.name}: {verdict.how} fails without a fault")
    return verdict


def _try(
    compiled: Callable[[Target], Simulation], target: Target, limit: float, bench: Bench
) -> Verdict:
    try:
        with _compiling:
            simulation = compiled(target)
    except InputError as error:
        return Verdict("broken", str(error), 0.0)
    return try_mutant(simulation, bench, random_seed(), limit=limit)


def prove(survivors: list[tuple[Mutant, Verdict]], store: Verdicts) -> list[Result]:
    """Returns the results of one target's survivors: those that change nothing are equivalent."""
    target = survivors[0][0].target
    about = {
        "survivors": sorted(mutant.change for mutant, _ in survivors),
        "properties": bound(target.module),
    }
    begun = time.monotonic()

    def find() -> Verdict:
        numbers = equivalent(target, [mutant for mutant, _ in survivors])
        changes = [mutant.change for mutant, _ in survivors if mutant.number in numbers]
        return Verdict("equivalent", json.dumps(changes), time.monotonic() - begun)

    found = store.kept(target, about, find, code_files("tb.mutation.equivalence"))
    same = json.loads(found.how)
    share = found.seconds / len(survivors)
    return [
        _result(
            m,
            v._replace(
                state="equivalent" if m.change in same else v.state, seconds=v.seconds + share
            ),
        )
        for m, v in survivors
    ]


def _result(fault: Fault | Mutant, verdict: Verdict) -> Result:
    if isinstance(fault, Mutant):
        return Result(fault.target.module, "netlist", fault.where, fault.difference, verdict)
    name = f"rtl/{fault.module}.v"
    text = (RTL / f"{fault.module}.v").read_text()
    line = text.count("\n", 0, find_once(text, fault.old, name).start) + 1
    where = f"{name}:{line}"
    return Result(fault.module, "named", where, fault.name, verdict)


def report(results: list[Result], seed: int, store: Verdicts, subject: Subject) -> int:
    """Prints the table and writes build/results/mutation.json.

    Returns 1 if a fault survived or is broken, else 0. Under `seeds`, the file also keeps what
    earlier runs on the same RTL counted.
    """

    def count(state: str, among: Iterable[Result] = results) -> int:
        return sum(result.verdict.state == state for result in among)

    rows = []
    for module in sorted({result.module for result in results}):
        own = [result for result in results if result.module == module]
        named = sum(result.kind == "named" for result in own)
        rows.append([module, named, len(own) - named, *(count(state, own) for state in STATES)])
    total = ["total", *(sum(column) for column in zip(*(row[1:] for row in rows), strict=True))]
    tell(tabulate([*rows, total], ["module", "named", "netlist", *STATES], disable_numparse=True))
    survivors = [
        {"module": r.module, "kind": r.kind, "where": r.where, "difference": r.difference}
        for r in results
        if r.verdict.state in ("survived", "broken")
    ]
    for found in survivors:
        tell(f"  {found['where']}: {found['difference']}")
    spent = sum(result.verdict.seconds for result in results) / max(1, len(results))
    named = sum(result.kind == "named" for result in results)
    drawn = [result for result in results if result.kind == "netlist"]
    path = RESULTS / "mutation.json"
    counts = {"netlist": len(drawn), **{state: count(state, drawn) for state in STATES}}
    found = subject.unchanged()
    seeds = _seeds(path, found) | {str(seed): counts}
    write_results(
        path,
        {
            "seed": seed,
            "bench_seed": int(random_seed()),
            "named": named,
            "netlist": len(drawn),
            **{state: count(state) for state in STATES},
            "survivors": survivors,
            "seconds_per_mutant": round(spent, 2),
            "rtl": found["rtl"],
            "seeds": seeds,
        },
        passed=not survivors,
        about=found,
    )
    words = (
        f"{len(results)} faults, seed {seed}: {count('killed')} killed, {count('equivalent')} "
        f"change nothing, {spent:.1f} s each; {store.tried} runs now, the others kept, in "
        f"{time.time() - store.begun:.0f} s. Results: build/results/mutation.json"
    )
    if survivors:
        return conclude(
            f"FAILED: {len(survivors)} survived or do not compile; {words}", passed=False
        )
    return conclude(words)


def _seeds(path: Path, about: dict) -> dict[str, dict[str, int]]:
    """Returns, by seed, the counts of netlist mutants of earlier runs about the same."""
    verdict = read_verdict(path)
    if verdict is None or verdict.about != about:
        return {}
    try:
        return json.loads(path.read_text())["seeds"]
    except (ValueError, KeyError, TypeError):
        return {}
