"""The README's verification table is written from results, and refuses wrong or partial ones."""

import pytest

from pymodel.checkpoint import SHIPPED
from pymodel.support.result_files import write_results
from tb.components.array_adapter import OWN
from tb.gates.benches_on_gates import DESIGNS
from tb.generate import write_verification_table
from tb.generate.write_verification_table import BEGIN, END, NAMES
from tb.sim.result_about import about
from tb.soak.tries import CHECKPOINTS, FAULTS

SEED = {"netlist": 500, "killed": 490, "survived": 0, "equivalent": 10, "broken": 0}
RESULTS = {
    "layer": {
        "simulator": "icarus",
        "images": 16,
        "psums_checked": 99,
        "psum_mismatches": 0,
        "max_abs_error": 1e-6,
        "max_error_steps": 1e-4,
        "max_error_share": 0.01,
        "array": "systolic_array",
    },
    "mutation": SEED
    | {
        "named": 70,
        "seconds_per_mutant": 2.0,
        "seeds": dict.fromkeys(("1", "2", "3", "881"), SEED),
    },
    "python_mutation": {
        "modules": 20,
        "mutants": 1600,
        "killed": 1400,
        "harmless": 200,
        "survived": 0,
    },
    "formal": {
        "properties": 5,
        "proven": 5,
        "failed": 0,
        "unbounded": 4,
        "restricted": 1,
        "wrong": [],
    },
    "coverage": {"line": 100.0, "branch": 100.0, "toggle": 99.5, "functional": 100.0},
    "netlist": {"gates": {d.name: 8 for d in DESIGNS}, "tests": 3, "failed": 0, "psums_checked": 4},
    "soak": {
        "tries": 6,
        "failed": 0,
        "skipped": 0,
        "checkpoints_refused": 1000,
        "faults": [{"name": name} for name in (*(f.name for f in FAULTS), CHECKPOINTS)],
    },
}


ABOUT = about("tb.sim.sources", checkpoint=SHIPPED, adapter=OWN)


def write(folder, name, changed=None, **verdict):
    """Writes a result with some figures `changed`, and its verdict."""
    values = RESULTS[name] | (changed or {})
    write_results(folder / f"{name}.json", values, **{"passed": True, "about": ABOUT} | verdict)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Returns a folder with results, and puts a README to write in the place of ours."""
    for name in RESULTS:
        write(tmp_path, name)
    (tmp_path / "README.md").write_text(f"before\n{BEGIN}old\n{END}after\n")
    monkeypatch.setattr(write_verification_table, "RESULTS", tmp_path)
    monkeypatch.setattr(write_verification_table, "README", tmp_path / "README.md")
    return tmp_path


def test_table(folder, command):
    assert command(write_verification_table.main)[0] == 0
    text = (folder / "README.md").read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    for words in (
        "0 of 99 psums",
        "70 named, 2,000 drawn (seeds 1, 2, 3, 881): 0 and 0 not found; 40",
        "5 of 5 proven, 4 of them unbounded, 0 failed; 1 for small sizes",
        "99.5%",
        "0 of 1,600 in 20 modules not found; 200 are listed",
        "6 tries",
    ):
        assert words in text
    assert text.count("| `make") == len(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_result_is_refused(name, folder, refused):
    (folder / f"{name}.json").unlink()
    before = (folder / "README.md").read_text()
    refused(write_verification_table.main, words=(f"{name}.json", "make"))
    assert (folder / "README.md").read_text() == before


@pytest.mark.parametrize(
    ("name", "key", "value", "words"),
    [
        ("layer", "array", "other", "our own array"),
        ("layer", "images", 2, "images: 2, expected 16 or more"),
        ("layer", "psum_mismatches", 1, "1 of 99"),
        ("mutation", "survived", 1, "1 and 0 not found"),
        ("mutation", "broken", 1, "1 and 0 not found"),
        ("mutation", "seeds", {"1": SEED | {"survived": 2}}, "0 and 2 not found"),
        ("mutation", "seeds", dict.fromkeys("23", SEED), "'3'], expected 1, which make verify"),
        ("mutation", "seeds", dict.fromkeys("1234", SEED | {"netlist": 20}), "seed: 20, expected"),
        ("mutation", "named", 3, "named faults: 3, expected 40 or more"),
        ("mutation", "seconds_per_mutant", 6, "mutant: 6, expected 5 or less"),
        ("python_mutation", "survived", 1, "1 of 1,600 in 20 modules not found"),
        ("python_mutation", "mutants", 1499, "mutants: 1499, expected 1,500 or more"),
        ("formal", "wrong", ["pe: cover x is not reached"], "pe: cover x is not reached (1 such)"),
        ("layer", "max_error_share", 5.0, "largest error"),
        ("formal", "failed", 1, "1 failed"),
        ("coverage", "toggle", 98.0, "percent: 98.0, expected 99 or more"),
        ("coverage", "line", 99.9, "percent: 99.9, expected 100 or more"),
        ("netlist", "gates", {"core 4x4": 8}, "designs missing or unknown: ["),
        ("netlist", "failed", 1, "1 failed"),
        ("soak", "skipped", 1, "tries left out: 1, expected none"),
        ("soak", "faults", [{"name": CHECKPOINTS}], "faults missing or unknown: ["),
        ("soak", "checkpoints_refused", 999, "refused: 999, expected 1,000"),
        ("soak", "failed", 1, "1 of 6 tries"),
    ],
)
def test_what_is_wrong_or_not_whole_is_refused(name, key, value, words, folder, refused):
    """The table shows no figure of a run that failed, was only a part, or is of other RTL."""
    write(folder, name, {key: value})
    before = (folder / "README.md").read_text()
    refused(write_verification_table.main, words=("make", words))
    assert (folder / "README.md").read_text() == before


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("verdict", "words"),
    [
        ({"passed": False}, "failed"),
        ({"about": ABOUT | {"bench": "another"}}, "another version of the bench"),
        ({"about": {}}, "again"),
    ],
    ids=["failed", "another bench", "about nothing"],
)
def test_a_result_that_failed_or_is_stale_is_refused(name, verdict, words, folder, refused):
    """The table shows only results that passed, and that are about the present files."""
    write(folder, name, **verdict)
    refused(write_verification_table.main, words=("make", words))


def test_readme_has_the_markers():
    text = (write_verification_table.ROOT / "README.md").read_text()
    assert text.count(BEGIN) == text.count(END) == 1
