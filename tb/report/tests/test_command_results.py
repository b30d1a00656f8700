"""A result is shown as right only if its run passed, its figures are right, and nothing changed."""

import json
from pathlib import Path

import pytest

from pymodel.checkpoint import SHIPPED
from pymodel.support.result_files import about_path, write_results
from tb.components.array_adapter import OWN
from tb.report.command_results import CHECKS, read_all, table, up_to_date
from tb.sim.result_about import WORDS, about

ABOUT = about("tb.report.command_results", checkpoint=SHIPPED, adapter=OWN)
NOW = {name: ABOUT[name] for name in ("rtl", "checkpoint", "adapter")}
SEED = {"netlist": 5, "survived": 0}
RIGHT = {
    "layer": {
        "simulator": "icarus",
        "images": 16,
        "psums_checked": 99,
        "psum_mismatches": 0,
        "max_abs_error": 1e-6,
        "max_error_steps": 1e-4,
        "max_error_share": 0.01,
    },
    "network": {
        "images": 3,
        "accuracy_rtl": 1.0,
        "codes_checked": 9,
        "code_mismatches": 0,
        "predictions_differing": 0,
    },
    "accuracy": {
        "images": 3,
        "accuracy_rtl": 1.0,
        "sums_checked": 9,
        "sum_mismatches": 0,
        "predictions_differing": 0,
    },
    "formal": {"properties": 5, "proven": 5, "failed": 0, "unbounded": 3, "wrong": []},
    "mutation": {
        "named": 5,
        "killed": 9,
        "survived": 0,
        "equivalent": 1,
        "broken": 0,
        "seeds": {"1": SEED},
    },
    "netlist": {"gates": {"a": 1}, "tests": 1, "failed": 0, "psums_checked": 1},
    "soak": {"tries": 1, "failed": 0, "checkpoints_refused": 1},
}


def state(folder: Path, name: str, value: dict, *, passed: bool = True, about: dict | None = None):
    """Writes a result with its verdict, and returns the state and the text of its row."""
    path = folder / f"{name}.json"
    write_results(path, value, passed=passed, about=ABOUT if about is None else about)
    (row,) = [r for r in table(folder, read_all(folder), NOW) if r.state != "missing"]
    assert (name in up_to_date(folder, read_all(folder), NOW)) == (row.state == "right")
    return row.state, row.result


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("layer", {"psum_mismatches": 1}),
        ("layer", {"max_error_share": 1}),
        ("network", {"code_mismatches": 1}),
        ("network", {"predictions_differing": 1}),
        ("accuracy", {"sum_mismatches": 1}),
        ("accuracy", {"predictions_differing": 1}),
        ("formal", {"proven": 4}),
        ("formal", {"failed": 1}),
        ("formal", {"wrong": ["pe: cover x is not reached"]}),
        ("mutation", {"survived": 1}),
        ("mutation", {"broken": 1}),
        ("mutation", {"seeds": {"1": SEED, "2": {"survived": 1}}}),
        ("netlist", {"failed": 1}),
        ("soak", {"failed": 1}),
    ],
)
def test_a_figure_that_is_wrong_is_never_right(name, changed, tmp_path):
    """The figures decide, even where the verdict beside them says that the run passed."""
    assert state(tmp_path, name, RIGHT[name])[0] == "right"
    assert state(tmp_path, name, RIGHT[name] | changed)[0] == "wrong"


@pytest.mark.parametrize("name", RIGHT)
def test_a_run_that_failed_is_never_right(name, tmp_path):
    """The exit of the command decides, even where no figure shows why it failed."""
    assert state(tmp_path, name, RIGHT[name], passed=False)[0] == "wrong"


@pytest.mark.parametrize(
    ("name", "hash_name"),
    [(check.name, name) for check in CHECKS for name in check.about if check.name in RIGHT],
)
def test_a_result_about_something_else_is_stale(name, hash_name, tmp_path):
    """A result of other RTL, another checkpoint, adapter or bench is not about present files."""
    found, words = state(tmp_path, name, RIGHT[name], about=ABOUT | {hash_name: "another"})
    assert found == "stale"
    assert f"; of {WORDS[hash_name]}: make " in words
    less = {key: value for key, value in ABOUT.items() if key != hash_name}
    assert state(tmp_path, name, RIGHT[name], about=less)[0] == "stale"


def test_a_verdict_counts_for_its_own_file_alone(tmp_path):
    """Without a verdict, or with that of other figures, a result is stale."""
    state(tmp_path, "formal", RIGHT["formal"])
    path = tmp_path / "formal.json"
    path.write_text(json.dumps(RIGHT["formal"] | {"unbounded": 4}))

    def found() -> str:
        (row,) = [r for r in table(tmp_path, read_all(tmp_path), NOW) if r.state != "missing"]
        return row.state

    assert found() == "stale"
    state(tmp_path, "formal", RIGHT["formal"])
    assert found() == "right"
    for damage in (b"", b"{", b"[]", b'{"passed": 1, "about": {}, "sha256": ""}'):
        about_path(path).write_bytes(damage)
        assert found() == "stale"
    about_path(path).unlink()
    assert found() == "stale"
