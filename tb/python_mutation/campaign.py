"""Puts faults into the Python that judges, one at a time, and counts those that the tests find.

python -m tb.python_mutation                          # all mutants of all modules
python -m tb.python_mutation --number 100 --seed 7    # some of them, drawn
python -m tb.python_mutation tb.components.packing    # of this module

judges.py lists the modules and their tests, python_mutants.py makes the mutants. A mutant that no
test finds must be in harmless.toml, with the reason why it changes no verdict. Verdicts are kept,
so that an interrupted run goes on.
"""

import json
import os
import queue
import random
import re
import shutil
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path

from tabulate import tabulate
from tqdm import tqdm

from pymodel.support.command import CommandParser, conclude, quiet, tell, whole_number
from pymodel.support.errors import InputError
from pymodel.support.files import RESULTS, ROOT, temporary_folder
from pymodel.support.result_files import write_results
from tb.python_mutation.judges import JUDGES, Judge
from tb.python_mutation.python_mutants import PythonMutant, mutants
from tb.sim.kept_results import Store, code, code_files, files_digest
from tb.sim.result_about import Subject
from tb.sim.simulators import leave_out_settings

STORE = Store("python-verdict")
MADE = Store("python-mutants")
WHOLE = RESULTS / "python_mutation.json"
PART = RESULTS / "python_mutation_part.json"
README = ROOT / "README.md"
HARMLESS = Path(__file__).with_name("harmless.toml")
FORK_TESTS = Path(__file__).with_name("fork_tests.py")
LARGEST = 100_000  # largest number of drawn mutants
SLOWER = 5  # a mutant may take so many times as long as the module's tests without a fault
GRACE = 30.0  # seconds beside that
STOPPED = -1  # what fork_tests.py says of tests that took too long
STATES = ("killed", "harmless", "survived")


@dataclass(frozen=True)
class Outcome:
    """A mutant, and its outcome: one of STATES, with the reason or the test that found it."""

    mutant: PythonMutant
    state: str
    how: str


def main() -> int:
    parser = CommandParser("tb.python_mutation", __doc__)
    parser.add_argument("modules", nargs="*", metavar="MODULE", help="of judges.py; default: all")
    parser.add_argument("--number", default="", help="number of mutants to draw; default: all")
    parser.add_argument("--seed", default="1", help="seed of the drawing")
    parser.add_argument("--jobs", default=str(os.cpu_count()), help="number of mutants at a time")
    parser.add_argument("--fresh", action="store_true", help="try again, even if a result was kept")
    parser.add_argument(
        "--results",
        type=Path,
        help=f"JSON file; default {WHOLE.name}, or of drawn mutants or some modules {PART.name}",
    )
    arguments = parser.parse_args()
    known = [judge.module for judge in JUDGES]
    for name in arguments.modules:
        if name not in known:
            raise InputError(f"no mutants of module '{name}', expected some of {', '.join(known)}")
    jobs = whole_number("--jobs", arguments.jobs, 1, 256)
    seed = whole_number("--seed", arguments.seed, 0, 10**9 - 1)
    number = whole_number("--number", arguments.number or str(LARGEST), 1, LARGEST)
    leave_out_settings()
    chosen = [j for j in JUDGES if not arguments.modules or j.module in arguments.modules]
    found = every_mutant(chosen)
    if arguments.number:
        random.Random(seed).shuffle(found)
        tell(f"Seed {seed}: {min(number, len(found))} of {len(found)} mutants")
        found = found[:number]
    subject = Subject("tb.python_mutation.campaign", *(judge.module for judge in JUDGES))
    outcomes = run(found, jobs, arguments.fresh)
    if arguments.number or arguments.modules:
        tell("", f"The last whole run: {last_whole_run()}")
    whole = not (arguments.number or arguments.modules)
    return report(outcomes, arguments.results or (WHOLE if whole else PART), subject)


def last_whole_run() -> str:
    """Returns what README's table says of the last run with all mutants."""
    rows = re.findall(r"^\|.*\| (.*) \| `make mutate-python` \|$", README.read_text(), re.MULTILINE)
    return rows[0] if rows else "none is recorded in README.md"


def every_mutant(judges: Iterable[Judge]) -> list[tuple[Judge, PythonMutant]]:
    """Returns all mutants of these modules; those of a source are kept, since it takes minutes."""
    found = []
    for judge in judges:
        source = judge.path.read_text(encoding="utf-8")
        identity = {"source": source, "code": code("tb.python_mutation.python_mutants")}
        made = MADE.load(identity)
        if made is None:
            made = [asdict(mutant) for mutant in mutants(judge.module, source)]
            MADE.save(identity, made)
        found += [(judge, PythonMutant(**one)) for one in made]
    return found


def harmless() -> dict[tuple[str, str, str], str]:
    """Returns why a mutant changes no verdict, by its module and the lines before and after."""
    entries = tomllib.loads(HARMLESS.read_text(encoding="utf-8"))
    return {
        (module, one["before"], one["after"]): one["reason"]
        for module, listed in entries.items()
        for one in listed
    }


def tracked_files() -> list[Path]:
    """Returns the files of this project, relative to its root, without what is built."""
    command = ["git", "ls-files", "-z", "-co", "--exclude-standard"]
    names = subprocess.check_output(command, cwd=ROOT, text=True).split("\0")
    return [Path(name) for name in names if name and (ROOT / name).is_file()]


def counts(file: Path) -> bool:
    """Returns whether any simulation may follow from a file, relative to the root."""
    rooms = ("sim", "components", "host", "modules", "run")
    parts = file.parts
    if file.suffix == ".md" or "tests" in parts:
        return False
    if parts[0] == "tb":
        return len(parts) == 2 or parts[1] in rooms
    return parts[0] in ("rtl", "conftest.py", "pyproject.toml")


def followed(judge: Judge, files: Sequence[Path]) -> frozenset[Path]:
    """Returns those of the project's `files` that a verdict of a judge's tests follows from.

    These are the tests, the RTL and all that simulates it, and what these import. A new test of
    another module leaves the verdicts of this one as they are.
    """
    tests = [file for file in files if any(file.is_relative_to(one) for one in judge.tests)]
    shared = [file for file in files if counts(file)]
    modules = [file.with_suffix("") for file in (*tests, *shared) if file.suffix == ".py"]
    named = (".".join(m.parent.parts if m.name == "__init__" else m.parts) for m in modules)
    return frozenset(ROOT / file for file in (*tests, *shared)) | code_files(*named)


class Worker:
    """A copy of the project, and a process that runs tests in it; see fork_tests.py."""

    def __init__(self, folder: Path, files: Iterable[Path]):
        self.folder = folder
        for file in files:
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / file, folder / file)
        environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, str(FORK_TESTS)],
            cwd=folder,
            env=environment,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def verdict(self, judge: Judge, text: str, limit: float) -> tuple[int, str]:
        """Returns the exit code of the module's tests on a source, and the first that fails.

        They are stopped after `limit` seconds.
        """
        file, log = self.folder / judge.path.relative_to(ROOT), self.folder / "build" / "tests.log"
        log.parent.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8")
        options = ["-x", "-q", "-m", "not verify", "-p", "no:cacheprovider", "-p", "no:xdist"]
        try:
            for tests in judge.tests:
                request = json.dumps([[*options, tests], limit, str(log)])
                print(request, file=self._process.stdin, flush=True)
                answer = self._process.stdout.readline()
                if not answer:
                    raise InputError("the process that runs the tests ended")
                ended = int(answer)
                if ended:
                    return ended, failure(ended, log.read_text(errors="replace"), tests)
        finally:
            shutil.copy(judge.path, file)
        return 0, ""

    def stop(self) -> None:
        """Ends the process."""
        self._process.kill()
        self._process.wait()


def failure(code: int, log: str, tests: str) -> str:
    """Returns in words which test failed."""
    if code == STOPPED:
        return f"{tests} did not end"
    lines = [line for line in log.splitlines() if line.startswith(("FAILED ", "ERROR "))]
    return lines[0].split(" - ")[0] if lines else f"{tests} ended with {code}"


def run(chosen: list[tuple[Judge, PythonMutant]], jobs: int, fresh: bool) -> list[Outcome]:
    """Tries mutants, `jobs` at a time, and returns the outcome of each.

    Raises InputError if the tests of a module fail without a fault.
    """
    files = tracked_files()
    common = {
        judge.module: {"files": files_digest(followed(judge, files)), "python": sys.version}
        for judge in {judge for judge, _ in chosen}
    }
    limits: dict[str, float] = {}
    measuring = {judge.module: threading.Lock() for judge, _ in chosen}
    idle: queue.SimpleQueue[Worker] = queue.SimpleQueue()

    def attempt(judge: Judge, mutant: PythonMutant) -> Outcome:
        identity = common[judge.module] | {
            "module": judge.module,
            "tests": judge.tests,
            "text": mutant.text,
        }
        kept = None if fresh else STORE.load(identity)
        if kept is None:
            worker = idle.get()
            try:
                with measuring[judge.module]:
                    if judge.module not in limits:
                        limits[judge.module] = time_limit(worker, judge)
                ended, how = worker.verdict(judge, mutant.text, limits[judge.module])
            finally:
                idle.put(worker)
            kept = {"code": ended, "how": how}
            STORE.save(identity, kept)
        return Outcome(mutant, "killed" if kept["code"] else "survived", kept["how"])

    with (
        temporary_folder("python-mutation") as folder,
        ThreadPoolExecutor(jobs) as pool,
        tqdm(total=len(chosen), unit="mutant", desc="mutating", disable=quiet() or None) as bar,
    ):
        workers = [Worker(folder / str(number), files) for number in range(jobs)]
        for worker in workers:
            idle.put(worker)
        outcomes = []
        try:
            for future in as_completed([pool.submit(attempt, *one) for one in chosen]):
                outcomes.append(future.result())
                bar.update()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        finally:
            for worker in workers:
                worker.stop()
    reasons = harmless()
    return [excused(outcome, reasons) for outcome in outcomes]


def time_limit(worker: Worker, judge: Judge) -> float:
    """Returns the seconds that a module's tests may take on a mutant.

    They run on the module as it is first: what makes them fail now would make every mutant look
    found. Raises InputError if they fail.
    """
    begun = time.monotonic()
    ended, how = worker.verdict(judge, judge.path.read_text(encoding="utf-8"), 1000)
    if ended:
        raise InputError(f"{judge.module}: {how} fails without a fault")
    return GRACE + SLOWER * (time.monotonic() - begun)


def excused(outcome: Outcome, reasons: dict[tuple[str, str, str], str]) -> Outcome:
    """Returns the outcome; one that survived is harmless if there is a reason."""
    mutant = outcome.mutant
    reason = reasons.get((mutant.module, mutant.before, mutant.after))
    if outcome.state == "survived" and reason:
        return Outcome(mutant, "harmless", reason)
    return outcome


def report(outcomes: list[Outcome], path: Path, subject: Subject) -> int:
    """Prints the table and the survivors, writes the results, and returns 1 if any survived."""
    rows = []
    for judge in JUDGES:
        states = [one.state for one in outcomes if one.mutant.module == judge.module]
        if states:
            rows.append([judge.module, len(states), *(states.count(state) for state in STATES)])
    rows.append(["all", *(sum(column) for column in list(zip(*rows, strict=True))[1:])])
    tell("", tabulate(rows, ["module", "mutants", *STATES]), "")
    survivors = sorted(
        (one.mutant for one in outcomes if one.state == "survived"),
        key=lambda mutant: (mutant.module, mutant.line),
    )
    for mutant in survivors:
        tell(f"{mutant.module}, line {mutant.line}: {mutant.before} => {mutant.after}")
    found = dict(zip(("mutants", *STATES), rows[-1][1:], strict=True))
    listed = [
        {"module": m.module, "line": m.line, "before": m.before, "after": m.after}
        for m in survivors
    ]
    write_results(
        path,
        found | {"modules": len(rows) - 1, "survivors": listed},
        passed=not survivors,
        about=subject.unchanged(),
    )
    words = f"{found['killed']} of {found['mutants']} mutants found, "
    words += f"{found['harmless']} harmless"
    if survivors:
        return conclude(f"FAILED: {len(survivors)} survived; {words}", passed=False)
    return conclude(f"{words}. Results: {os.path.relpath(path)}")
