"""Whether a netlist mutant changes anything: a formal check of the mutant against the module.

Both have the same registers. If, from any state that the module can be in and for any inputs that
it may get, all outputs and all next states are the same, the mutant is equivalent. The inputs are
those that the assumptions in tb/properties allow; the states, those for which the properties and
lemmas there hold, which `make formal` proves. They hold from the first reset on; what a module does
before, from states that nobody knows, is for the benches, which start there. What is not shown
counts as different: a solver that gives up, or a register that differs where it does not matter.
"""

import json
import re
import tempfile
from collections.abc import Iterable
from pathlib import Path

from pymodel.errors import InputError
from pymodel.files import ROOT
from tb.formal import PROPERTIES, statements
from tb.mutants import BUILD, Mutant, Target, parameters, read, yosys
from tb.proofs import PROOFS, Proof

SECONDS = 60  # for one mutant, then it counts as different


def equivalent(target: Target, mutants: Iterable[Mutant]) -> set[int]:
    """The numbers of those among `mutants` of `target` that are proven to be equivalent."""
    mutants = list(mutants)
    if not mutants:
        return set()
    BUILD.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".equivalence-", dir=BUILD) as name:
        folder = Path(name)
        at = folder.relative_to(ROOT)
        labels = sorted(asserted(target) - proven(target) | special(target))
        unknown = " ".join(f"c:{label}" for label in labels)
        script = [
            *read(target),
            "chformal -cover -remove",
            "chformal -lower",
            "design -save module",
        ]
        script += [f"delete {unknown}"] if unknown else []
        script += ["chformal -assert2assume", "dffunmap", f"write_json {at}/gold.json"]
        for mutant in mutants:
            script += ["design -load module", mutant.change, "chformal -remove", "dffunmap"]
            script += [f"write_json {at}/{mutant.number}.json"]
        yosys(*script)
        # Assumptions that contradict each other would show anything.
        script = [f"read_json {at}/gold.json", "log MUTANT 0", "sat -set-assumes", "design -reset"]
        for path in sorted(folder.iterdir()):
            path.write_text(cut(path.read_text(), target.module))
        for mutant in mutants:
            for side, stem in (("gold", "gold"), ("gate", mutant.number)):
                script += [f"read_json {at}/{stem}.json", f"rename {target.module} {side}"]
            script += ["miter -equiv -flatten gold gate miter", f"log MUTANT {mutant.number}"]
            script += [f"sat -set-assumes -prove trigger 0 -timeout {SECONDS} miter"]
            script += ["design -reset"]
        output = yosys(*script)
    found = re.findall(r"MUTANT (\d+)\n(.*?)(?=MUTANT \d|\Z)", output, re.DOTALL)
    possible = next(words for number, words in found if number == "0")
    if "model found:" not in possible or "no model found" in possible:
        raise InputError(f"tb/properties/{target.module}.sv: no state and inputs satisfy all of it")
    return {int(number) for number, words in found if "no model found: SUCCESS" in words}


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


def cut(netlist: str, module: str) -> str:
    """Yosys' JSON of `module` with its registers, and the modules inside, cut out.

    What went into them leaves the module, what came out of them enters it, by names of their own.
    A constant of the properties ($anyconst) enters it too: it may be anything. "started", which the
    properties set with the first reset, holds.
    """
    found = json.loads(netlist)["modules"][module]
    for name, cell in list(found["cells"].items()):
        kind = cell["type"]
        if kind.startswith("$") and kind not in ("$dff", "$anyconst", "$anyseq"):
            continue
        del found["cells"][name]
        for port, bits in cell["connections"].items():
            inside = cell["port_directions"][port] == "input"
            wires = found["ports"].setdefault(f"{name}.{port}", {"direction": "", "bits": bits})
            wires["direction"] = "output" if inside else "input"
    if started := found["netnames"].get("started"):
        found["cells"]["running"] = {
            "type": "$assume", "parameters": {}, "attributes": {},
            "port_directions": {"A": "input", "EN": "input"},
            "connections": {"A": started["bits"], "EN": ["1"]},
        }  # fmt: skip
    found["netnames"] = {}
    return json.dumps({"creator": "tb.equivalence", "modules": {module: found}})
