"""What is wrong in activations or weights is named, instead of the results that follow from it."""

from pathlib import Path

import numpy as np
import pytest

from pymodel.support.errors import InputError
from pymodel.tile_files.agreement import Finding, find_reading
from pymodel.tile_files.conventions import Conventions
from pymodel.tile_files.identify_files import read_folder
from pymodel.tile_files.inputs import Geometry
from pymodel.tile_files.tests.plain_tiles import PlainTiles
from pymodel.tile_files.write_folder import FileNames, Written, write_folder

PLAIN = PlainTiles(4, 4)
NINE = [f"weight_itile0_otile0_kij{k}.txt" for k in range(9)]
# The lines of the two output channels that have the most outputs above zero
BUSY = tuple(sorted(4 + np.count_nonzero(PLAIN.outputs, axis=0).argsort()[-2:]))
BITS = {"activation": 4, "weight": 4}


def find(folder: Path) -> Finding:
    """Returns what `find_reading` finds in the folder."""
    return find_reading(read_folder(folder), Geometry(), {})


def lines_of(path: Path) -> list[str]:
    """Returns the lines of a file; the first three are its header."""
    return path.read_text().splitlines()


def exchange(path: Path, one: int, other: int) -> None:
    """Exchanges two lines of a file, counted from 1."""
    lines = lines_of(path)
    lines[one - 1], lines[other - 1] = lines[other - 1], lines[one - 1]
    path.write_text("\n".join(lines) + "\n")


def replace_number(path: Path, line: int, number: int, bits: int, value: int) -> None:
    """Replaces number `number`, from the right and from 0, of a line, counted from 1."""
    lines = lines_of(path)
    word = lines[line - 1]
    end = len(word) - number * bits
    lines[line - 1] = word[: end - bits] + format(value % 2**bits, f"0{bits}b") + word[end:]
    path.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize("results", ["psum", "out", pytest.param("both", marks=pytest.mark.verify)])
@pytest.mark.parametrize(
    ("name", "lines"), [(NINE[5], BUSY), ("activation.txt", (3 + 15, 3 + 16)), ("w", BUSY)]
)
def test_two_lines_that_are_exchanged(tmp_path, results, name, lines):
    left_out = {"psum": ["out"], "out": ["psum"], "both": []}[results]
    joint = name == "w"
    folder = PLAIN.write(tmp_path, without=(*left_out, *(NINE if joint else ["weight.txt"])))
    path = folder / ("weight.txt" if joint else name)
    exchange(path, *lines)
    finding = find(folder)
    (fault,) = finding.faults
    assert fault.startswith(f"{path}: lines {lines[0]} and {lines[1]} are exchanged")


@pytest.mark.parametrize("left_out", ["psum", "nothing"])
def test_two_files_that_are_exchanged(tmp_path, left_out):
    folder = PLAIN.write(tmp_path, without=("weight.txt", left_out))
    two, three = folder / NINE[2], folder / NINE[3]
    text = two.read_text()
    two.write_text(three.read_text())
    three.write_text(text)
    (fault,) = find(folder).faults
    assert fault.startswith(f"{two} and {three.name} are exchanged")


def test_an_exporter_that_writes_minus_one_as_zero(tmp_path):
    """Each −1 in the weights is 0 in the files; the psums say so."""
    folder = PLAIN.write(tmp_path, without=("weight.txt",))
    count = 0
    for k, position in enumerate(PLAIN.weights):
        for output, column in enumerate(position):
            for number, value in enumerate(column):
                if value == -1:
                    replace_number(folder / NINE[k], 4 + output, number, 4, 0)
                    count += 1
    (fault,) = find(folder).faults
    assert count > 20
    assert "is 0, and all psums and outputs agree with -1" in fault
    assert f"; {count} weights are 0 in place of -1" in fault
    assert "no weight is -1: the exporter wrote 0 for -1" in fault


def test_two_weights_in_two_files(tmp_path):
    folder = PLAIN.write(tmp_path, without=("weight.txt",))
    for k in (1, 6):
        right = PLAIN.weights[k][2][3]
        replace_number(folder / NINE[k], 4 + 2, 3, 4, right ^ 1)
    (fault,) = find(folder).faults
    assert fault.startswith(f"{folder / NINE[1]}, line 6: number 5 of 8 is ")
    assert fault.endswith("; 2 weights are wrong")


def tiled(folder: Path, **options) -> tuple[np.ndarray, np.ndarray]:
    """Writes a random layer of 16 to 16 channels, and returns its activations and weights."""
    rng = np.random.default_rng(3)
    codes = rng.integers(0, 16, (16, 4, 4)) * (rng.random((16, 4, 4)) < 0.7)
    weights = rng.integers(-3, 4, (16, 16, 3, 3))
    written = Written(codes.astype(np.int8), weights.astype(np.int8), Geometry(), **options)
    write_folder(folder, written)
    return codes, weights


@pytest.mark.parametrize(
    "results", ["outputs", pytest.param("psums and outputs", marks=pytest.mark.verify)]
)
@pytest.mark.parametrize("what", ["activation", "weight"])
def test_one_wrong_number_of_a_layer_of_several_tiles(tmp_path, what, results):
    names = FileNames(
        activations="activation_ictile{i}.txt",
        weights="weight_octile{o}_ictile{i}_kij{k}.txt",
        outputs="out_octile{o}.txt",
        parts=("split",),
    )
    codes, weights = tiled(tmp_path, names=names)
    if results == "outputs":
        for path in tmp_path.glob("psum*"):
            path.unlink()
    if what == "activation":  # channel 8 + 4 of pixel (2, 1)
        path, line, right = tmp_path / "activation_ictile1.txt", 4 + 3 * 6 + 2, codes[12, 2, 1]
    else:  # from input channel 12 to output channel 9 in the middle of the kernel
        path = tmp_path / "weight_octile1_ictile1_kij4.txt"
        line, right = 4 + 1, weights[9, 12, 1, 1]
    wrong = right ^ 2
    replace_number(path, line, 4, BITS[what], wrong)
    (fault,) = find(tmp_path).faults
    assert fault.startswith(f"{path}, line {line}: number 4 of 8 is {wrong}, and all psums")
    assert f"agree with {right}: " in fault


@pytest.mark.parametrize("windows", ["kij-first", "channel-first"])
def test_one_wrong_number_of_an_output_stationary_set(tmp_path, windows):
    conventions = Conventions(activations="windows", windows=windows)
    names = FileNames(parts=("joint",))
    rng = np.random.default_rng(5)
    codes, weights = rng.integers(0, 16, (8, 4, 4)), rng.integers(-7, 8, (8, 8, 3, 3))
    written = Written(
        codes.astype(np.int8), weights.astype(np.int8), Geometry(), conventions, names
    )
    write_folder(tmp_path, written)
    path = tmp_path / "activation.txt"
    line = 4 + 40
    old = int(lines_of(path)[line - 1][-4:], 2)
    replace_number(path, line, 0, 4, old ^ 8)
    (fault,) = find(tmp_path).faults
    assert fault.startswith(f"{path}, line {line}: number 8 of 8 is {old ^ 8}, and all psums")


@pytest.mark.verify
def test_results_of_another_run_are_no_fault_of_the_inputs(tmp_path):
    """Psums and outputs of another layer agree with weights that are all others."""
    folder = PLAIN.write(tmp_path)
    for name, lines in PlainTiles(4, 4, seed=9).files().items():
        if name.startswith(("psum", "out")):
            (folder / name).write_text("\n".join(lines) + "\n")
    finding = find(folder)
    assert finding.fault is None
    assert finding.decided_by == "no agreement"


def test_a_wrong_psum_is_no_fault_of_the_inputs(tmp_path):
    """With one wrong psum no weights agree, because a weight has part in many psums."""
    folder = PLAIN.write(tmp_path)
    replace_number(folder / "psum_kij3.txt", 4 + 14, 2, 16, 77)
    finding = find(folder)
    assert finding.fault is None
    assert finding.decided_by == "results"


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (FileNames(weights="w.txt"), "w.txt: two files would have this name"),
        (FileNames(joint_weights="out.txt"), "out.txt: two files would have this name"),
    ],
)
def test_no_written_file_replaces_another(tmp_path, names, words):
    codes, weights = np.ones((8, 4, 4), np.int8), np.ones((8, 8, 3, 3), np.int8)
    with pytest.raises(InputError, match=words):
        write_folder(tmp_path / "files", Written(codes, weights, Geometry(), names=names))
    assert not (tmp_path / "files").exists()
