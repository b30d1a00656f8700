"""Coverage finds holes, unites the runs, and refuses exclusions that are wrong."""

import json
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from pymodel.support.errors import InputError
from tb.components import cover_points
from tb.coverage import measure
from tb.coverage import runs as coverage_runs
from tb.coverage.coverage_page import result_table, summary
from tb.coverage.measure import main
from tb.coverage.reached import KINDS, Coverage, Point, merge
from tb.coverage.read_exclusions import Exclusion, exclude
from tb.modules.module_table import runs_of
from tb.sim.kept_results import Store
from tb.sim.sources import RTL, check_sources, faulty_rtl


@pytest.fixture
def small(monkeypatch, tmp_path):
    """Makes the command measure one small module with one set of parameters, into `tmp_path`."""
    run, *_ = (r for r in runs_of("tb.test_pe") if "ACT_SIGNED" in r.parameters)
    monkeypatch.setattr(measure, "suite", lambda only: [run])
    monkeypatch.setattr(measure, "BUILD", tmp_path)
    monkeypatch.setattr(coverage_runs, "STORE", Store("data", tmp_path))
    return tmp_path


def some_tests_alone(monkeypatch, names):
    """Makes the bench of the command run some of its tests alone."""
    (run,) = measure.suite([])
    run = replace(run, settings={"COCOTB_TEST_FILTER": names})
    monkeypatch.setattr(measure, "suite", lambda only: [run])


@pytest.mark.verify
def test_the_whole_way(command, small, monkeypatch):
    """A bench reaches all of its module; a single test of it does not, and the holes are shown."""
    code, out, err = command(main, "--only", "pe")
    assert code == 0, out + err
    page = (small / "part" / "index.html").read_text()
    assert "psum_i + product;" in page
    assert "pe.weight_signed_activation  100.00     256" in out
    (folder,) = (small / "data").iterdir()
    data = sorted(folder.iterdir())
    assert [path.suffix for path in data] == [".dat", ".yml"], "something half-written is left"

    changed = data[0].stat().st_mtime_ns
    code, *_ = command(main, "--only", "pe")  # from what is there
    assert (code, data[0].stat().st_mtime_ns) == (0, changed)

    monkeypatch.setenv("COCOTB_TEST_FILTER", "reset_clears_the_tokens")
    code, out, _ = command(main, "--only", "pe")
    assert code == 0, "the variable left out tests"
    assert "Left out, because results are kept: COCOTB_TEST_FILTER" in out

    some_tests_alone(monkeypatch, "reset_clears_the_tokens")
    code, out, _ = command(main, "--only", "pe")
    assert code == 1
    assert "FAILED: branch coverage is" in out
    _, branches, toggles, functional_holes = re.split("Holes, .*:", out)[-4:]
    assert re.search(r"rtl/pe.v:\d+: cond_then: weight_hops_o <=", branches)
    assert re.search(r"rtl/pe.v:\d+: weight_hops_i\[0\]:1->0", toggles)
    assert "pe.weight_signed_activation: (-1, 0)" in functional_holes


@pytest.mark.verify
def test_a_failing_bench_is_no_coverage(command, small, monkeypatch):
    """A run in which no test ran fails the command, and leaves no coverage."""
    some_tests_alone(monkeypatch, "no_such_test")
    code, out, _ = command(main, "--only", "pe")
    assert code == 1
    assert "pe-ACT_WIDTH4-WEIGHT_WIDTH4-PSUM_WIDTH16-ACT_SIGNED1: no cocotb test ran" in out
    assert not list((small / "data").glob("[!.]*"))


def test_rtl_that_leaves_out_points_is_refused(refused, small, monkeypatch, tmp_path):
    """A comment hides points from Verilator, without the reason that an exclusion has."""
    hidden = "// verilator coverage_off\nendmodule"
    rtl = faulty_rtl(tmp_path, "delay.v", ("endmodule", hidden))
    monkeypatch.setattr(measure, "RTL", rtl)
    words = ["delay.v, line ", "'verilator coverage_off', expected exclusions with reasons"]
    refused(measure.main, words=words)


def entry(hits: int, line: int, what: str, lines: str = "", kind: str = "branch") -> str:
    """Returns a line of Verilator's file, as if from one parametrisation of rtl/pe.v."""
    return (
        f"C '\1f\2/here/rtl/pe.v\1l\2{line}\1n\0029\1t\2{kind}\1page\2v_{kind}/pe__W{hits}"
        f"\1o\2{what}\1S\2{lines}\1h\2pe' {hits}\n"
    )


def test_runs_are_united(tmp_path):
    """A point counts if one run or instance reached it; a line counts only with all its blocks."""
    first = entry(5, 51, "block", "51-53") + entry(0, 52, "if", "52") + entry(5, 52, "else")
    second = entry(3, 51, "block", "51-53") + entry(3, 52, "if", "52") + entry(0, 52, "else")
    toggle = (
        entry(0, 30, "act_i[1]:0->1", kind="toggle"),
        entry(2, 30, "act_i[1]:0->1", "", "toggle"),
    )
    other = (
        "C '\1f\2/here/tb/host/core_host.v\1l\0021\1n\0021\1t\2line\1o\2block\1S\0021\1h\2a' 0\n"
    )
    for name, text, bins in (
        ("a", first + toggle[0], "p.q: {'bins:_hits': {1: 0, 2: 4}}\np: {size: 2}\n"),
        ("b", second + toggle[1] + other, "p.q: {'bins:_hits': {1: 0, 2: 1}}\n"),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "reached.dat").write_text(text)
        (tmp_path / name / "reached.yml").write_text(bins)

    alone = merge([tmp_path / "a"])
    assert alone.percent("line") == 66.66
    assert alone.percent("branch") == 50
    assert alone.percent("toggle") == 0
    both = merge([tmp_path / "a", tmp_path / "b"])
    assert [both.percent(kind) for kind in KINDS] == [100, 100, 100]
    assert both.bins["p.q"] == Counter({"2": 5, "1": 0})
    assert both.functional() == 50
    assert {point.module for point in both.hits} == {"pe"}

    found = summary(both, ["pe"], [])
    assert found["holes"] == [{"kind": "functional", "where": "p.q", "what": "1"}]
    assert "Holes, functional:\np.q: 1" in result_table(found)
    json.dumps(found)


LOADS = "if (weight_hops_i != 0) begin"  # a branch of rtl/pe.v


def united() -> Coverage:
    """Returns coverage of four points: three bits and a branch.

    One bit moves both ways, one does not move, and one moves once; the branch is never taken.
    """
    found = Coverage()
    for bit, up, down in ((0, 1, 1), (1, 0, 0), (2, 0, 1)):
        for way, hits in (("0->1", up), ("1->0", down)):
            found.hits[Point("toggle", "pe", 30, 9, f"act_i[{bit}]:{way}")] = hits
    lines = (RTL / "pe.v").read_text().splitlines()
    found.hits[Point("branch", "pe", lines.index(f"    {LOADS}") + 1, 5, "if")] = 0
    return found


def test_exclusions_take_points_out():
    """Bits are excluded by a range, a branch by its source; what is excluded does not count."""
    found = united()
    assert found.percent("toggle") == 50
    exclude(
        found,
        [
            Exclusion("toggle", "pe", ["act_i[2:1]"], "because"),
            Exclusion("branch", "pe", [f"if: {LOADS}"], "because"),
        ],
    )
    assert found.percent("toggle") == 100
    assert found.percent("branch") is None
    assert summary(found, ["pe"], [])["holes"] == []


@pytest.mark.parametrize(
    ("exclusion", "words"),
    [
        (("toggle", "pe", ["act_i[0]"]), r"act_i\[0\]: it was reached"),
        (("toggle", "pe", ["act_i[1:0]"]), r"act_i\[0\]: it was reached"),
        (("toggle", "pe", ["act_i[3]"]), r"act_i\[3\]: there is no such point"),
        (("toggle", "core", ["act_i[1]"]), "exclusion of core: .* no such point"),
        (("branch", "pe", [f"else: {LOADS}"]), "no such point"),
    ],
)
def test_a_wrong_exclusion_is_refused(exclusion, words):
    """A point that was reached is refused, and so is one that does not exist; the file is named."""
    with pytest.raises(InputError, match=f"^some.toml: .*{words}"):
        exclude(united(), [Exclusion(*exclusion, "because")], Path("some.toml"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[toggle]\n", "expected exclusions"),
        ("[[toggles]]\n", "table 'toggles', expected [[line]], [[branch]], [[toggle]]"),
        ("[[line]]\nmodule = 'pe'\npoints = ['a']\n", "and reason"),
        ("[[line]]\nmodule = 'pe'\npoints = ['a']\nreason = ' '\n", "and reason"),
        ("[[line]]\nmodule = 'pe'\npoints = [3]\nreason = 'a'\n", "a list of texts"),
    ],
)
def test_bad_input_is_one_line(text, words, refused, tmp_path):
    path = tmp_path / "exclusions.toml"
    path.write_text(text)
    refused(main, "--exclusions", path, words=["exclusions.toml", words])
    refused(main, "--exclusions", tmp_path / "none", words=["none"])
    refused(main, "--only", "nothing", words=["nothing", "systolic_array"])


def test_every_module_and_cover_point_is_in_the_suite():
    """Every module has a run, no two runs share a name, and FUNCTIONAL has every cover point."""
    runs = coverage_runs.suite()
    toplevels = {run.toplevel for run in runs}
    assert {path.stem for path in check_sources(RTL)} <= toplevels
    assert len({coverage_runs.label(run) for run in runs}) == len(runs), "two runs of one name"
    text = Path(cover_points.__file__).read_text()
    assert all(f'point("{name}"' in text for name in measure.FUNCTIONAL)
    assert text.count(' point("') == len(measure.FUNCTIONAL)
