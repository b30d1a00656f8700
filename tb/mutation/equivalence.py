"""Whether a netlist mutant changes anything: a formal check of the mutant against the module.

Both have the same registers. Some bits of these may differ, at first none. If, from any state in
which the others are the same and for any inputs, all outputs are the same, and the others are the
same again in the next state, the mutant is equivalent. If a register's bit is not, it is one that
may differ, and so on; if an output is not, the mutant is different.

What is not shown in this way may be shown over two cycles: if outputs and registers, but for bits
that may differ, were the same in a cycle and the one before, they are in the next one. So it is
with a bit that differs only after a restart, when nothing looks at it.

Modules inside are first boxes, from which the same comes as long as the same goes in; if that is
not enough, they are taken in.

The inputs are those that the assumptions in tb/formal/properties allow; the states, those for which
the properties and lemmas there hold, which `make formal` proves. They hold from the first reset on;
what a module does before, from states that nobody knows, is for the benches, which start there.
What is not shown at all counts as different, for instance when a solver gives up.
"""

import json
import re
import tempfile
from collections.abc import Iterable
from pathlib import Path

from pymodel.support.errors import InputError
from pymodel.support.files import ROOT
from tb.formal.proofs import PROOFS, Proof
from tb.formal.prove import PROPERTIES, inside, statements
from tb.mutation.drawn_mutants import BUILD, Mutant, Target, parameters, read, yosys
from tb.sim.sources import RTL

SECONDS = 60  # for one question to the solver
ROUNDS = 12  # in which more register bits may differ
TRIES = 2  # of these, over two cycles
PROVEN = "no model found: SUCCESS"
POSSIBLE = "SAT solving finished - model found:"


def equivalent(target: Target, mutants: Iterable[Mutant]) -> set[int]:
    """The numbers of those among `mutants` of `target` that are proven to be equivalent."""
    rest = list(mutants)
    found: set[int] = set()
    for flat in (False, True) if inside(target.module) else (True,):
        found |= search(target, rest, flat) if rest else set()
        rest = [mutant for mutant in rest if mutant.number not in found]
    return found


def search(target: Target, mutants: list[Mutant], flat: bool) -> set[int]:
    """Those that are proven with the modules inside, or with boxes instead."""
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
                    f"tb/formal/properties/{target.module}.sv: nothing satisfies all of it"
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
    """Yosys' JSON of the module ("gold") and of each mutant (its number), registers cut out.

    And the modules inside, too, unless `flat`.
    """
    at = folder.relative_to(ROOT)
    others = [
        f"rtl/{path.name}"
        for path in sorted(RTL.glob("*.v"))
        if path.stem not in (target.module, "ram")
    ]
    labels = sorted(asserted(target) - proven(target) | special(target))
    inside = [
        "delete =A:blackbox =ram %d",  # and what they stand for comes in
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
    """For each mutant in `differing`: PROVEN, or what the solver says otherwise.

    And for "gold", whether the assumptions are "possible" together: if not, all would be proven.
    """
    at = folder.relative_to(ROOT)
    write(netlists["gold"], set(), folder / "gold.json", own=False)
    script = [f"read_json {at}/gold.json", "log MUTANT gold", "sat -set-assumes", "design -reset"]
    for number, may_differ in differing.items():
        for side in ("gold", "gate"):
            netlist = netlists["gold" if side == "gold" else str(number)]
            write(netlist, may_differ, folder / f"{side}-{number}.json", own=side == "gate")
            script += [f"read_json {at}/{side}-{number}.json", f"rename module {side}"]
        script += ["miter -equiv -make_outputs -flatten gold gate miter", f"log MUTANT {number}"]
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
    """The register bits that differ in what the solver found; none if an output differs, too."""
    values: dict[str, dict[str, str]] = {}
    for side, name, value in re.findall(r"\\(gold|gate)_(\S+) +\S+ +\S+ +(\S+)", answer):
        values.setdefault(name, {})[side] = value
    wrong = {name for name, both in values.items() if len(set(both.values())) > 1}
    return wrong if all(name.startswith("next:") for name in wrong) else set()


def whole(bits: set[str], module: dict) -> set[str]:
    """All bits of these bits' registers."""
    names = {bit.rpartition("[")[0] for bit in bits}
    return {port for port in module["ports"] if port.rpartition("[")[0] in names}


def over_two_cycles(gold: dict, gate: dict, may_differ: set[str], folder: Path) -> bool:
    """Whether outputs and registers stay the same if they were for two cycles, and are for these.

    But for the registers' bits `may_differ` ("next:…"), which are the same only at the beginning.
    Two questions for each: whether anything satisfies the assumptions, and the proof.
    """
    same = {name for name, port in gold["ports"].items() if port["direction"] == "output"}
    same -= may_differ
    answers = ""
    for cycles in (1, 2):
        path = folder / f"{cycles}_cycles.json"
        modules = {"gold": gold, "gate": gate, "top": top(gold, same, cycles)}
        path.write_text(json.dumps({"creator": "tb.mutation.equivalence", "modules": modules}))
        answers += yosys(
            f"read_json {path.relative_to(ROOT)}",
            "hierarchy -top top",
            "flatten",
            "opt_expr",
            "opt_merge",
            "opt_clean",
            f"sat -set-assumes -timeout {SECONDS} top",
            f"sat -set-assumes -prove trigger 0 -timeout {SECONDS} top",
        )
    return answers.count(POSSIBLE) == answers.count(PROVEN) == 2


def top(gold: dict, same: set[str], cycles: int) -> dict:
    """Both running for some cycles; `trigger` is 0 if in the last one they are the `same`.

    In one cycle they begin with the same state. In two they begin with the same but for the
    registers' bits that are not in `same`; and are the same in the first one.
    """
    ports: dict[str, dict] = {}
    cells: dict[str, dict] = {}
    unused = iter(range(2, 10**9))

    def wire(name: str, direction: str, width: int) -> list:
        bits = [next(unused) for _ in range(width)]
        ports[name] = {"direction": direction, "bits": bits}
        return bits

    def cell(name: str, kind: str, width: int, connections: dict[str, list]) -> None:
        given = {"A_SIGNED": 0, "B_SIGNED": 0, "A_WIDTH": width, "B_WIDTH": width, "Y_WIDTH": 1}
        directions = {port: "output" if port == "Y" else "input" for port in connections}
        cells[name] = {
            "type": kind,
            "parameters": given if kind in ("$eq", "$ne") else {},
            "attributes": {},
            "port_directions": directions,
            "connections": connections,
        }

    state: dict[str, dict[str, list]] = {"gold": {}, "gate": {}}  # a register's bit → wire
    held: dict[str, list] = {}  # constants
    for cycle in range(cycles):
        given: dict[str, list] = {}
        out: dict[str, dict[str, list]] = {"gold": {}, "gate": {}}
        for side, values in out.items():
            connections = {}
            for name, port in gold["ports"].items():
                width, label = len(port["bits"]), f"{name}_in_{cycle}"
                if port["direction"] == "output":
                    bits = values[name] = wire(f"{label}_of_{side}", "output", width)
                elif name.startswith("now:"):
                    own = cycles > 1 and name.replace("now:", "next:", 1) not in same
                    if name not in state[side]:
                        bits = wire(f"{label}_of_{side}", "input", width)
                        for other in (side,) if own else ("gold", "gate"):
                            state[other][name] = bits
                    bits = state[side][name]
                else:
                    kept = held if name.startswith("constant:") else given
                    bits = kept.setdefault(name, []) or wire(label, "input", width)
                    kept[name] = bits
                connections[name] = bits
            cells[f"{side}_in_{cycle}"] = {
                "type": side,
                "parameters": {},
                "attributes": {},
                "connections": connections,
                "port_directions": {n: p["direction"] for n, p in gold["ports"].items()},
            }
        vectors = [[bit for name in sorted(same) for bit in out[side][name]] for side in out]
        if cycle == cycles - 1:
            trigger = wire("trigger", "output", 1)
            cell("differ", "$ne", len(vectors[0]), {"A": vectors[0], "B": vectors[1], "Y": trigger})
        else:
            (equal,) = bits = [next(unused)]
            cell("agree", "$eq", len(vectors[0]), {"A": vectors[0], "B": vectors[1], "Y": bits})
            cell("were_the_same", "$assume", 1, {"A": [equal], "EN": ["1"]})
            for side in out:
                for name in state[side]:
                    after = name.replace("now:", "next:", 1)
                    state[side][name] = out["gold" if after in same else side][after]
    return {"attributes": {}, "ports": ports, "cells": cells, "netnames": {}}


def cut(module: dict) -> dict:
    """A module of Yosys' JSON with its registers, and the memories inside, cut out.

    A bit that went into them leaves the module ("next:…", "into:…"), one that came out of them
    enters it. A constant of the properties ($anyconst) enters it too: it may be anything.
    "started", which the properties set with the first reset, holds.
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
    """Of several selected inputs of a $pmux the lowest comes out, as in the Verilog that was run.

    A mutant may select several, to which Yosys gives no meaning: its Verilog is a casez, in which
    the lowest comes first, while to its solver the highest comes out. So it is turned round.
    """
    width, wires = len(cell["connections"]["Y"]), cell["connections"]
    words = [wires["B"][low : low + width] for low in range(0, len(wires["B"]), width)]
    wires["B"] = [bit for word in reversed(words) for bit in word]
    wires["S"] = wires["S"][::-1]


def write(module: dict, may_differ: set[str], path: Path, *, own: bool) -> None:
    """A module whose register bits `may_differ` are no longer compared.

    Each enters by two ports, of which the module uses its `own`, or the one for the other side.
    """
    ports = {name: port for name, port in module["ports"].items() if name not in may_differ}
    unused = 2 + max(
        (b for p in ports.values() for b in p["bits"] if isinstance(b, int)), default=1
    )
    for cell in module["cells"].values():
        bits = (bit for port in cell["connections"].values() for bit in port)
        unused = max([unused, *(bit + 1 for bit in bits if isinstance(bit, int))])
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


def asserted(target: Target) -> set[str]:
    """The labels of the asserts of its module."""
    if not (PROPERTIES / f"{target.module}.sv").exists():
        return set()
    return {s.label for s in statements(target.module) if s.kind == "assert"}


def proofs(target: Target) -> list[Proof]:
    """Those of its module with these very parameters."""
    values = parameters(target.module, target.parameters)
    return [
        proof
        for proof in PROOFS
        if proof.module == target.module and parameters(target.module, proof.parameters) == values
    ]


def special(target: Target) -> set[str]:
    """Assumptions that only some proofs need, for small sizes say: not what a user has to keep."""
    return {label for proof in proofs(target) for label in proof.without}


def proven(target: Target) -> set[str]:
    """The asserts that are proven, unbounded, without such an assumption."""
    labels = set()
    for proof in proofs(target):
        if special(target) <= set(proof.without):
            labels |= (set(proof.only) & asserted(target) or asserted(target)) - set(proof.bounded)
    return labels
