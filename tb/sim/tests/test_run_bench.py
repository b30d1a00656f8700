"""Builds are whole and never stale, runs never share a file, and only a whole run passes."""

import json
import os
import shutil
from pathlib import Path

import pytest

from pymodel.support.errors import InputError
from tb.sim import compilation
from tb.sim.compilation import BUILDS, check_program
from tb.sim.errors import BenchError
from tb.sim.results_xml import first_failure, planned_tests
from tb.sim.run_bench import RESULTS_XML, _options, run_bench
from tb.sim.simulators import simulator_identity, simulator_version, start_values
from tb.sim.sources import RTL

BENCH, TOP = "tb.test_delay", "delay"
VERIFY = pytest.mark.verify


@pytest.fixture(autouse=True)
def _own_builds(monkeypatch, tmp_path):
    """Gives each test an empty folder of builds."""
    monkeypatch.setattr(BUILDS, "folder", tmp_path / "sim")
    known = (simulator_version, simulator_identity)
    for function in known:
        function.cache_clear()
    yield
    for function in known:
        function.cache_clear()


@pytest.fixture
def delay(tmp_path):
    """Returns a function that runs the bench of delay.v on a copy of it, the file `source`."""
    rtl = tmp_path / "rtl"
    rtl.mkdir()
    source = shutil.copy(RTL / "delay.v", rtl)

    def run(folder=None):
        run_bench(BENCH, TOP, simulator="icarus", sources=[Path(source)], folder=folder)

    run.source = Path(source)
    return run


@pytest.fixture
def fake(monkeypatch, tmp_path):
    """Returns a function that puts a script in the place of a program; $REAL is the program."""
    folder = tmp_path / "bin"
    folder.mkdir()

    def make(name, script):
        path = folder / name
        path.write_text(f"#!/bin/sh\nREAL={shutil.which(name)}\n{script}\n")
        path.chmod(0o755)
        monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)

    return make


def builds() -> list[str]:
    return sorted(path.name for path in BUILDS.folder.iterdir())


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("exit 0", "the simulation ended without results"),
        ("exit 3", "Process vvp terminated with error 3"),
        ("kill -SEGV $$", "vvp crashed: it died by SIGSEGV"),
        ('echo "<testsuites" > $COCOTB_RESULTS_FILE', "results are damaged"),
        ('echo "<testsuites/>" > $COCOTB_RESULTS_FILE', "no cocotb test ran"),
    ],
)
def test_a_dead_simulator_is_no_pass(delay, fake, script, words):
    fake("vvp", script)
    with pytest.raises(BenchError, match=words):
        delay()
    assert len(builds()) == 1


@pytest.mark.verify
def test_a_simulator_that_hangs_is_no_pass(delay, fake, monkeypatch):
    """The build is made first, so that the limit holds for the simulator alone."""
    delay()
    monkeypatch.setenv("SIM_TIMEOUT", "1")
    fake("vvp", "exec sleep 1000")
    with pytest.raises(BenchError, match="vvp was stopped: it had said nothing for 1 s"):
        delay()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ('begin $write("a line without an end "); $error("one is seen"); end', ".*one is seen"),
        ("$error;", r".*delay\.v:\d+:"),
        ("assert (data_i[0] !== 1);", r".*delay\.v:\d+:"),
        ("$fatal;", r".*delay\.v:\d+:"),
        ('$display("ERROR: one at %0t", $time);', "ERROR: one at "),
        ('$display("** Failed! data is %b", data_i);', "Failed! data is "),
    ],
)
@pytest.mark.parametrize("simulator", ["icarus", pytest.param("verilator", marks=VERIFY)])
def test_an_error_that_the_design_itself_reports_is_no_pass(delay, simulator, call, words):
    """Icarus goes on after $error, and all tests of the bench pass."""
    check = f"\n  always @(posedge clk_i) if (data_i[0] === 1) {call}\nendmodule"
    delay.source.write_text(delay.source.read_text().replace("\nendmodule", check))
    with pytest.raises(BenchError, match=f"the design itself reports: {words}"):
        run_bench(BENCH, TOP, simulator=simulator, sources=[delay.source])


def test_registers_begin_with_random_values_whatever_the_environment(monkeypatch):
    """A variable that a run of make coverage used to read changes nothing."""
    monkeypatch.setenv("SYSTOLIC_COVERAGE", "left/over")
    arguments = _options("verilator", TOP, start_values(7), False, None)
    assert arguments["plus_args"] == ["+verilator+rand+reset+2", "+verilator+seed+7"]
    assert "--coverage-line" not in arguments["compile_args"]


@pytest.mark.parametrize("simulator", ["icarus", "verilator"])
def test_two_modules_of_one_name_do_not_compile(delay, simulator):
    """Verilator would take the first one, such as a copy that somebody left in the folder."""
    copy = delay.source.with_name("a_copy.v")
    copy.write_text(delay.source.read_text())
    with pytest.raises(BenchError, match=r"MODDUP|already been declared"):
        run_bench(BENCH, TOP, simulator=simulator, sources=[copy, delay.source])


def test_a_simulator_that_crashes_after_its_results_is_no_pass(delay, fake):
    fake("vvp", '"$REAL" "$@"; kill -SEGV $$')
    with pytest.raises(BenchError, match="vvp crashed: it died by SIGSEGV"):
        delay()


@pytest.mark.parametrize(
    ("script", "error", "words"),
    [
        ("exit 1", InputError, "iverilog -V names no version"),
        (
            '[ "$1" = -V ] && exec "$REAL" -V; echo a.v:1: error: no; exit 2',
            BenchError,
            "Process iverilog terminated with error 2: a.v:1: error: no",
        ),
        ('[ "$1" = -V ] && exec "$REAL" -V; exit 0', BenchError, "left nothing to run"),
        ('"$REAL" "$@"; [ "$1" = -V ] || kill -SEGV $$', BenchError, "iverilog crashed"),
        ('"$REAL" "$@"; [ "$1" = -V ] || truncate -s 5000 "$2"', InputError, "is cut short"),
    ],
)
def test_a_compiler_that_fails_leaves_no_build(delay, fake, script, error, words):
    fake("iverilog", script)
    with pytest.raises(error, match=words):
        delay()
    assert builds() == []


def test_what_is_built_is_used_again(delay, fake):
    delay()
    fake("iverilog", '[ "$1" = -V ] && exec "$REAL" -V; exit 1')
    delay()
    assert len(builds()) == 1


def test_a_build_of_another_program_of_the_same_version_does_not_count(delay, fake):
    """A script in PATH that stands in for the compiler makes a build of its own."""
    delay()
    simulator_identity.cache_clear()
    fake("iverilog", 'exec "$REAL" "$@" -DOTHER')
    delay()
    assert len(builds()) == 2


def test_a_build_is_made_anew_if_a_file_changed_that_only_the_compilers_run_named(tmp_path):
    """A module that Verilator found by itself makes the build again when it changes."""
    found, source = tmp_path / "found.v", tmp_path / "top.v"
    found.write_text("module found; endmodule\n")
    source.write_text("module top; endmodule\n")

    def commands(folder):
        made = folder / "program"
        compiling = (
            f"echo '{made}: {source} {found} /usr/include/stdio.h' > x.d; cat {found} > {made}"
        )
        return [["sh", "-c", compiling], ["cat", str(made)]], {"PATH": os.environ["PATH"]}

    def program() -> str:
        made = compilation.compiled("top", "icarus", [source], commands, print)
        return Path(made.commands[-1][1]).read_text()

    assert program() == "module found; endmodule\n"
    assert program() == "module found; endmodule\n"
    assert len(builds()) == 1
    found.write_text("module found; wire changed; endmodule\n")
    assert "changed" in program()
    assert len(builds()) == 1
    (build,) = BUILDS.folder.iterdir()
    assert list(json.loads((build / compilation.ALSO_READ).read_text())) == [str(found)]


def test_a_source_cannot_write_the_results(delay):
    """A module that writes results.xml at the end of the simulation passes nothing."""
    cases = [name.rpartition(".") for name in planned_tests(BENCH)]
    cases = [f"<testcase classname='{one}' name='{name}'/>" for one, _, name in cases]
    forging = f"""
  integer file;
  final begin
    file = $fopen("{RESULTS_XML}", "w");
    $fwrite(file, "<testsuites><testsuite>{"".join(cases)}</testsuite></testsuites>");
    $fclose(file);
  end
endmodule
"""
    text = delay.source.read_text().replace("endmodule", forging)
    delay.source.write_text(text.replace("assign data_o = ", "assign data_o = ~"))
    with pytest.raises(BenchError):
        delay()


@pytest.mark.verify
def test_an_edit_is_built_although_the_time_stamp_stays(delay):
    """An edit of an included file counts, although its name does not end as that of a header."""
    text = delay.source.read_text()
    lines = [line for line in text.splitlines(True) if "<=" in line]
    assert lines
    included = delay.source.with_name("part.txt")
    delay.source.write_text(text.replace(lines[-1], '`include "part.txt"\n'))
    wrong = lines[-1].replace("<=", "<=~", 1).replace("<=~ ", "<=~")
    for part, passes in ((lines[-1], True), (wrong, False), (lines[-1], True)):
        included.write_text(part)
        os.utime(included, (1_700_000_000, 1_700_000_000))
        if passes:
            delay()
        else:
            with pytest.raises(BenchError):
                delay()
    assert len(builds()) == 2


@pytest.mark.verify
def test_an_edit_while_it_is_compiled_is_seen(delay, fake):
    """A source that changes while it is compiled is refused.

    Otherwise the build of the new text would be kept under the hash of the old text.
    """
    fake("iverilog", f'[ "$1" = -V ] || touch {delay.source}; exec "$REAL" "$@"')
    with pytest.raises(InputError, match=r"delay.v: changed while the command ran"):
        delay()
    assert builds() == []


@pytest.mark.verify
def test_two_builds_at_once(delay, monkeypatch):
    """The second run finds the build of the first one already there, and uses it."""
    right = compilation.check_program

    def meanwhile(program):
        monkeypatch.setattr(compilation, "check_program", right)
        delay()  # another run, which is done before this one

    monkeypatch.setattr(compilation, "check_program", meanwhile)
    delay()
    assert compilation.check_program is right
    assert len(builds()) == 1


def test_a_run_leaves_what_it_has_in_its_folder(delay, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    delay(folder)
    assert [path.name for path in folder.iterdir()] == [RESULTS_XML]


def test_a_test_without_a_result_is_no_pass(tmp_path, monkeypatch):
    """Every planned test that the filter leaves must have a result."""
    planned = sorted(planned_tests("tb.test_pe"))
    assert len(planned) > 2
    cases = [
        f'<testcase classname="tb.test_pe" name="{name.rpartition(".")[2]}"/>' for name in planned
    ]
    results = tmp_path / "results.xml"
    results.write_text(f"<t>{''.join(cases)}</t>")
    assert first_failure(results, "tb.test_pe") is None
    results.write_text(f"<t>{''.join(cases[1:])}</t>")
    failure = first_failure(results, "tb.test_pe")
    words = f"1 of {len(planned)} cocotb tests left no result, such as {planned[0]}: "
    assert failure.startswith(words)
    monkeypatch.setenv("COCOTB_TEST_FILTER", planned[1].rpartition(".")[2] + "$")
    assert first_failure(results, "tb.test_pe") is None


@pytest.mark.verify
def test_a_program_that_is_cut_short(delay):
    delay()
    (program,) = BUILDS.folder.rglob("*.vvp")
    check_program(program)
    whole = program.read_bytes()
    for size in (0, 100, len(whole) // 2, len(whole) - 30, len(whole) - 1):
        program.write_bytes(whole[:size])
        with pytest.raises(InputError, match="is cut short; is the disk full"):
            check_program(program)
