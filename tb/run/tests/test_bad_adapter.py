"""A wrong adapter gets one line with the fault and its place, and never a pass.

Most runs are those of make check with a single test, which has tiles of one pixel. make reports
a wrong adapter in the same words.
"""

import shutil

import numpy as np
import pytest

from pymodel.support.errors import InputError
from tb.components.systolic_array_adapter import SystolicArrayAdapter
from tb.run import check, layer
from tb.sim.sources import RTL

SOURCES = [f"{name}.v" for name in ("load_first_array", "load_first_pe", "skew")]
GOOD = f"""
from cocotb.triggers import RisingEdge
from tb.examples.load_first_array import LoadFirstArray

class Mine(LoadFirstArray):
    SOURCES = {SOURCES}
"""


@pytest.fixture
def arguments(tmp_path):
    """Returns a function that writes an adapter and returns the arguments of a run on it."""
    for source in SOURCES:
        shutil.copy(RTL / source, tmp_path)

    def write(text):
        path = tmp_path / "mine.py"
        path.write_text(text)
        return "--dut", path

    return write


@pytest.fixture
def fails(command, arguments, monkeypatch):
    """Returns a function that checks that a run ends with `code` and one line with `words`.

    The function takes the body of the adapter's class Mine.
    """
    monkeypatch.setenv("COCOTB_TEST_FILTER", "tiles_of_one_pixel")

    def run(body, *words, code=1, main=check.main, options=()):
        indented = "".join(f"    {line}\n" for line in body.strip().splitlines())
        found, out, err = command(main, "--quiet", *arguments(GOOD + indented), *options)
        if code == 1:
            line = out.strip().splitlines()[-1]
            assert line.startswith("FAILED: ")
        else:
            line = err.strip().splitlines()[-1]
            assert line.startswith("error: ")
        for word in words:
            assert word in line
        assert found == code

    return run


@pytest.fixture
def layer_fails(fails, monkeypatch, tmp_path):
    """Returns a function that checks that the main job fails with a line and leaves no results."""
    monkeypatch.delenv("COCOTB_TEST_FILTER")
    # The tests above try the tiles of make check, which come first here too.
    monkeypatch.setattr(layer, "check", lambda *_: check.Verdict(None, {}))
    results = tmp_path / "r.json"

    def run(body, *words, code=1):
        options = ("--images", 1, "--results", results)
        fails(body, *words, code=code, main=layer.main, options=options)
        assert not results.exists()

    return run


def test_no_file(refused, tmp_path):
    for path in (tmp_path / "none.py", tmp_path):
        refused(check.main, "--dut", path, words=[f"{path}: not found", "Python file"])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("module pe;", ["does not load: SyntaxError", "line 1"]),
        ("\0\1", ["does not load: SyntaxError"]),
        ("1 / 0", ["does not load: ZeroDivisionError: division by zero"]),
        ("raise ValueError('one\\ntwo')", ["does not load: ValueError: one"]),
        ("import sys; sys.exit(3)", ["does not load: SystemExit: 3"]),
        ("import no_such_module", ["does not load: ModuleNotFoundError", "no_such_module"]),
        ("", ["defines none", "one subclass of ArrayAdapter"]),
        (f"{GOOD}    pass\nclass Other(Mine): pass", ["defines Mine, Other"]),
        (
            "from tb.components.array_adapter import ArrayAdapter\nclass A(ArrayAdapter): pass",
            ["A lacks TOPLEVEL, SOURCES, psums, reset, load, stream"],
        ),
        (f"{GOOD}    def load(self, weights): pass", ["Mine.load", "expected 'async def load'"]),
        (f"{GOOD}    async def psums(self): pass", ["Mine.psums", "without async"]),
        (f"{GOOD}    SOURCES = ()", ["Mine.SOURCES is ()", "list of Verilog files"]),
        (f"{GOOD}    SOURCES = 'a.v'", ["Mine.SOURCES is 'a.v'", "list of Verilog files"]),
        (f"{GOOD}    SOURCES = ['a.v']", ["Mine.SOURCES names ", "a.v, which is not there"]),
        (f"{GOOD}    VARIABLES = 'MODE'", ["Mine.VARIABLES is 'MODE'", "list of names"]),
        (f"{GOOD}    INCLUDES = 'inc'", ["Mine.INCLUDES is 'inc'", "list of folders"]),
        (f"{GOOD}    INCLUDES = ['inc']", ["Mine.INCLUDES names ", "inc, expected a folder"]),
        (f"{GOOD}    INCLUDES = ['mine.py']", ["mine.py, expected a folder"]),
        (f"{GOOD}    DEFINES = ['FAST']", ["Mine.DEFINES is ['FAST']", "expected a dictionary"]),
        (f"{GOOD}    DEFINES = {{'A B': 1}}", ["Mine.DEFINES has 'A B': 1", "name of a macro"]),
        (f"{GOOD}    DEFINES = {{'A': 1.5}}", ["Mine.DEFINES has 'A': 1.5", "text or an integer"]),
    ],
)
def test_what_is_no_adapter(refused, arguments, text, words):
    refused(check.main, *arguments(text), words=["mine.py", *words])


@pytest.mark.parametrize("simulator", ["icarus", "verilator"])
def test_toplevel_is_not_in_the_sources(command, arguments, simulator):
    run = *arguments(f"{GOOD}    TOPLEVEL = 'no_such_module'"), "--sim", simulator, "--images", 1
    code, out, _ = command(layer.main, *run)
    assert code == 1
    assert out.startswith("FAILED: Process ")
    assert "rror: " in out
    assert "no_such_module" in out
    assert out.count("\n") == 1


def test_sources_do_not_compile(command, arguments, tmp_path):
    (tmp_path / "bad.v").write_text("module load_first_array (input wire clk_i);\n  what;\n")
    code, out, _ = command(layer.main, *arguments(f"{GOOD}    SOURCES = ['bad.v']"), "--images", 1)
    assert code == 1
    assert out.startswith("FAILED: Process iverilog terminated")
    assert "bad.v:2: " in out
    assert out.count("\n") == 1


@pytest.mark.verify
def test_an_adapter_that_raises(fails):
    """Whichever method raises, the message names file, line and error."""
    fails("def __init__(self, dut):\n    dut.nothing.value = 0", "mine.py, line 8: AttributeError")
    fails("async def reset(self):\n    1 / 0", "mine.py, line 8: ZeroDivisionError: division by")
    fails("def psums(self):\n    return self.dut.psum.value", "mine.py, line 8: AttributeError")


def test_a_clock_that_is_not_there(fails):
    fails("CLOCK = 'clock'", "mine.py", "AttributeError", "clock")


@pytest.mark.verify
def test_an_adapter_that_waits_for_ever(fails):
    """A run whose adapter waits for a signal that never comes is given up."""
    waits = "async def {}(self, *_):\n    while True: await RisingEdge(self.clock)"
    fails(
        waits.format("stream"),
        "gave up at cycle 1601: no psum for 1600 cycles, 0 of 5 had",
        "`patience`",
    )
    fails(waits.format("reset"), "mine.py: reset() had not returned after ", "expected it to")


@pytest.mark.verify
def test_psums_of_another_size(fails):
    fails(
        "def psums(self):\n    return self.dut.psum_o.value[7:0]",
        "psums() returned 8 bits",
        "expected cols · psum_width = 128",
    )
    fails("def psums(self):\n    return [0] * 7", "psums() returned [0, ", "cols = 8 values")
    fails("def psums(self):\n    return [2**16] * 8", "psums() returned [65536, ", "16 bits")


@pytest.mark.verify
def test_an_array_that_is_too_narrow(layer_fails):
    """Codes or psums of a layer that do not fit the array are refused, not cut off."""
    narrow = "def __init__(self, dut):\n    super().__init__(dut)\n    self.psum_width = 7"
    layer_fails(narrow, "psums are ", "its psum_width 7 holds -64 to 63", code=2)


class Narrow(SystolicArrayAdapter):
    """An adapter without an array."""

    weight_width = 3

    def __init__(self, signed: bool):
        self.act_signed = signed


@pytest.mark.parametrize(
    ("signed", "weights", "activation", "words"),
    [
        (False, [3, -7], 15, "weights are -7 to 3 in this run, its weight_width 3 holds -4 to 3"),
        (False, [3, -4], 16, "activations are 16 to 16 in this run, its act_width 4 holds 0 to 15"),
        (False, [3, -4], -1, "activations are -1 to -1 in this run, its act_width 4 holds 0 to 15"),
        (True, [3, -4], 8, "activations are 8 to 8 in this run, its act_width 4 holds -8 to 7"),
        (True, [3, -4], -9, "activations are -9 to -9 in this run, its act_width 4 holds -8 to 7"),
    ],
)
def test_codes_that_do_not_fit(signed, weights, activation, words):
    array, psums = Narrow(signed), np.array([1])
    with pytest.raises(InputError, match=f"^systolic_array is too narrow: {words}$"):
        array.check_fit(np.array(weights), [np.array([activation])], psums)
    for extreme in array.act_range:
        array.check_fit(np.array([3, -4]), [np.array([extreme])], psums)


def test_sizes_that_are_none(fails):
    fails(
        "async def start(self):\n    self.rows = 0\n    await super().start()",
        "Mine.rows is 0, expected",
        code=2,
    )


@pytest.mark.verify
def test_a_run_that_ends_itself_is_not_a_pass(layer_fails):
    layer_fails("async def reset(self):\n    import cocotb; cocotb.pass_test()", "without results")


@pytest.mark.verify
def test_sources_without_a_timescale_and_with_an_include(command, arguments, tmp_path, monkeypatch):
    """Sources without a timescale and with an include file run; a changed include file is seen."""
    monkeypatch.setenv("COCOTB_TEST_FILTER", "tiles_of_one_pixel")
    run = arguments(
        f"{GOOD}    async def start(self):\n        assert self.rows == 8\n"
        "        await super().start()\n"
    )
    for source in SOURCES:
        text = (RTL / source).read_text().replace("`timescale 1ns / 1ps\n", "")
        (tmp_path / source).write_text(text.replace("parameter ROWS = 8,", '`include "rows.vh"'))
    for rows, code in ((8, 0), (16, 1)):
        (tmp_path / "rows.vh").write_text(f"parameter ROWS = {rows},\n")
        assert command(check.main, *run)[0] == code
