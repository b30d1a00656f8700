"""Proves that a netlist mutant changes nothing: a formal check of the mutant against the module.

Both have the same registers. Some bits of these may differ, at first none. The check starts from
any state in which the other bits are the same, with any inputs. If then all outputs are the same,
and the other bits are the same again in the next state, the mutant is equivalent. If a register's
bit is not the same, it joins those that may differ, and the check is repeated; if an output is not
the same, the mutant is different.

What is not shown in this way may be shown over two cycles: if outputs and registers, except for
bits that may differ, were the same in two cycles, they are the same in the next one. An example is
a bit that differs only after a restart, when nothing looks at it.

At first the modules inside are boxes, which give the same outputs as long as they get the same
inputs. If that does not show it, the check includes the contents of the modules.

The inputs are those that the assumptions in tb/formal/properties allow. The states are those for
which the properties and lemmas there hold, which `make formal` proves. They hold from the first
reset on; what a module does before, from unknown states, is left to the benches, which start there.
What is not shown at all counts as different, for instance when a solver gives up.
"""

import json
import re
import tempfile
from collections.abc import Iterable
from pathlib import Path

from pymodel.support.errors import InputError
from pymodel.support.files import ROOT
from tb.formal.proof_table import PROOFS, Proof
from tb.formal.prove import PROPERTIES, inside, statements
from tb.mutation.drawn_mutants import BUILD, Mutant, Target, parameters, read, yosys
from tb.sim.sources import RTL

MITER = Path(__file__).with_name("miter.sv")
SECONDS = 60  # seconds after which the solver gives up
ROUNDS = 12  # number of checks of a mutant; after each, more register bits may differ
TRIES = 2  # number of these sets of register bits that are tried over two cycles
PROVEN = "no model found: SUCCESS"
POSSIBLE = "SAT solving finished - model found:"


def equivalent(target: Target, mutants: Iterable[Mutant]) -> set[int]:
    """Returns the numbers of those `mutants` of `target` that are proven to be equivalent."""
    rest = list(mutants)
    found: set[int] = set()
    for flat in (False, True) if inside(target.module) else (True,):
        found |= search(target, rest, flat) if rest else set()
        rest = [mutant for mutant in rest if mutant.number not in found]
    return found


def search(target: Target, mutants: list[Mutant], flat: bool) -> set[int]:
    """Returns the numbers of the mutants that are proven to be equivalent.

    The contents of the modules inside count if `flat`; else these modules are boxes. Raises
    InputError if the assumptions contradict each other.
    """
    BUILD.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".equivalence-", dir=BUILD) as name:
        folder = Path(name)
        netlists = write_netlists(target, mutants, folder, flat)
        differing: dict[int, set[str]] = {mutant.number: set() for mutant in mutants}
        tried: dict[int, list[set[str]]] = {mutant.number: [] for mutant in mutants}
        found = set()
        for _ in range(ROUNDS):
            answers = ask(netlists, differing, folder)
            if answers.pop("gold") != "possible":
                raise InputError(
                    f"tb/formal/properties/{target.module}.sv: no state satisfies all statements, "
                    "expected statements that do not contradict each other"
                )
            for number, answer in answers.items():
                more = registers(answer)
                if answer == PROVEN:
                    found.add(number)
                if more and not more <= differing[number]:
                    differing[number] |= more
                    tried[number].append(whole(differing[number], netlists["gold"]))
                else:
                    del differing[number]
            if not differing:
                break
        for number in set(tried) - found:
            sides = netlists["gold"], netlists[str(number)]
            if any(over_two_cycles(*sides, bits, folder) for bits in tried[number][:TRIES]):
                found.add(number)
    return found


def write_netlists(
    target: Target, mutants: list[Mutant], folder: Path, flat: bool
) -> dict[str, dict]:
    """Returns Yosys' JSON of the module (key "gold") and of each mutant (key: its number).

    The registers are cut out, and the modules inside too, unless `flat`.
    """
    at = folder.relative_to(ROOT)
    others = [
        f"rtl/{path.name}"
        for path in sorted(RTL.glob("*.v"))
        if path.stem not in (target.module, "ram")
    ]
    labels = sorted(asserted(target) - proven(target) | special(target))
    inside = [
        "delete =A:blackbox =ram %d",  # the sources of these boxes follow
        f"read_verilog {' '.join(others)}",
        f"hierarchy -top {target.module}",
        "proc",
        "memory_collect",
        "memory_map",
    ]
    script = [
        *read(target),
        "chformal -cover -remove",
        "chformal -lower",
        *(inside if flat else ()),
        "design -save module",
        *(f"delete {target.module}/c:{label}" for label in labels),
        "chformal -assert2assume",
        "flatten",
        "dffunmap",
        f"write_json {at}/gold.json",
    ]
    for mutant in mutants:
        script += ["design -load module", mutant.change, "chformal -remove", "flatten", "dffunmap"]
        script += [f"write_json {at}/{mutant.number}.json"]
    yosys(*script)
    return {
        path.stem: cut(json.loads(path.read_text())["modules"][target.module])
        for path in folder.glob("*.json")
    }


def ask(netlists: dict[str, dict], differing: dict[int, set[str]], folder: Path) -> dict:
    """Returns PROVEN, or what the solver says otherwise, for each mutant in `differing`.

    The value for "gold" says whether the assumptions are "possible" together: if they are not, all
    mutants would be proven.
    """
    at = folder.relative_to(ROOT)
    write(netlists["gold"], set(), folder / "gold.json", own=False)
    script = [f"read_json {at}/gold.json", "log MUTANT gold", "sat -set-assumes", "design -reset"]
    for number, may_differ in differing.items():
        for side in ("gold", "gate"):
            netlist = netlists["gold" if side == "gold" else str(number)]
            write(netlist, may_differ, folder / f"{side}-{number}.json", own=side == "gate")
            script += [f"read_json {at}/{side}-{number}.json", f"rename module {side}"]
        script += ["miter -equiv -make_outputs -flatten gold gate miter"]
        # What is the same on both sides becomes one: the solver need not compare two multipliers.
        script += ["opt_expr miter", "opt_merge miter", "opt_clean miter", f"log MUTANT {number}"]
        script += [f"sat -set-assumes -prove trigger 0 -show-outputs -timeout {SECONDS} miter"]
        script += ["design -reset"]
    words = dict(re.findall(r"MUTANT (\w+)\n(.*?)(?=MUTANT \w|\Z)", yosys(*script), re.DOTALL))
    possible = "model found:" in words["gold"] and "no model found" not in words["gold"]
    answers: dict = {"gold": "possible" if possible else "impossible"}
    for number in differing:
        text = words[str(number)]
        answers[number] = PROVEN if PROVEN in text else text
    return answers


def registers(answer: str) -> set[str]:
    """Returns the register bits that differ in the solver's answer; none if an output differs."""
    values: dict[str, dict[str, str]] = {}
    for side, name, value in re.findall(r"\\(gold|gate)_(\S+) +\S+ +\S+ +(\S+)", answer):
        values.setdefault(name, {})[side] = value
    wrong = {name for name, both in values.items() if len(set(both.values())) > 1}
    return wrong if all(name.startswith("next:") for name in wrong) else set()


def whole(bits: set[str], module: dict) -> set[str]:
    """Returns all bits of the registers to which `bits` belong."""
    names = {bit.rpartition("[")[0] for bit in bits}
    return {port for port in module["ports"] if port.rpartition("[")[0] in names}


def over_two_cycles(gold: dict, gate: dict, may_differ: set[str], folder: Path) -> bool:
    """Returns whether outputs and registers stay the same if they were the same for two cycles.

    It must also hold that they are the same for these two cycles. The registers' bits `may_differ`
    ("next:…") are the same only at the beginning. miter.sv has both questions. For each, the
    solver says whether anything satisfies the assumptions, and whether the proof holds.
    """
    path = folder / "sides.json"
    modules = {"gold": grouped(gold, gold, may_differ), "gate": grouped(gate, gold, may_differ)}
    path.write_text(json.dumps({"creator": "tb.mutation.equivalence", "modules": modules}))
    names = ("inputs", "constants", "outputs", "same_now", "other_now")
    bits = {name.removesuffix("_now"): modules["gold"]["ports"][name]["bits"] for name in names}
    macros = " ".join(f"-D {name.upper()}={len(found)}" for name, found in bits.items())
    answers = ""
    for question in ("over_one_cycle", "over_two_cycles"):
        answers += yosys(
            f"read_json {path.relative_to(ROOT)}",
            f"read_verilog -formal {macros} {MITER.relative_to(ROOT)}",
            f"hierarchy -top {question}",
            "proc",
            "flatten",
            "chformal -lower",
            "opt_expr",
            "opt_merge",
            "opt_clean",
            f"sat -set-assumes -timeout {SECONDS} {question}",
            f"sat -set-assumes -prove trigger 0 -timeout {SECONDS} {question}",
        )
    return answers.count(POSSIBLE) == answers.count(PROVEN) == 2


def grouped(module: dict, gold: dict, may_differ: set[str]) -> dict:
    """Returns a module with registers cut out whose ports are joined to the few of miter.sv.

    The bits of these ports are in the order of the ports of `gold`. Each input that would have no
    bit gets one that is not used, and each output gets one more bit, which is 0: Verilog has no
    vectors without bits.
    """
    groups: dict[str, list] = {
        name: [] for name in ("inputs", "constants", "same_now", "other_now")
    } | {name: ["0"] for name in ("outputs", "same_next", "other_next")}
    for unused, bits in enumerate(groups.values(), first_unused(module)):
        if not bits:
            bits.append(unused)
    for name, port in gold["ports"].items():
        kind, _, bit = name.partition(":")  # a port of the module itself has no colon
        if kind in ("now", "next"):
            group = f"{'other' if f'next:{bit}' in may_differ else 'same'}_{kind}"
        elif port["direction"] == "output":
            group = "outputs"
        else:
            group = "constants" if kind == "constant" else "inputs"
        groups[group] += module["ports"][name]["bits"]
    ports = {
        name: {
            "direction": "output" if name in ("outputs", "same_next", "other_next") else "input",
            "bits": bits,
        }
        for name, bits in groups.items()
    }
    return module | {"ports": ports}


def cut(module: dict) -> dict:
    """Returns a module of Yosys' JSON with its registers, and the memories inside, cut out.

    A bit that goes into one of them becomes an output of the module ("next:…", "into:…"), and a bit
    that comes out of one becomes an input ("now:…", "from:…"). A constant of the properties
    ($anyconst) becomes an input too ("constant:…"), since it may have any value. The wire
    `started`, which the properties set with the first reset, is assumed to be 1.
    """
    for name, cell in list(module["cells"].items()):
        kind = cell["type"]
        if kind == "$pmux":
            _first_wins(cell)
        if kind.startswith("$") and kind not in ("$dff", "$anyconst", "$anyseq"):
            continue
        del module["cells"][name]
        for port, bits in cell["connections"].items():
            inside = cell["port_directions"][port] == "input"
            what = "into" if inside else "constant" if kind == "$anyconst" else "from"
            if kind == "$dff" and port in ("D", "Q"):
                what = "next" if inside else "now"
            for index, bit in enumerate(bits):
                label = (
                    f"{what}:{name}[{index}]"
                    if what in ("next", "now")
                    else f"{what}:{name}.{port}[{index}]"
                )
                direction = "output" if inside else "input"
                module["ports"][label] = {"direction": direction, "bits": [bit]}
    if started := module["netnames"].get("started"):
        module["cells"]["running"] = {
            "type": "$assume",
            "parameters": {},
            "attributes": {},
            "port_directions": {"A": "input", "EN": "input"},
            "connections": {"A": started["bits"], "EN": ["1"]},
        }
    module["netnames"] = {}
    return module


def _first_wins(cell: dict) -> None:
    """Turns a $pmux round, so that the lowest of several selected inputs comes out.

    A mutant may select several inputs at once. In the Verilog that Yosys writes, which the benches
    run, a $pmux is a casez, in which the lowest comes first; in Yosys' solver the highest would
    come out.
    """
    width, wires = len(cell["connections"]["Y"]), cell["connections"]
    words = [wires["B"][low : low + width] for low in range(0, len(wires["B"]), width)]
    wires["B"] = [bit for word in reversed(words) for bit in word]
    wires["S"] = wires["S"][::-1]


def write(module: dict, may_differ: set[str], path: Path, *, own: bool) -> None:
    """Writes a module whose register bits `may_differ` are no longer compared.

    Each of these bits has two inputs, so that it may differ between a module and its mutant: one
    side (`own`) uses the input whose name ends with ', and the other side uses the other input.
    """
    ports = {name: port for name, port in module["ports"].items() if name not in may_differ}
    unused = first_unused(module)
    for number, name in enumerate(sorted(may_differ)):
        now = name.replace("next:", "now:", 1)
        used, idle = (f"{now}'", now) if own else (now, f"{now}'")
        ports[used] = module["ports"][now]
        ports[idle] = {"direction": "input", "bits": [unused + number]}
    path.write_text(
        json.dumps(
            {"creator": "tb.mutation.equivalence", "modules": {"module": module | {"ports": ports}}}
        )
    )


def first_unused(module: dict) -> int:
    """Returns the first number that no wire of a module of Yosys' JSON has."""
    wires = [port["bits"] for port in module["ports"].values()]
    for cell in module["cells"].values():
        wires += cell["connections"].values()
    return 1 + max((bit for bits in wires for bit in bits if isinstance(bit, int)), default=1)


def asserted(target: Target) -> set[str]:
    """Returns the labels of the asserts of the target's module."""
    if not (PROPERTIES / f"{target.module}.sv").exists():
        return set()
    return {s.label for s in statements(target.module) if s.kind == "assert"}


def proofs(target: Target) -> list[Proof]:
    """Returns the proofs of the target's module with the target's very parameters."""
    values = parameters(target.module, target.parameters)
    return [
        proof
        for proof in PROOFS
        if proof.properties == target.module
        and parameters(target.module, proof.parameters) == values
    ]


def special(target: Target) -> set[str]:
    """Returns the assumptions that only some proofs need, and that a user need not keep.

    Such an assumption keeps sizes small, for instance.
    """
    return {label for proof in proofs(target) for label in proof.without}


def proven(target: Target) -> set[str]:
    """Returns the asserts that are proven, unbounded, without a special assumption."""
    labels = set()
    for proof in proofs(target):
        if special(target) <= set(proof.without):
            labels |= (set(proof.only) & asserted(target) or asserted(target)) - set(proof.bounded)
    return labels
