"""Every shipped array passes the checks through its adapter, and docs/own-array.md is right.

make check DUT=my_adapter.py runs the same bench on another array (tb/run/check.py).
"""

import json
import re
from pathlib import Path

import pytest

from pymodel.support.files import ROOT
from tb.components.array_adapter import OWN, SIZES, adapter_class
from tb.modules.module_table import SIMULATORS
from tb.run import check as tb_check
from tb.run.layer import main

SHIPPED = [
    OWN,
    ROOT / "tb" / "examples" / "load_first_array.py",
    ROOT / "tb" / "examples" / "dot_engine.py",
]
GUIDE = ROOT / "docs" / "own-array.md"


@pytest.mark.parametrize("simulator", SIMULATORS)
@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_array(path, simulator):
    tb_check.check(path, simulator)


def test_check_says_which_test_failed(command, tmp_path):
    """An array that never gives a psum fails, and the tests that failed are named."""
    path = tmp_path / "mute.py"
    text = SHIPPED[1].read_text().replace('"../../rtl/', f'"{ROOT}/rtl/')
    body = text[text.index("    def psums(") :]
    path.write_text(text.replace(body, "    def psums(self):\n        return None\n"))
    code, out, _ = command(tb_check.main, "--dut", path)
    assert code == 1
    assert re.search(r"reset in the middle leaves nothing behind +FAILED", out)
    assert "FAILED: missing output: " in out
    assert "mute.py IMAGES=1" in out


def test_the_guide_shows_the_adapter_that_is_tested():
    assert f"```python\n{SHIPPED[1].read_text()}```" in GUIDE.read_text()


@pytest.mark.verify
def test_the_guides_array_without_valid(command, tmp_path):
    """The guide's adapter of an array without a valid output runs the layer too."""
    blocks = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    (block,) = (block for block in blocks if "class NoValid" in block)
    path = tmp_path / "no_valid.py"
    path.write_text(block)
    results = tmp_path / "r.json"
    code, _, _ = command(main, "--dut", path, "--images", 1, "--results", results)
    assert code == 0
    assert json.loads(results.read_text())["psums_checked"] == 9 * 16 * 8


def test_a_third_array_takes_less_than_100_lines_of_what_the_guide_tells():
    """The guide has every import of the third adapter, and every attribute of an adapter."""
    lines = SHIPPED[2].read_text().splitlines()
    assert len(lines) < 100
    guide = GUIDE.read_text()
    for line in lines:
        if line.startswith("from tb."):
            assert line in guide
    for name in ("TOPLEVEL", "SOURCES", "PARAMETERS", "CLOCK", *SIZES):
        assert f"`{name}`" in guide


@pytest.mark.verify
@pytest.mark.parametrize("path", SHIPPED[1:], ids=lambda path: path.stem)
def test_layer_on_another_array(path, command, tmp_path):
    """The trained layer, its table and its results; the table counts the PEs of that array."""
    results = tmp_path / "r.json"
    arguments = "--dut", path, "--images", 2, "--results", results, "--sim", SIMULATORS[0]
    code, out, _ = command(main, *arguments)
    assert code == 0
    result = json.loads(results.read_text())
    rows, cols = {"load_first_array": (8, 8), "dot_engine": (16, 4)}[path.stem]
    assert (result["array"], result["rows"], result["cols"]) == (path.stem, rows, cols)
    assert result["psums_checked"] == 2 * 9 * 16 * 8
    assert result["psum_mismatches"] == 0
    assert f"{path.stem}, {rows} × {cols}" in out
    assert f" of {rows * cols}\n" in re.sub(" +\n", "\n", out)


def test_links_of_the_guide():
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", GUIDE.read_text())
    assert len(links) >= 5
    for link in links:
        assert (GUIDE.parent / link).exists(), link


def test_an_adapter_by_the_old_guide(command, tmp_path):
    """An adapter of version 0.1 runs, though its imports and relative sources are old paths."""
    (tmp_path / "rtl").symlink_to(ROOT / "rtl")
    path = tmp_path / "mine" / "old_adapter.py"
    path.parent.mkdir()
    path.write_text(Path(__file__).with_name("old_adapter.py").read_text())
    assert "from tb.adapter import" in path.read_text()
    code, out, _ = command(tb_check.main, "--dut", path)
    assert code == 0, out


@pytest.mark.parametrize("name", ["array.py", "load_first_array.py"])
def test_an_adapter_of_ours_by_its_old_path(name, capsys):
    assert adapter_class(ROOT / "tb" / name) is not None
    assert capsys.readouterr().err.startswith(f"note: tb/{name} lives in tb/")
