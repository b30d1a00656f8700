"""A kept result is found by all that it follows from, and it is whole or missing."""

import ast
import json
import os
import random
import re
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from pymodel.support.errors import InputError
from pymodel.support.files import ROOT
from tb.coverage import runs
from tb.formal import prove
from tb.gates import benches_on_gates
from tb.modules.module_table import Run
from tb.modules.pytest_runs import first_few
from tb.mutation import campaign, drawn_mutants
from tb.run import sweep
from tb.sim import kept_results
from tb.sim.files_read import files_read
from tb.sim.kept_results import Store, code, code_files, digest, files_digest, imported
from tb.sim.result_about import Subject, about, adapter_digest, others
from tb.sim.run_bench import prepare_bench
from tb.sim.simulators import random_seed
from tb.sim.source_notes import source_notes
from tb.sim.sources import RTL, Untouched, check_sources, faulty_rtl, rtl_digest

FOLDERS = ("pymodel", "rtl", "tb", "training")


@pytest.fixture
def kept(tmp_path):
    return Store("some", tmp_path)


def test_values_and_arrays_are_kept_by_their_identity(kept):
    one, two = {"a": 1, "b": [2]}, {"a": 1, "b": [3]}
    kept.save(one, {"found": 7})
    kept.save_arrays(one, {"numbers": np.arange(3)})
    assert kept.load(one) == {"found": 7}
    assert kept.load_arrays(one)["numbers"].tolist() == [0, 1, 2]
    assert kept.load(two) is None
    assert kept.load_arrays(two) is None


@pytest.mark.parametrize("damage", [b"", b"{", b'{"identity": {"a": 2}, "value": 1}', b"PK"])
def test_a_damaged_result_is_as_good_as_none(kept, damage):
    """A result of another identity in its place counts as damaged, too."""
    kept.save({"a": 1}, 1)
    kept.save_arrays({"a": 1}, {"n": np.arange(3)})
    for path in kept.folder.iterdir():
        path.write_bytes(damage)
    assert kept.load({"a": 1}) is None
    assert kept.load_arrays({"a": 1}) is None


def test_a_folder_is_made_once_and_whole(kept):
    """A failure leaves no folder behind."""
    calls = []

    def write(folder: Path) -> None:
        calls.append(1)
        (folder / "file").write_text("whole")
        if len(calls) == 1:
            raise ValueError("full")

    with pytest.raises(ValueError, match="full"):
        kept.make({"a": 1}, "name", write)
    assert not list(kept.folder.iterdir())
    place = kept.make({"a": 1}, "name", write)
    assert kept.make({"a": 1}, "name", write) == place
    assert (len(calls), (place / "file").read_text()) == (2, "whole")


def test_parts_do_not_run_together():
    assert len({digest("a", "bc"), digest("ab", "c"), digest("abc"), digest("abc", "")}) == 4


# For each kind of result: what it is kept with, its modules, and modules that are lists


def _verdict() -> dict:
    target = next(target for target in drawn_mutants.TARGETS if target.module == "pe")
    files = {*campaign._rtl_files("pe"), *campaign.bench_files(target.benches[0])}
    return campaign.Verdicts(fresh=False).identity(target, {}, files)


def _coverage() -> dict:
    return runs.identity(Run("tb.test_core_random", "core", {}))


def _gates() -> dict:
    made = benches_on_gates.Netlist(ROOT / "rtl", 0)
    return benches_on_gates.identity_of(benches_on_gates.DESIGNS[0], made, "tb.test_core")


def _proof() -> dict:
    prove._code.cache_clear()
    (task, *_) = prove.tasks(next(proof for proof in prove.PROOFS if proof.module == "delay"))
    return task.identity


def _shard() -> dict:
    return sweep.software_identity(sweep.SHIPPED, code("tb.run.network", sweep.PROGRAM))


KINDS = {
    "a verdict on a mutant": (
        _verdict,
        ["tb.mutation.campaign", "tb.test_pe"],
        ["tb.mutation.named_faults", "tb.formal.proof_table"],
    ),
    "coverage": (_coverage, ["tb.sim.run_bench", "tb.test_core_random"], []),
    "a bench on gates": (_gates, ["tb.gates.benches_on_gates", "tb.test_core"], []),
    "a proof": (_proof, ["tb.formal.prove"], ["tb.formal.proof_table"]),
    "a shard of a sweep": (_shard, ["tb.run.network", sweep.PROGRAM], []),
}


LOAD = """
import importlib, json, sys
for name in json.loads(sys.argv[1]):
    importlib.import_module(name)
files = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
print(json.dumps([file for file in files if file]))
"""


def loaded(modules: list[str]) -> set[Path]:
    """Returns the files of this project that a new Python process loads with these modules."""
    said = subprocess.check_output(
        [sys.executable, "-c", LOAD, json.dumps(modules)], cwd=ROOT, text=True
    )
    return {
        file
        for file in map(Path, json.loads(said))
        if file.is_relative_to(ROOT) and ".venv" not in file.parts
    }


@pytest.mark.parametrize("kind", first_few(KINDS, 1))
def test_a_change_in_any_module_that_a_result_follows_from_changes_its_key(kind, monkeypatch):
    """A change of a file that Python loads changes the key; one of another file does not.

    All loaded files are among those that make the key; a few of them are changed.
    """
    # The simulator would be asked for its version at each of some thousand keys.
    for module in (campaign, runs, benches_on_gates):
        monkeypatch.setattr(module, "simulator_identity", lambda name: name)
    identity, modules, lists = KINDS[kind]
    files = loaded(modules) - {ROOT / f"{name.replace('.', '/')}.py" for name in lists}
    assert len(files) > 8
    assert files <= code_files(*modules, without=lists)

    before = identity()
    text = Path.read_bytes
    few = random.Random(int(random_seed())).sample(sorted(files), 6)
    for changed in few:
        monkeypatch.setattr(Path, "read_bytes", lambda p, c=changed: text(p) + b"#" * (p == c))
        prove._code.cache_clear()
        assert identity() != before, f"{changed} may change, and an old result counts"
    monkeypatch.setattr(Path, "read_bytes", lambda p: text(p) + b"#" * (p.name == "scaling.py"))
    assert identity() == before, "a module that has no part in it changes the key"


def test_what_is_read_beside_the_code_counts():
    """Verilog that Python code reads counts, such as the host of the core."""
    assert {file.name for file in code_files("tb.run.network")} >= {"core_host.v", "core_host.vlt"}


def test_packages_on_the_way_are_sources():
    """`tb/__init__.py` counts, because it is run before any module of `tb`."""
    assert ROOT / "tb" / "__init__.py" in imported("tb.components.packing")


@pytest.fixture
def reading(tmp_path):
    """Returns the folder of a module that includes a file from elsewhere, by a macro's name."""
    rtl, elsewhere = tmp_path / "rtl", tmp_path / "else where"
    rtl.mkdir()
    elsewhere.mkdir()
    (elsewhere / "sizes.inc").write_text("`define SIZE 4\n")
    (rtl / "unread.vh").write_text("`define UNREAD 1\n")
    (rtl / "top.v").write_text(
        '`define SIZES "../else where/sizes.inc"\n`include `SIZES\n'
        "module top (output [`SIZE-1:0] o);\n  assign o = 0;\nendmodule\n"
    )
    return rtl


@pytest.mark.parametrize("simulator", ["icarus", "verilator"])
def test_what_the_compiler_reads_counts_and_nothing_else(reading, simulator):
    """An included file counts wherever it lies; a header that nobody includes does not."""
    before = rtl_digest(reading, simulator)
    (reading / "unread.vh").write_text("`define UNREAD 2\n")
    assert rtl_digest(reading, simulator) == before
    (reading.parent / "else where" / "sizes.inc").write_text("`define SIZE 5\n")
    assert rtl_digest(reading, simulator) != before


def test_a_source_counts_whatever_its_suffix(reading):
    """What a source includes counts too, if its suffix is not one that Verilog usually has."""
    source = (reading / "top.v").rename(reading / "top.verilog")
    before = files_read("icarus", [source]).files
    assert reading.parent / "else where" / "sizes.inc" in before
    with pytest.raises(InputError, match=r"expected at least one"):
        check_sources(reading)


@pytest.mark.parametrize("name", ["else where/sizes.inc", "sizes\x0c.inc", "sizes\u2028.inc"])
def test_every_name_of_a_file_counts(reading, name):
    """Some characters end a line for Python, and not for a compiler."""
    (reading.parent / name).write_text("`define SIZE 4\n")
    top = reading / "top.v"
    top.write_text(top.read_text().replace("else where/sizes.inc", name))
    before = rtl_digest(reading)
    (reading.parent / name).write_text("`define SIZE 5\n")
    assert rtl_digest(reading) != before


def test_files_elsewhere_of_the_same_name_all_count(tmp_path):
    files = [tmp_path / folder / "part.vh" for folder in ("a", "b")]
    for file in files:
        file.parent.mkdir()
        file.write_text("// one")
    before = files_digest(files)
    for file in files:
        file.write_text("// another")
        assert files_digest(files) != before
        file.write_text("// one")


def test_what_cocotb_defines_chooses_what_is_read(reading):
    (reading / "part.vh").write_text("// one")
    top = reading / "top.v"
    top.write_text(f'`ifdef COCOTB_SIM\n`include "part.vh"\n`endif\n{top.read_text()}')
    before = rtl_digest(reading)
    (reading / "part.vh").write_text("// another")
    assert rtl_digest(reading) != before


def test_a_file_from_the_folder_that_the_compiler_works_in_is_not_known(reading):
    """The compiler may work in another folder when it compiles, and read another file."""
    (ROOT / "build" / "tmp").mkdir(parents=True, exist_ok=True)
    top = reading / "top.v"
    top.write_text(f'`include "../../../tb/examples/dot_engine.v"\n{top.read_text()}')
    assert any("dot_engine.v" in one for one in files_read("icarus", [top]).unknown)


def test_a_result_of_rtl_that_reads_unknown_files_is_about_no_rtl(reading):
    """The file's name is no literal, so that nobody sees whether it changed."""
    top = reading / "top.v"
    known = about("tb.sim.sources", sources=[top])
    assert others(known, {"rtl": rtl_digest(reading)}, ["rtl"]) == []
    reads = 'reg [3:0] m [0:1];\n  initial $readmemh({"numbers", ".hex"}, m);'
    top.write_text(top.read_text().replace("  assign", f"  {reads}\n  assign"))
    for found in (about("tb.sim.sources", sources=[top]), about("tb.sim.sources", rtl=reading)):
        assert others(found, {"rtl": rtl_digest(reading)}, ["rtl"]) == ["other RTL"]


def test_a_systemverilog_source_of_the_folder_counts(reading):
    """A file beside the sources counts, because the simulator looks for modules in that folder."""
    (reading / "more.sv").write_text("module more; endmodule\n")
    before = rtl_digest(reading)
    (reading / "more.sv").write_text("module more; wire a; endmodule\n")
    assert rtl_digest(reading) != before


def test_an_adapter_follows_from_what_it_imports(tmp_path, monkeypatch):
    """The hash changes with each module that the adapter imports, directly or through others.

    These are modules of this project, and modules beside the adapter.
    """
    adapter, beside = tmp_path / "adapter.py", tmp_path / "my_bus.py"
    adapter.write_text("import my_bus\nfrom tb.components.array_adapter import ArrayAdapter\n")
    beside.write_text("A = 1\n")
    package = tmp_path / "parts" / "more.py"
    package.parent.mkdir()
    package.write_text("B = 1\n")
    beside.write_text("from parts import more\nA = 1\n")
    before = adapter_digest(adapter)
    assert adapter_digest(adapter) == before
    package.write_text("B = 2\n")
    assert adapter_digest(adapter) != before
    package.write_text("B = 1\n")
    assert adapter_digest(adapter) == before
    beside.write_text("A = 2\n")
    assert adapter_digest(adapter) != before
    beside.write_text("A = 1\n")
    text = Path.read_bytes
    changed = ROOT / "tb" / "components" / "array_adapter.py"
    monkeypatch.setattr(Path, "read_bytes", lambda path: text(path) + b"#" * (path == changed))
    assert adapter_digest(adapter) != before
    own = ROOT / "tb" / "components" / "systolic_array_adapter.py"
    schedule = ROOT / "tb" / "components" / "array_schedule.py"
    # make names this project's adapter by a path from the root.
    assert adapter_digest(own.relative_to(Path.cwd())) == adapter_digest(own)
    before = adapter_digest(own)
    monkeypatch.setattr(Path, "read_bytes", lambda path: text(path) + b"#" * (path == schedule))
    assert adapter_digest(own) != before


def test_a_build_follows_from_what_the_compiler_reads(reading):
    """The included file of another folder counts for compiled simulations too."""
    sources = check_sources(reading)

    def build():
        label = reading.parent.name
        simulation = prepare_bench("tb.test_pe", "top", sources, {}, label)
        return simulation.commands[-1]

    before = build()
    assert build() == before
    (reading.parent / "else where" / "sizes.inc").write_text("`define SIZE 5\n")
    assert build() != before


@pytest.mark.parametrize(
    ("call", "unknown"),
    [
        ('$readmemh("{file}", m)', ()),
        ('$readmemb ( "{file}", m)', ()),
        ('$readmemh("numbers.hex", m)', ("$readmemh",)),
        ("$readmemb(NAME, m)", ("$readmemb",)),
        ('$display("%d", $fopen("{file}", "r"))', ("$fopen",)),
        ("`READ(NAME, m)", ("$readmemh",)),
    ],
)
def test_a_file_that_is_read_at_run_time_counts_or_is_unknown(tmp_path, call, unknown):
    """A literal absolute path counts; with any other no result of a later run may count."""
    rtl, numbers = tmp_path / "rtl", tmp_path / "numbers.hex"
    rtl.mkdir()
    numbers.write_text("1\n2\n")
    (rtl / "top.v").write_text(
        "`define READ $readmemh\nmodule top;\n"
        '  parameter NAME = "numbers.hex";\n  reg [3:0] m [0:1];\n'
        f"  initial begin {call.format(file=numbers)}; end\nendmodule\n"
    )
    assert files_read("icarus", check_sources(rtl)).unknown == unknown
    before = rtl_digest(rtl)
    numbers.write_text("1\n3\n")
    assert (rtl_digest(rtl) != before) == (unknown == ())


def test_one_thread_parses_at_a_time(monkeypatch):
    """Python 3.11 ends with a SystemError where two threads parse at once."""
    parse, together, met = ast.parse, threading.Barrier(2), []

    def waiting_parse(*arguments, **options):
        with suppress(threading.BrokenBarrierError):
            together.wait(0.05)
            met.append(1)  # another thread parses now
        return parse(*arguments, **options)

    monkeypatch.setattr(kept_results.ast, "parse", waiting_parse)
    names = ["pymodel.support.errors", "pymodel.support.files"]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(kept_results.imported.__wrapped__, names))
    assert not met


@pytest.mark.parametrize("end", ["kill -SEGV $$", "sleep 60"])
def test_a_preprocessor_that_dies_or_hangs(tmp_path, monkeypatch, end):
    """The result holds the sources and says that others may be read; the next call asks again."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "iverilog").write_text(f"#!/bin/sh\n{end}\n")
    (programs / "iverilog").chmod(0o755)
    (tmp_path / "top.v").write_text("module top; endmodule\n")
    sources = [tmp_path / "top.v"]
    with monkeypatch.context() as patch:
        patch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
        patch.setenv("SIM_TIMEOUT", "1")
        read = files_read("icarus", sources)
    assert read.files == tuple(sources)
    assert "iverilog" in read.unknown[0]
    assert files_read("icarus", sources).unknown == ()


def test_what_changes_while_a_command_runs_is_refused(tmp_path):
    """Results would be about neither version of the RTL, of the adapter or of the checkpoint."""
    rtl = shutil.copytree(RTL, tmp_path / "rtl")
    files = {"checkpoint": tmp_path / "c.bin", "adapter": tmp_path / "adapter.py"}
    for file in files.values():
        file.write_text("x = 1\n")
    subject = Subject("tb.sim.sources", rtl=rtl, **files)
    assert subject.unchanged() == about("tb.sim.sources", rtl=rtl, **files)
    for file, words in (
        (rtl / "pe.v", "other RTL"),
        (files["checkpoint"], "another checkpoint"),
        (files["adapter"], "another adapter"),
    ):
        before = file.read_text()
        file.write_text(before + "\n")
        with pytest.raises(InputError, match=f"there is {words} than when the command began"):
            subject.unchanged()
        file.write_text(before)


def test_a_variable_that_the_adapter_reads_is_part_of_the_adapter(tmp_path):
    """A result of one mode of an array is none of another mode."""
    adapter = tmp_path / "adapter.py"
    adapter.write_text("x = 1\n")
    modes = ({}, {"MODE": "2bit"}, {"MODE": "4bit"}, {"DATAFLOW": "os", "MODE": "4bit"})
    found = [about(adapter=adapter, rtl=None, variables=mode)["adapter"] for mode in modes]
    assert len(set(found)) == 4
    assert about(adapter=adapter, rtl=None)["adapter"] == found[0]


@pytest.mark.parametrize("value", ["'bz", "8'hzz", "1'bz", "{2{1'bZ}}"])
def test_a_source_that_drives_z_is_named_where_verilator_runs_it(value, tmp_path, capsys):
    """Verilator has two states, so it shows neither Z nor what Z does."""
    (tmp_path / "top.v").write_text(
        f"module top(output [7:0] o);\n  assign o = {value};\nendmodule\n"
    )
    for simulator, notes in (("icarus", 0), ("verilator", 1)):
        Subject("tb.sim.sources", sources=[tmp_path / "top.v"], simulator=simulator)
        assert capsys.readouterr().out.count("note: top.v drives Z, which Verilator takes") == notes


def test_no_source_of_ours_drives_z():
    assert source_notes([*RTL.glob("*.v")], "verilator", []) == []


def test_a_macro_of_the_adapter_that_chooses_what_is_compiled_is_named(tmp_path):
    """A macro whose value is used is no choice, and neither is one that the sources define."""
    text = "`ifdef SIM\n`endif\n`define OWN\n`ifdef OWN\n`endif\nmodule top; wire [`BITS:0] w;\n"
    (tmp_path / "top.v").write_text(text + "endmodule\n")
    (found,) = source_notes([tmp_path / "top.v"], "icarus", ["-DSIM", "-DBITS=3", "-DCOCOTB_SIM=1"])
    assert found.startswith("note: top.v depends on SIM of DEFINES: it is this hardware only if")


def test_two_headers_of_one_name_are_refused(tmp_path):
    """A simulator takes the first, and synthesis perhaps the one beside the source."""
    for folder, value in (("a", 1), ("b", 2)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "sizes.vh").write_text(f"`define SIZE {value}\n")
        source = tmp_path / folder / f"{folder}.v"
        source.write_text(f'`include "sizes.vh"\nmodule {folder}; endmodule\n')
    sources = [tmp_path / "a" / "a.v", tmp_path / "b" / "b.v"]
    with pytest.raises(InputError, match=r"b/sizes\.vh have one name and are not the same"):
        Subject("tb.sim.sources", sources=sources)
    shutil.copy(tmp_path / "a" / "sizes.vh", tmp_path / "b")
    Subject("tb.sim.sources", sources=sources)
    # A source is given by its path, so that no other file is taken for it.
    (tmp_path / "b" / "a.v").write_text("module other; endmodule\n")
    Subject("tb.sim.sources", sources=sources)


def test_an_adapter_or_checkpoint_that_changes_and_changes_back_is_refused(tmp_path):
    files = tmp_path / "adapter.py", tmp_path / "model.safetensors"
    for file in files:
        file.write_text("x = 1\n")
    for file in files:
        subject = Subject("tb.sim.sources", adapter=files[0], checkpoint=files[1])
        file.write_text("x = 2\n")
        file.write_text("x = 1\n")
        with pytest.raises(InputError, match=f"{file.name}: changed while the command ran"):
            subject.unchanged()


@pytest.mark.parametrize("way", ["written", "replaced", "linked"])
def test_rtl_that_changes_and_changes_back_is_refused(way, tmp_path):
    """What was simulated in between may have been the other version."""
    rtl, file = shutil.copytree(RTL, tmp_path / "rtl"), tmp_path / "rtl" / "pe.v"
    text = file.read_text()
    if way == "linked":
        for name in ("one.v", "two.v"):
            (tmp_path / name).write_text(text)
        file.unlink()
        file.symlink_to(tmp_path / "one.v")
    subject, untouched = Subject("tb.sim.sources", rtl=rtl), Untouched.of(rtl)
    subject.unchanged()
    if way == "linked":
        for name in ("two.v", "one.v"):
            file.unlink()
            file.symlink_to(tmp_path / name)
    elif way == "replaced":
        (tmp_path / "new.v").write_text(text)
        (tmp_path / "new.v").replace(file)
    else:
        for version in (text + "\n", text):
            file.write_text(version)
    for check in (subject.unchanged, untouched.check):
        with pytest.raises(InputError, match=r"pe\.v: changed while the command ran"):
            check()


def test_every_command_finds_what_it_is_about_before_it_begins():
    """Only what was found at the beginning, and holds at the end, stands beside results."""
    writers = {
        path: text
        for path in sorted((ROOT / "tb").rglob("*.py"))
        if "tests" not in path.parts
        and re.search(r"import .*\b(write|publish)_results\b", text := path.read_text())
    }
    assert len(writers) > 12
    page = ROOT / "tb" / "report" / "report_page.py"
    writers[page] = page.read_text()
    for path, text in writers.items():
        assert "subject.unchanged()" in text, path
        assert not re.search(r"\babout\(", text), path


@pytest.mark.parametrize(
    "condition",
    [
        "`ifdef COCOTB_SIM",
        "`ifndef VERILATOR",
        "`elsif  __ICARUS__",
        "`ifdef SYNTHESIS",
        "`ifndef YOSYS",
        "`ifdef FORMAL",
        "`ifdef ANY // synthesis translate_off",
    ],
)
def test_a_source_that_asks_for_a_simulator_is_named(condition, tmp_path, capsys):
    """Its other branch is what synthesis takes, and nothing here has simulated that."""
    rtl = shutil.copytree(RTL, tmp_path / "rtl")
    Subject("tb.sim.sources", rtl=rtl)
    assert "note: " not in capsys.readouterr().out
    with (rtl / "pe.v").open("a") as file:
        file.write(f"`ifdef OTHER\n{condition}\n`endif\n`endif\n")
    Subject("tb.sim.sources", rtl=rtl)
    macro = condition.split()[-1]
    assert f"note: pe.v depends on {macro}, which simulation, proofs" in capsys.readouterr().out


def test_results_of_rtl_that_reads_unknown_files_count_for_no_later_run(tmp_path, kept, capsys):
    """The identity of such a run is its own, and the shard's arrays are gone after the run."""
    rtl = faulty_rtl(tmp_path, "pe.v", ("reg signed [WEIGHT_WIDTH-1:0] active;", READS))
    one, two = (sweep.kept_for_nothing("icarus", rtl) for _ in range(2))
    assert one != two
    assert "($readmemh), so no result is kept" in capsys.readouterr().out
    assert sweep.kept_for_nothing("icarus", ROOT / "rtl") == {}
    kept.save_arrays(one, {"n": np.arange(3)})
    kept.forget_arrays(one)
    assert kept.load_arrays(one) is None


READS = """
  reg signed [WEIGHT_WIDTH-1:0] active;
  reg [3:0] from_file [0:1];
  initial $readmemh("numbers.hex", from_file);
"""
