"""Runs all long checks, and keeps a pass until something changes on which it depends.

python -m tb.verify                        # all parts; build/results/verify.json
python -m tb.verify --only formal soak     # these parts
python -m tb.verify --fresh                # also the parts that passed before

Each part is a command that can be run alone. Most parts also keep their own results, so that an
interrupted run goes on where it was.
"""

import importlib.metadata
import os
import re
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from tabulate import tabulate

from pymodel.support.command import FAILED, CommandParser, conclude, tell
from pymodel.support.errors import InputError
from pymodel.support.files import RESULTS, ROOT
from pymodel.support.result_files import remove_results, write_results
from tb.sim.kept_results import Store, files_digest
from tb.sim.result_about import Subject
from tb.sim.simulators import leave_out_settings, random_seed, simulator_identity
from tb.sim.sources import rtl_digest
from training.data import folder_at_hand

STORE = Store("verify")
PYTHON = sys.executable
PYTEST = (PYTHON, "-m", "pytest", "-q", "-n", "auto", "--all-must-run")


@dataclass(frozen=True)
class Part:
    """A long check: a command that can be run alone."""

    name: str
    what: str  # printed when the part starts
    command: tuple[str, ...]


PARTS = (
    Part(
        "tests",
        "all builds of the core, random layers, examples, the page in a browser, the notebook",
        (*PYTEST, "-m", "verify", "--junitxml", str(RESULTS / "long-tests.xml")),
    ),
    Part("formal", "all properties and the mutants that break them", (PYTHON, "-m", "tb.formal")),
    Part("netlist", "benches of arrays and core on gates", (PYTHON, "-m", "tb.gates", "netlist")),
    Part("coverage", "what the benches reach in the RTL", (PYTHON, "-m", "tb.coverage")),
    Part("mutation", "named faults and 500 drawn mutants", (PYTHON, "-m", "tb.mutation")),
    Part(
        "python-mutation",
        "100 drawn mutants of the Python that judges",
        (PYTHON, "-m", "tb.python_mutation", "--number", "100"),
    ),
    Part(
        "course",
        "both layers on the reconfigurable array, all test images, in all modes",
        (PYTHON, "-m", "tb.course", "--sim", "verilator", "--all"),
    ),
    Part("soak", "kills, full disks, damaged files around a run", (PYTHON, "-m", "tb.soak")),
)


@dataclass(frozen=True)
class Ended:
    """The outcome of a part."""

    part: str
    code: int  # its exit code
    seconds: float
    said: str  # its last line of output
    kept: bool = False  # whether the part passed in an earlier run


def main() -> int:
    parser = CommandParser("tb.verify", __doc__)
    names = [part.name for part in PARTS]
    parser.add_argument(
        "--only", nargs="+", metavar="PART", help=f"run only some of {', '.join(names)}"
    )
    parser.add_argument("--fresh", action="store_true", help="run again, even if a result was kept")
    parser.add_argument("--results", type=Path, default=RESULTS / "verify.json", help="JSON file")
    arguments = parser.parse_args()
    for name in arguments.only or ():
        if name not in names:
            raise InputError(f"--only {name}: expected some of {', '.join(names)}")
    leave_out_settings("COCOTB_TEST_FILTER")
    parts = [part for part in PARTS if arguments.only is None or part.name in arguments.only]
    if arguments.only is None and (missing := without_images(parts)):
        parts = [part for part in parts if part not in missing]
        names = ", ".join(part.name for part in missing)
        tell(f"Left out for want of the 10,000 test images, whose folder is CIFAR10_ROOT: {names}")
    remove_results(arguments.results)  # results of an earlier run
    subject = Subject("tb.verify.all_long_checks")
    return report(run_all(parts, arguments.fresh), arguments.results, subject)


def without_images(parts: list[Part]) -> list[Part]:
    """Returns the parts that run all test images, if these are not on this machine."""
    return [part for part in parts if "--all" in part.command and folder_at_hand(None) is None]


def run_all(parts: list[Part], fresh: bool) -> list[Ended]:
    """Runs each part, or takes the pass from before if nothing has changed since."""
    ended = []
    for number, part in enumerate(parts, 1):
        about = identity(part)
        if not fresh and (kept := STORE.load(about)):
            ended.append(Ended(**kept | {"kept": True}))
            tell(f"[{number} of {len(parts)}] {part.name}: passed before")
            continue
        tell(f"[{number} of {len(parts)}] {part.name}: {part.what}")
        ended.append(run(part))
        if ended[-1].code == 0 and identity(part) == about:
            STORE.save(about, asdict(ended[-1]))
    return ended


def identity(part: Part) -> dict:
    """Returns all that a part follows from: every file of this repository, simulators, packages.

    Files that the RTL includes count too where git does not know them.
    """
    listed = subprocess.check_output(
        ["git", "ls-files", "-z", "-co", "--exclude-standard"], cwd=ROOT, text=True
    )
    files = [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]
    packages = sorted(
        f"{one.metadata['Name']} {one.version}" for one in importlib.metadata.distributions()
    )
    return {
        "part": part.name,
        "command": part.command,
        "files": files_digest(files),
        "rtl": [rtl_digest(simulator=name) for name in ("icarus", "verilator")],
        "simulators": [simulator_identity(name) for name in ("icarus", "verilator")],
        "seed": random_seed(),
        "packages": packages,
    }


def run(part: Part) -> Ended:
    """Runs a part in the project's root, and passes each line that it prints to the terminal."""
    began, last = time.monotonic(), ""
    process = subprocess.Popen(
        part.command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        for line in process.stdout:
            tell(line.rstrip("\n"))
            last = re.sub(r"\x1b\[[\d;]*m", "", line).strip() or last
        code = process.wait()
    except BaseException:
        process.terminate()
        process.wait()
        raise
    return Ended(part.name, code, round(time.monotonic() - began, 1), last)


def report(ended: list[Ended], path: Path, subject: Subject) -> int:
    """Prints the table, writes the results, and returns the exit code of the whole run.

    The exit code is FAILED if a part ended with FAILED, and otherwise the largest one of the parts.
    """
    rows = [
        [one.part, "passed" if one.code == 0 else "FAILED", time_words(one), one.said[:100]]
        for one in ended
    ]
    tell("", tabulate(rows, ["part", "", "time", "its last line"], disable_numparse=True), "")
    worst = max((one.code for one in ended), default=0)
    write_results(
        path,
        {"parts": [asdict(one) for one in ended], "worst": worst},
        passed=not worst,
        about=subject.unchanged(),
    )
    failed = [one.part for one in ended if one.code]
    if failed:
        conclude(f"FAILED: {', '.join(failed)}", passed=False)
        return FAILED if FAILED in [one.code for one in ended] else worst
    seconds = sum(one.seconds for one in ended if not one.kept)
    return conclude(
        f"All {len(ended)} parts passed, in {seconds / 60:.0f} minutes. "
        f"Results: {os.path.relpath(path)}"
    )


def time_words(one: Ended) -> str:
    """Returns the time that a part took, as minutes:seconds, and whether an earlier run took it."""
    minutes, seconds = divmod(round(one.seconds), 60)
    return f"{minutes}:{seconds:02d}{', before' if one.kept else ''}"
