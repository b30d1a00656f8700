"""The benches find named faults and drawn mutants, and each fault gets the right verdict."""

import json
import os
import re
from dataclasses import replace
from types import SimpleNamespace

import pytest

from pymodel.support.errors import InputError
from tb.modules.pytest_runs import first_few
from tb.mutation import campaign
from tb.mutation.campaign import (
    CompiledNetlist,
    Result,
    Verdict,
    Verdicts,
    prove,
    report,
    try_fault,
)
from tb.mutation.drawn_mutants import (
    TARGETS,
    Mutant,
    compile_netlist,
    draw,
    read,
    shares,
    try_mutant,
    yosys,
)
from tb.mutation.equivalence import equivalent
from tb.mutation.named_faults import FAULTS, Fault
from tb.sim.compilation import Simulation
from tb.sim.simulators import random_seed
from tb.sim.sources import RTL, check_sources

FEW = shares(20)


@pytest.fixture(scope="module")
def store() -> Verdicts:
    """Returns a store for the faults that one process tries, so that each bench runs once alone."""
    return Verdicts(fresh=True)


@pytest.mark.parametrize("fault", first_few(FAULTS, 1, lambda f: f"{f.module}: {f.name}"))
def test_named_fault(fault, store):
    """The bench of the named fault's own module fails."""
    verdict = try_fault(fault, store)
    assert verdict.state == "killed", verdict


@pytest.mark.parametrize(
    "target", first_few([t for t, n in FEW.items() if n], 1, lambda target: target.label)
)
def test_drawn_mutant(target):
    """The netlist without a mutant passes its bench; with one it fails, or is equivalent."""
    store = Verdicts(fresh=True)
    compiled = CompiledNetlist(target, FEW[target], int(random_seed()))
    for mutant in compiled.netlist.mutants:
        verdict = compiled.verdict(mutant, store)
        if verdict.state == "survived":
            (result,) = prove([(mutant, verdict)], store)
            verdict = result.verdict
        assert verdict.state in ("killed", "equivalent"), (mutant.where, mutant.difference)


def test_every_module_is_mutated():
    """Every module is mutated, also one that is added later."""
    assert {target.module for target in TARGETS} == {path.stem for path in check_sources(RTL)}
    assert sum(shares(500).values()) == 500
    assert min(shares(500).values()) >= 1
    assert len({fault.name for fault in FAULTS}) == len(FAULTS) >= 40


@pytest.mark.verify
def test_where_a_mutant_is():
    """The line that a mutant names declares the register, or connects the port."""
    target = next(target for target in TARGETS if target.module == "sequencer")
    source = (RTL / "sequencer.v").read_text()
    names = 0
    for mutant in draw(target, 100, int(random_seed())).mutants:
        line = source.splitlines()[int(mutant.where.rpartition(":")[2]) - 1]
        name = re.search(r"procdff.*\.Q.*, (\w+)\[", mutant.difference)
        if name and name[1] in source:  # the properties have other names for some
            assert name[1] in line, mutant
            names += 1
    assert names > 5


@pytest.mark.verify
def test_what_a_bench_finds_is_not_equivalent():
    """The proof does not excuse mutants that are killed."""
    target = next(target for target in TARGETS if target.module == "pe")
    netlist = draw(target, 12, int(random_seed()))
    simulation = compile_netlist(netlist)
    killed = [
        mutant
        for mutant in netlist.mutants
        if try_mutant(simulation, target.benches[0], random_seed(), mutant.number).state == "killed"
    ]
    assert len(killed) > 8
    assert equivalent(target, killed) == set()


@pytest.mark.verify
def test_an_equivalent_mutant():
    """A bit of the multiplier's operand above the activation is 0, so stuck at 0 is equivalent."""
    target = next(target for target in TARGETS if target.module == "pe")
    (cell, *_) = (
        found[0]
        for mutant in draw(target, 60, 1).mutants
        if (found := re.findall(r"-cell (\$mul\S+)", mutant.change))
    )
    change = f"mutate -mode const0 -module pe -cell {cell} -port A -portbit"
    bits = (0, target.parameters["ACT_WIDTH"] - 1, target.parameters["ACT_WIDTH"], 10)
    mutants = [Mutant(target, bit, f"{change} {bit}", "") for bit in bits]
    assert equivalent(target, mutants) == {4, 10}


@pytest.mark.verify
def test_equivalent_over_two_cycles():
    """What comes after tap 6 does not matter where tap 3 is left out: two cycles show that.

    Such a layer has no tap 6; the layer before it may have one, but then there is a restart.
    """
    target = next(target for target in TARGETS if target.module == "sequencer")
    (tap, *_) = sorted(
        found[0]
        for mutant in draw(target, 120, 1).mutants
        if (found := re.findall(r"-cell (\$shiftx\S+)", mutant.change))
    )
    change = f"mutate -module sequencer -cell {tap} -port A -portbit 6 -mode cnot0 -ctrlbit 2"
    assert equivalent(target, [Mutant(target, 1, change, "")]) == {1}


@pytest.mark.verify
def test_several_selected():
    """Where a mutant selects two registers at once, proof and simulator take the same one.

    Word 11 (STALLS) goes before word 10 (CYCLES): if CYCLES answers to 11 too, nothing changes.
    """
    target = next(target for target in TARGETS if target.module == "registers")
    cells = re.findall(
        r"cell \$eq (\$procmux\S+)\n(?:.*\n){5} +connect \\A .*_araddr.*\n +connect \\B 5'0101(.)",
        yosys(*read(target), "dump registers/t:$eq"),
    )
    mutants = {"0": [], "1": []}
    for number, (cell, bit) in enumerate(cells, 1):
        change = f"mutate -mode const{bit} -module registers -cell {cell} -port A -portbit 0"
        mutants[bit].append(Mutant(target, number, change, ""))
    assert len(equivalent(target, mutants["0"])) == len(mutants["0"]) > 0
    assert len(equivalent(target, mutants["1"])) < len(mutants["1"])


@pytest.mark.verify
def test_a_fault_that_changes_nothing_survives():
    """A fault that changes nothing survives, and one that does not compile is broken."""
    store = Verdicts(fresh=True)
    harmless = Fault("none", "delay", "assign data_o = taps", "assign data_o = 0 | taps")
    assert try_fault(harmless, store).state == "survived"
    broken = Fault("syntax", "delay", "assign data_o = taps", "assign data_o == taps")
    assert try_fault(broken, store).state == "broken"


def test_verdicts_are_kept(monkeypatch):
    """A second run starts no bench, unless the fault or the code of the bench is another one."""
    fault = Fault("none", "delay", "assign data_o = taps", "assign data_o = ~taps")
    first = try_fault(fault, Verdicts(fresh=True))
    monkeypatch.setattr(campaign, "try_mutant", lambda *_, **__: Verdict("survived", "", 0.0))
    assert try_fault(fault, Verdicts(fresh=False)) == first
    other = fault._replace(new="assign data_o = 1 ^ taps")
    assert try_fault(other, Verdicts(fresh=False)).state == "survived"
    monkeypatch.setattr(campaign, "bench_files", lambda _: {RTL.parent / "tb" / "test_pe.py"})
    assert try_fault(fault, Verdicts(fresh=False)).state == "survived"


@pytest.mark.verify
def test_what_changed_meanwhile_is_not_kept(tmp_path, monkeypatch):
    """If a bench is edited while the mutants run, no verdict is kept."""
    bench = tmp_path / "bench.py"
    bench.write_text("")
    store = Verdicts(fresh=True)
    monkeypatch.setattr(campaign, "bench_files", lambda _: {bench})
    assert store.limit(TARGETS[1]) > 20
    bench.write_text("# edited")
    fault = Fault("none", "delay", "assign data_o = taps", "assign data_o = ~taps")
    with pytest.raises(InputError, match=r"bench\.py: changed while its faults were tried"):
        try_fault(fault, store)


def test_a_bench_that_fails_without_a_fault_kills_nothing(monkeypatch):
    monkeypatch.setattr(campaign, "try_mutant", lambda *_, **__: Verdict("killed", "test_x", 1.0))
    monkeypatch.setattr(campaign, "bench_files", lambda _: set())  # a run that is not kept
    fault = Fault("none", "delay", "assign data_o = taps", "assign data_o = ~taps")
    with pytest.raises(InputError, match=r"delay .*: test_x fails without a fault"):
        try_fault(fault, Verdicts(fresh=True))


def test_a_failure_that_the_environment_causes_kills_nothing(monkeypatch):
    """Without a fault the benches run in the same command, whatever an earlier one has kept."""
    fault = Fault("none", "delay", "assign data_o = taps", "assign data_o = ~taps")
    assert try_fault(fault, Verdicts(fresh=True)).state == "killed"
    # What fails now, for whatever reason, fails without a fault too.
    monkeypatch.setattr(campaign, "try_mutant", lambda *_, **__: Verdict("killed", "test_x", 1.0))
    other = fault._replace(new="assign data_o = 2 ^ taps")
    with pytest.raises(InputError, match="test_x fails without a fault"):
        try_fault(other, Verdicts(fresh=False))


@pytest.mark.verify
def test_a_test_filter_leaves_out_nothing(monkeypatch):
    """A filter in the environment leaves out no test of a bench."""
    monkeypatch.setenv("COCOTB_TEST_FILTER", "no_such_test")
    fault = Fault("none", "delay", "assign data_o = taps", "assign data_o = ~taps")
    verdict = try_fault(fault, Verdicts(fresh=True))
    assert verdict.state == "killed"
    assert "test_delay" in verdict.how


@pytest.mark.verify
@pytest.mark.parametrize(
    ("program", "outcome"),
    [
        ("exit 0", "ended without results"),
        ("kill -SEGV $$", "SIGSEGV"),
        ("exec sleep 1000", "killed"),
    ],
    ids=["nothing", "crash", "hang"],
)
def test_a_crash_is_an_error_and_a_hang_is_a_kill(program, outcome):
    """A simulator that crashes or gives no results is an error; one that hangs twice is a kill."""
    simulation = Simulation([["sh", "-c", program]], dict(os.environ))
    if outcome == "killed":
        verdict = try_mutant(simulation, TARGETS[1].benches[0], "1", limit=0.2)
        assert verdict.state == "killed"
        assert "it had said nothing for 0.6 s" in verdict.how
    else:
        with pytest.raises(InputError, match=outcome):
            try_mutant(simulation, TARGETS[1].benches[0], "1", limit=600.0)


def test_equivalents_are_kept_by_their_change(monkeypatch):
    """Equivalent mutants are known by their change, since other draws number them otherwise."""
    target = TARGETS[1]
    monkeypatch.setattr(campaign, "equivalent", lambda _, mutants: {mutants[0].number})
    first, second = (
        Mutant(target, n, f"mutate -mode inv -cell x -port D -portbit {n}", "") for n in (1, 2)
    )
    survived = Verdict("survived", "", 1.0)
    store = Verdicts(fresh=True)
    states = [r.verdict.state for r in prove([(first, survived), (second, survived)], store)]
    assert states == ["equivalent", "survived"]
    store.fresh = False
    turned = [(replace(second, number=1), survived), (replace(first, number=2), survived)]
    assert [r.verdict.state for r in prove(turned, store)] == ["survived", "equivalent"]


def test_report(capsys, monkeypatch, tmp_path):
    """The report has its counts and keys, and names a survivor's place; a survivor is a failure."""
    monkeypatch.setattr(campaign, "RESULTS", tmp_path)
    subject = SimpleNamespace(unchanged=lambda: {"rtl": "one"})
    store = Verdicts(fresh=False)
    results = [
        Result("pe", "named", "rtl/pe.v:3", "swap late", Verdict("killed", "test_x", 1.0)),
        Result("pe", "netlist", "rtl/pe.v:9", "bit stuck", Verdict("survived", "", 2.0)),
        Result("skew", "netlist", "rtl/skew.v:9", "other", Verdict("equivalent", "", 3.0)),
    ]
    assert report(results, 7, store, subject) == 1
    assert "rtl/pe.v:9: bit stuck" in capsys.readouterr().out
    found = json.loads((tmp_path / "mutation.json").read_text())
    names = ("seed", "named", "netlist", "killed", "survived", "equivalent", "broken")
    assert [found[name] for name in names] == [7, 1, 2, 1, 1, 1, 0]
    assert [s["where"] for s in found["survivors"]] == ["rtl/pe.v:9"]
    assert report([results[0], results[2]], 8, store, subject) == 0
    seeds = json.loads((tmp_path / "mutation.json").read_text())["seeds"]
    assert [(seed, n["netlist"], n["survived"]) for seed, n in seeds.items()] == [
        ("7", 2, 1),
        ("8", 1, 0),
    ]
    report(results, 9, store, SimpleNamespace(unchanged=lambda: {"rtl": "another"}))
    assert [*json.loads((tmp_path / "mutation.json").read_text())["seeds"]] == ["9"]


@pytest.mark.parametrize("option", ["--number", "--seed", "--jobs"])
def test_bad_option(option, refused):
    refused(campaign.main, option, "many", words=(option, "many"))
