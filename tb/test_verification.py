"""The README's verification table: from results, whole, and nothing that is not right."""

import json

import pytest

from tb import verification
from tb.verification import BEGIN, END, NAMES

RESULTS = {
    "layer": {"simulator": "icarus", "images": 16, "psums_checked": 99, "psum_mismatches": 0},
    "mutation": {"killed": 7, "survived": 0, "equivalent": 2},
    "formal": {"properties": 5, "proven": 5, "failed": 0, "unbounded": 4},
    "coverage": {"line": 100.0, "branch": 100.0, "toggle": 99.5, "functional": 100.0},
    "netlist": {"gates": {"array": 8}, "tests": 3, "failed": 0, "psums_checked": 4},
    "soak": {"tries": 6, "failed": 0, "checkpoints_refused": 1000},
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Results, and a README to write."""
    for name, values in RESULTS.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(values))
    (tmp_path / "README.md").write_text(f"before\n{BEGIN}old\n{END}after\n")
    monkeypatch.setattr(verification, "RESULTS", tmp_path)
    monkeypatch.setattr(verification, "README", tmp_path / "README.md")
    return tmp_path


def test_table(folder, command):
    assert command(verification.main)[0] == 0
    text = (folder / "README.md").read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    for words in ("0 of 99 psums", "7 found, 0 not", "5 of 5 proven, 4", "99.5%", "6 tries"):
        assert words in text
    assert text.count("| `make") == len(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_result_is_refused(name, folder, refused):
    (folder / f"{name}.json").unlink()
    before = (folder / "README.md").read_text()
    refused(verification.main, words=(f"{name}.json", "make"))
    assert (folder / "README.md").read_text() == before


def test_a_wrong_result_is_refused(folder, refused):
    (folder / "mutation.json").write_text(json.dumps(RESULTS["mutation"] | {"survived": 1}))
    refused(verification.main, words=("make mutate", "1 not"))


def test_readme_has_the_markers():
    text = (verification.ROOT / "README.md").read_text()
    assert text.count(BEGIN) == text.count(END) == 1
