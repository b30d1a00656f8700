"""The table names every RTL module, and holds what mutation, proofs and gates need of it."""

import dataclasses
import importlib
import re

import pytest
from cocotb import regression

from pymodel.support.files import ROOT
from tb.formal.proof_table import PROOFS
from tb.formal.prove import PROPERTIES
from tb.modules import module_table
from tb.modules.module_table import MODULES, TABLE, Run, runs_of
from tb.modules.pytest_runs import each_run
from tb.mutation.named_faults import FAULTS
from tb.sim.kept_results import imported
from tb.sim.sources import RTL, check_sources

NAMES = [source.stem for source in check_sources(RTL)]


def missing(table: tuple[module_table.Module, ...]) -> list[str]:
    """Returns a line for each thing in this repository that a table lacks."""
    found = [f"{name}: not in the table" for name in NAMES if name not in {m.name for m in table}]
    proofs = {(proof.module, proof.variant) for proof in PROOFS}
    faulty = {fault.module for fault in FAULTS}
    for module in table:
        if not (ROOT / "tb" / f"test_{module.name}.py").exists():
            found.append(f"{module.name}: no bench tb/test_{module.name}.py")
        if not any(run.bench == f"tb.test_{module.name}" for run in module.runs):
            found.append(f"{module.name}: its own bench does not run")
        if not module.mutated or module.name not in faulty:
            found.append(f"{module.name}: no fault is put into it")
        if any(run.parameters for run in module.runs) and len(module.mutated) < 2:
            found.append(f"{module.name}: faults are put into one build only")
        stated = {(module.name, variant) for variant in module.proven}
        if stated != {(name, variant) for name, variant in proofs if name == module.name}:
            found.append(f"{module.name}: other proofs than tb/formal/proof_table.py has")
        if bool(module.proven) != (PROPERTIES / f"{module.name}.sv").exists():
            found.append(f"{module.name}: proofs without properties, or properties without proofs")
    return found


def test_the_table_is_whole():
    assert missing(TABLE) == []
    assert len(MODULES) == len(TABLE)


@pytest.mark.parametrize(
    "fault",
    [
        lambda table: table[1:],
        lambda table: (dataclasses.replace(table[0], runs=()), *table[1:]),
        lambda table: (dataclasses.replace(table[0], mutated=()), *table[1:]),
        lambda table: (dataclasses.replace(table[0], mutated=table[0].mutated[:1]), *table[1:]),
        lambda table: (dataclasses.replace(table[0], proven={}), *table[1:]),
        lambda table: (*table, dataclasses.replace(table[0], name="none")),
    ],
    ids=["a module is missing", "no runs", "no faults", "one build", "no proofs", "no such module"],
)
def test_a_hole_in_the_table_is_found(fault):
    assert missing(fault(TABLE))


def test_every_bench_of_the_table_has_cocotb_tests_and_runs_in_pytest():
    """A bench that no pytest function asks for would never be run."""
    asked = set()
    for path in (ROOT / "tb").glob("test_*.py"):
        asked |= set(re.findall(r'@each_run\("([\w.]+)"\)', path.read_text()))
    for bench in {run.bench for module in TABLE for run in module.runs}:
        members = vars(importlib.import_module(bench)).values()
        assert any(
            isinstance(member, regression.Test | regression.TestGenerator) for member in members
        )
        assert bench in asked


def test_long_runs_are_marked_for_make_verify(monkeypatch):
    """Long runs have the mark verify; no run is started on a simulator that it is not for."""
    short, long = Run("tb.b", "m", {"A": 1}), Run("tb.b", "m", {"A": 2}, long=True)
    other = Run("tb.b", "m", {"A": 3}, simulators=("another",))
    monkeypatch.setattr(
        module_table, "TABLE", (module_table.Module("m", (short, long, other), ({},)),)
    )
    values = each_run("tb.b").args[1]
    assert [value.values[0] for value in values] == [short, long]
    assert [[mark.name for mark in value.marks] for value in values] == [[], ["verify"]]
    assert runs_of("tb.nothing") == ()


def imports_pytorch(module: str) -> bool:
    """Returns whether a module, or one of ours that it imports, imports PyTorch."""
    texts = (source.read_text() for source in imported(module))
    return any(re.search(r"^(import|from) torch\b", text, re.MULTILINE) for text in texts)


@pytest.mark.verify
def test_only_benches_of_the_trained_network_import_pytorch():
    """The import takes longer than another bench runs, and each mutant is a run of its bench."""
    benches = {bench.module for module in TABLE for bench in module.benches}
    benches |= {run.bench for module in TABLE for run in module.runs} | {"tb.run.replay_bench"}
    benches |= {bench for module in TABLE for gates in module.gates for bench in gates.benches}
    trained = {"tb.run.layer_bench", "tb.test_core_layers"}  # where PyTorch judges in the simulator
    assert {bench for bench in benches if imports_pytorch(bench)} == trained
