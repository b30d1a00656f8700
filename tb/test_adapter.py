"""What every array must do, driven through its adapter alone; and what every adapter gets told.

make check DUT=my_adapter.py runs it on somebody else's array (tb/check.py)
"""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cocotb
import numpy as np
import pytest
from cocotb.types import LogicArray

from pymodel.files import ROOT
from tb import check as tb_check
from tb.adapter import OWN, SIZES, ArrayAdapter, connect
from tb.check import FILE
from tb.layer import main
from tb.scoreboard import BenchError
from tb.testing import SIMULATORS, check_tiles, extremes, random_generator, random_tiles

SHIPPED = [OWN, ROOT / "tb" / "load_first_array.py", ROOT / "tb" / "examples" / "dot_engine.py"]
GUIDE = ROOT / "docs" / "own-array.md"


async def started(dut) -> ArrayAdapter:
    """The array, after reset."""
    array = connect(Path(os.environ[FILE]), dut)
    await array.start()
    return array


def bounds(array: ArrayAdapter) -> tuple[int, int, int]:
    """Largest activation, smallest and largest weight: the array's, or if psums of these do not
    fit, those of 4-bit codes."""
    act_max, low, high = extremes(array)
    if array.rows * act_max * -low > 2 ** (array.psum_width - 1):
        return min(15, act_max), max(-8, low), min(7, high)
    return act_max, low, high


async def check(array: ArrayAdapter, weights, activations) -> None:
    """Play tiles and compare every psum with NumPy's product."""
    expected = np.concatenate([a @ w for a, w in zip(activations, weights, strict=True)])
    array.check_fit(weights, activations, expected)
    await check_tiles(array, array.play(weights, activations), weights, activations)


@cocotb.test()
async def random_tiles_of_random_lengths(dut):
    """Orientation, signs, lane order, and that no tile disturbs its neighbours."""
    array = await started(dut)
    rng = random_generator()
    lengths = rng.integers(1, 3 * array.cols + 1, 8).tolist()
    await check(array, *random_tiles(array, rng, lengths, bounds(array)))


@cocotb.test()
async def tiles_of_one_pixel(dut):
    """Every activation has weights of its own."""
    array = await started(dut)
    await check(array, *random_tiles(array, random_generator(), [1] * 5, bounds(array)))


@cocotb.test()
async def extreme_psums_are_exact(dut):
    """All rows at the largest product of either sign, tile by tile: −8 · 15 for 4-bit codes."""
    array = await started(dut)
    act_max, low, high = bounds(array)
    weights = np.empty((4, array.rows, array.cols), int)
    for tile, weight in enumerate((low, high, 0, -1)):
        weights[tile] = weight
    pixels = np.full((3, array.rows), act_max)
    pixels[1] = 0
    await check(array, weights, [pixels] * 4)


@cocotb.test()
async def reset_in_the_middle_leaves_nothing_behind(dut):
    """After a reset while tiles are under way, the next ones come out right and nothing else."""
    array = await started(dut)
    rng = random_generator()
    lengths = [2 * array.cols] * 3
    playing = cocotb.start_soon(array.play(*random_tiles(array, rng, lengths, bounds(array))))
    seen = 0
    for _ in range(array.limit(2 * array.cols)):
        await array.clock.rising_edge
        seen += array.psums() is not None
        if seen == array.cols:  # psum vectors, so the middle of a tile
            break
    else:
        raise BenchError(f"only {seen} psum vectors came, expected {array.cols} before the reset")
    playing.cancel()
    await array.reset()
    await check(array, *random_tiles(array, rng, lengths, bounds(array)))


@cocotb.test()
async def what_is_wrong_is_found(dut):
    """One psum vector of many is X, missing, twice there, or wrong in one bit: each fails."""
    array = await started(dut)
    tiles = random_tiles(array, random_generator(), [4, 4], bounds(array))
    right = array.psums
    for fault, words in FAULTS.items():
        array.psums = fault(array.psums)
        with pytest.raises(BenchError, match=words):
            await check(array, *tiles)
        array.psums = right
        await array.reset()
    await check(array, *tiles)


def third(change: Callable) -> Callable:
    """What wraps `psums` so that the third thing that it finds is changed, and nothing else."""

    def wrap(psums: Callable) -> Callable:
        count = 0

        def wrapped():
            nonlocal count
            found = psums()
            count += found is not None
            return change(found) if found is not None and count == 3 else found

        return wrapped

    return wrap


def again(psums: Callable) -> Callable:
    """What wraps `psums` so that the very last of eight vectors comes twice."""
    count, last = 0, None

    def wrapped():
        nonlocal count, last
        found = psums()
        if found is None and last is not None:
            found, last = last, None
        elif found is not None:
            columns = found if isinstance(found, list) else [found]
            count += columns[-1] is not None
            last = found if count == 8 else None
        return found

    return wrapped


def flipped(vector: Any) -> Any:
    """The same with the lowest bit of a column inverted."""
    if not isinstance(vector, list):
        return int(vector) ^ 1
    column = next(c for c, value in enumerate(vector) if value is not None)
    return [*vector[:column], int(vector[column]) ^ 1, *vector[column + 1 :]]


def unknown(vector: Any) -> Any:
    """X in its place."""
    return ["X" for _ in vector] if isinstance(vector, list) else LogicArray("X" * len(vector))


FAULTS = {
    third(unknown): "^X or Z at cycle .*: tile .*, column",
    third(lambda vector: None): "^(missing output: 1 of 8 did not come|mismatch: tile )",
    third(flipped): "^mismatch: tile .*: expected .*, got ",
    again: "^extra output at cycle ",
}


@pytest.mark.parametrize("simulator", SIMULATORS)
@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_array(path, simulator):
    tb_check.check(path, simulator)


def test_check_says_which_test_failed(command, tmp_path):
    """An array of which no psum ever comes is given up, and not waited for."""
    path = tmp_path / "mute.py"
    text = SHIPPED[1].read_text().replace('"../rtl/', f'"{ROOT}/rtl/')
    body = text[text.index("    def psums(") :]
    path.write_text(text.replace(body, "    def psums(self):\n        return None\n"))
    code, out, _ = command(tb_check.main, "--dut", path)
    assert code == 1
    assert re.search(r"reset in the middle leaves nothing behind +FAILED", out)
    assert "FAILED: missing output: " in out
    assert "mute.py IMAGES=1" in out


def test_the_guide_shows_the_adapter_that_is_tested():
    assert f"```python\n{SHIPPED[1].read_text()}```" in GUIDE.read_text()


def test_the_guides_array_without_valid(command, tmp_path):
    """The guide's other adapter runs the layer too."""
    blocks = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    (block,) = (block for block in blocks if "class NoValid" in block)
    path = tmp_path / "no_valid.py"
    path.write_text(block)
    results = tmp_path / "r.json"
    code, _, _ = command(main, "--dut", path, "--images", 1, "--results", results)
    assert code == 0
    assert json.loads(results.read_text())["psums_checked"] == 9 * 16 * 8


def test_a_third_array_takes_less_than_100_lines_of_what_the_guide_tells():
    """All that it imports and overrides is in the guide; so is each attribute of an adapter."""
    lines = SHIPPED[2].read_text().splitlines()
    assert len(lines) < 100
    guide = GUIDE.read_text()
    for line in lines:
        if line.startswith("from tb."):
            assert line in guide
    for name in ("TOPLEVEL", "SOURCES", "PARAMETERS", "CLOCK", *SIZES):
        assert f"`{name}`" in guide


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
