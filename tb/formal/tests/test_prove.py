"""The quick proofs hold, faults do not pass, and no proof is empty."""

import json
import os
import re
import shutil

import pytest

from pymodel.support.errors import InputError
from tb.formal import prove
from tb.formal.proof_table import PROOFS
from tb.formal.prove import Outcome, bound, count, main, read_outcome, statements
from tb.sim.kept_results import Store
from tb.sim.result_about import Subject
from tb.sim.sources import RTL, faulty_rtl, rtl_digest

FILES = sorted({proof.properties for proof in PROOFS})


@pytest.fixture
def kept_apart(monkeypatch, tmp_path):
    """Puts a test's results elsewhere, with nothing kept from before."""
    folder = prove.BUILD / f"test-{os.getpid()}"  # inside the root, where Yosys sees it
    monkeypatch.setattr(prove, "BUILD", folder)
    monkeypatch.setattr(prove, "STORE", Store("formal", folder))
    yield
    shutil.rmtree(folder)


def test_quick_proofs_hold_and_their_mutants_do_not(command, monkeypatch):
    """A delay of one cycle is proven, and each of its mutants is refuted."""
    (quick,) = [proof for proof in PROOFS if (proof.module, proof.variant) == ("delay", "1")]
    monkeypatch.setattr(prove, "PROOFS", [quick])
    code, out, _ = command(main, "delay")
    assert code == 0, out
    assert "1 of 1 properties proven, 1 of them unbounded; 1 covers, 2 mutants" in out


def test_rtl_that_assumes_something_is_refused(refused, tmp_path):
    """All proofs would hold under it; a comment assumes nothing."""
    text = "// we assume that\n  always @* assume (act_i != 9);\nendmodule\n"
    rtl = faulty_rtl(tmp_path, "pe.v", ("endmodule", text))
    words = ["pe.v, line ", "'assume', expected no assumption in the RTL"]
    refused(main, "pe", "--rtl", rtl, words=words)


@pytest.mark.verify
@pytest.mark.parametrize(
    ("name", "old", "new", "broken"),
    [
        ("skew", "] = data_i[lane", "] = ~data_i[lane", "delayed"),
        (
            "geometry-8-columns-8192-words",
            "weight_words} > WEIGHT_LIMIT",
            "weight_words} >= WEIGHT_LIMIT",
            "errors",
        ),
    ],
)
def test_a_fault_in_the_rtl_fails(
    command, monkeypatch, tmp_path, kept_apart, name, old, new, broken
):
    """A fault that is no proof mutant fails, and the property that it breaks is named.

    So what the proof assumes leaves the fault in sight, also where lemmas are given.
    """
    monkeypatch.setattr(prove, "PROOFS", [proof for proof in PROOFS if proof.name == name])
    module = name.partition("-")[0]
    rtl = faulty_rtl(tmp_path, f"{module}.v", (old, new))
    code, out, _ = command(main, module, "--rtl", rtl, "--workers", 2)
    assert code == 1
    assert f"{name}-prove: not proven (FAIL: {broken})" in out


@pytest.mark.parametrize("properties", FILES)
def test_every_property_has_a_meaning_and_a_mutant(properties):
    """Every property has a comment and a mutant, and the proofs of a file cover every assert."""
    found = statements(properties)
    labels = [statement.label for statement in found]
    assert len(set(labels)) == len(labels)
    assert all(len(statement.meaning) > 10 for statement in found)
    assert any(statement.kind == "cover" for statement in found)
    proofs = [proof for proof in PROOFS if proof.properties == properties]
    broken = {mutant.property for proof in proofs for mutant in proof.mutants}
    assert broken == {statement.label for statement in found if statement.is_property}
    shown = {label for proof in proofs for label in proof.only or labels}
    assert shown >= {statement.label for statement in found if statement.kind != "assume"}
    for proof in proofs:
        assert set(proof.given) <= shown - set(proof.only)
        for mutant in proof.mutants:
            source = (RTL / f"{mutant.source or proof.module}.v").read_text()
            assert mutant.of(source) != source


def test_the_properties_stand_at_the_modules_end():
    text = bound("pe")
    assert text.count("endmodule") == 1
    assert text.index("<= psum_i + product") < text.index("exact_sum: assert")
    assert text.index("exact_sum: assert") < text.index("endmodule")
    assert "exact_sum" not in (RTL / "pe.v").read_text()


def test_only_files_with_proofs_are_there():
    assert sorted(path.stem for path in prove.PROPERTIES.glob("*.sv")) == FILES


def test_what_the_solver_says_is_read():
    """The names that failed or were reached are read; a log without a verdict is an error."""
    log = "engine_0: ##  Assert failed in core.fifo: in_order\nDONE (FAIL, rc=2)\n"
    assert read_outcome(log) == Outcome("FAIL", frozenset({"in_order"}))
    log = "##  Reached cover statement in step 3 at pe: lowest\nDONE (PASS, rc=0)\n"
    assert read_outcome(log) == Outcome("PASS", frozenset({"lowest"}))
    assert read_outcome("killed").status == "ERROR"


def test_a_property_counts_once_and_only_if_all_its_proofs_hold():
    shown = {"proven": True, "unbounded": True, "restricted": False}
    entry = {"module": "skew", "property": "delayed"} | shown
    bounded, small = entry | {"unbounded": False}, entry | {"restricted": True}
    counts = {"properties": 1, "proven": 1, "failed": 0, "unbounded": 1, "restricted": 0}
    assert count([entry, entry]) == counts
    assert count([entry, small]) == counts | {"restricted": 1}
    assert count([entry, bounded])["unbounded"] == 0
    assert count([entry, entry | {"proven": False}])["failed"] == 1


def test_a_mutant_that_nothing_refutes_or_a_cover_out_of_reach_fails(monkeypatch, capsys):
    """One mutant that nothing refutes, or one cover out of reach, fails the report."""
    (proof,) = (proof for proof in PROOFS if proof.name == "pe")
    passed = {
        task: Outcome("FAIL" if task.mutant else "PASS", frozenset(task.labels))
        for task in prove.tasks(proof)
    }
    assert prove.report([proof], passed, None) == 0
    for task in passed:
        wrong = passed | {task: Outcome("UNKNOWN" if task.mode == "prove" else "PASS", frozenset())}
        assert prove.report([proof], wrong, None) == 1
        assert "FAILED" in capsys.readouterr().out


def test_a_property_without_meaning_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(prove, "PROPERTIES", tmp_path)
    (tmp_path / "pe.sv").write_text("  always @* begin\n    bare: assert (1);\n  end\n")
    with pytest.raises(InputError, match=re.escape("bare has no comment above it")):
        statements("pe")


@pytest.mark.parametrize(
    "line",
    ["never: assert(0);", "never : assert (0);", "assert (0);", "a: assert (1); b: assert (0);"],
)
def test_a_property_that_would_not_be_proven_is_refused(monkeypatch, tmp_path, line):
    """Whatever is written in another way than the tool reads is named with its line."""
    monkeypatch.setattr(prove, "PROPERTIES", tmp_path)
    (tmp_path / "pe.sv").write_text(
        f"  always @* begin\n    // It holds: assert.\n    {line}\n  end\n"
    )
    with pytest.raises(InputError, match=r"pe.sv:3: 'assert', expected 'label: assert \('"):
        statements("pe")


def test_the_results_are_about_the_folder_that_was_proven(monkeypatch, tmp_path):
    monkeypatch.setattr(prove, "RESULTS", tmp_path)
    shutil.copytree(RTL, tmp_path / "rtl")
    with (tmp_path / "rtl" / "pe.v").open("a") as file:
        file.write("// other\n")
    rtl = tmp_path / "rtl"
    prove.report([], {}, Subject("tb.formal.prove", rtl=rtl), rtl)
    found = json.loads((tmp_path / "formal.about.json").read_text())["about"]["rtl"]
    assert found == rtl_digest(tmp_path / "rtl") != rtl_digest()


def test_bad_input_is_one_line(refused, tmp_path):
    """An unknown module, no workers, and missing or broken sources get one line each."""
    refused(main, "no_such", words=["no proof of module 'no_such'", "output_fifo"])
    refused(main, "--workers", 0, words=["--workers is 0", "expected 1 or more"])
    refused(main, "pe", "--rtl", tmp_path, words=["no Verilog sources"])
    (tmp_path / "skew.v").write_text("module skew ();\nendmodule\n")
    refused(main, "skew", "--rtl", tmp_path, words=["mutant", "expected once"])
    refused(main, "pe", "--rtl", tmp_path, words=["pe.v", "expected the module's source"])
    (tmp_path / "pe.v").write_text("module pe ();\n")
    refused(main, "pe", "--rtl", tmp_path, words=["pe.v: holds no endmodule"])
    shutil.copy(RTL / "control.v", tmp_path)
    refused(main, "control", "--rtl", tmp_path, words=["core_registers.vh", "expected the header"])
    shutil.copy(RTL / "core_registers.vh", tmp_path)
    changed = (RTL / "geometry.v").read_text().replace("= PIXELS;", "= PIXELS ;")
    (tmp_path / "geometry.v").write_text(changed)
    refused(main, "geometry", "--rtl", tmp_path, words=["'= PIXELS;' not found"])
