"""The files of a series hold different parts of a layer, all of them written in one way."""

import random
import shutil

import pytest

from pymodel.tile_files.agreement import find_reading
from pymodel.tile_files.identify_files import read_folder
from pymodel.tile_files.inputs import Geometry
from pymodel.tile_files.one_series import series_faults, series_gaps
from pymodel.tile_files.tests.plain_tiles import PlainTiles, word


def judged(folder) -> tuple[list[str], list[str]]:
    """Returns faults and gaps of the series in a folder of tile files."""
    files = read_folder(folder)
    reading = find_reading(files, Geometry(), {}).reading
    return series_faults(reading, files), series_gaps(reading, files)


@pytest.fixture
def folder(tmp_path):
    """Returns a folder with the nine files of psums of a layer."""
    return PlainTiles(4, 4).write(tmp_path / "tiles", header="", without=("psum.txt", "weight_"))


def columns_reversed(path) -> None:
    """Writes the numbers of each line in the reverse order."""
    lines = path.read_text().split()
    turned = ["".join(line[i : i + 16] for i in range(112, -1, -16)) for line in lines]
    path.write_text("\n".join(turned))


def test_a_folder_without_a_fault(folder):
    assert judged(folder) == ([], [])


def test_one_file_that_is_written_in_another_way(folder):
    columns_reversed(folder / "psum_kij3.txt")
    (line,), _ = judged(folder)
    assert line.startswith("psum_kij3.txt agrees with --columns ")
    assert "alone, and 8 of the 9 files of its series with --columns " in line


def test_a_series_in_another_way_is_one(folder):
    for path in folder.glob("psum_kij*.txt"):
        columns_reversed(path)
    assert judged(folder) == ([], [])


def test_a_file_that_agrees_in_both_ways_is_in_neither(folder):
    """Lines that read the same from both ends say nothing about the order."""
    tiles = PlainTiles(4, 4)
    tiles.weights[3] = [tiles.weights[3][0]] * 8
    tiles.psums = [
        [[sum(a * w for a, w in zip(pixel, c, strict=True)) for c in p] for pixel in tiles.padded]
        for p in tiles.weights
    ]
    (folder / "weight.txt").write_text("\n".join(tiles.files()["weight.txt"]))
    for position in range(9):
        lines = tiles.files()[f"psum_kij{position}.txt"]
        (folder / f"psum_kij{position}.txt").write_text("\n".join(lines))
        if position != 3:
            columns_reversed(folder / f"psum_kij{position}.txt")
    (folder / "out.txt").unlink()
    assert judged(folder) == ([], [])


@pytest.mark.parametrize("missing", [0, 4, 8])
def test_a_file_that_is_missing_is_told(folder, missing):
    (folder / f"psum_kij{missing}.txt").unlink()
    _, (line,) = judged(folder)
    assert "1 of 9 parts have no file, the first is kernel position " in line
    if missing:  # without the first, numbers may count from 1
        assert str(divmod(missing, 3)) in line


class WideTiles(PlainTiles):
    """A layer of 8 to 24 channels, whose outputs come in three files of 8."""

    def __init__(self):
        super().__init__(4, 4)
        draw = random.Random(2)
        self.weights = [
            [[draw.randint(-8, 7) for _ in range(8)] for _ in range(24)] for _ in range(9)
        ]

    def sums(self) -> list[list[int]]:
        """Returns the sums, by pixel and output channel."""
        return [
            [
                sum(
                    self.padded[(y + k // 3) * 6 + x + k % 3][i] * self.weights[k][o][i]
                    for k in range(9)
                    for i in range(8)
                )
                for o in range(24)
            ]
            for y in range(4)
            for x in range(4)
        ]

    def write_wide(self, folder) -> None:
        """Writes activations, weights by output tile, and outputs after a ReLU by output tile."""
        folder.mkdir()
        (folder / "activation.txt").write_text("\n".join(word(p, 4) for p in self.padded))
        for tile in range(3):
            channels = slice(8 * tile, 8 * tile + 8)
            lines = [word(c, 4) for p in self.weights for c in p[channels]]
            (folder / f"weight_otile{tile}.txt").write_text("\n".join(lines))
            self.write_outputs(folder / f"out_otile{tile}.txt", channels)

    def write_outputs(self, path, channels: slice, lowest: float = 0) -> None:
        """Writes some output channels, none lower than `lowest`."""
        rows = [[max(s, lowest) for s in pixel[channels]] for pixel in self.sums()]
        path.write_text("\n".join(word(row, 16) for row in rows))


@pytest.fixture
def wide(tmp_path):
    """Returns a layer with three output tiles, and the folder of its files."""
    tiles = WideTiles()
    tiles.write_wide(tmp_path / "wide")
    return tiles, tmp_path / "wide"


def test_output_tiles(wide):
    assert judged(wide[1]) == ([], [])


def test_a_file_that_holds_another_files_part(wide):
    shutil.copy(wide[1] / "out_otile1.txt", wide[1] / "out_otile2.txt")
    faults, gaps = judged(wide[1])
    assert faults == [
        "out_otile2.txt holds what out_otile1.txt holds, channels 8 to 15, expected another part "
        "in each file of a series"
    ]
    assert gaps == [
        "note: out_otile0.txt to out_otile2.txt: 1 of 3 parts have no file, the first is channels "
        "16 to 23"
    ]


def test_one_file_without_its_relu(wide):
    tiles, folder = wide
    tiles.write_outputs(folder / "out_otile2.txt", slice(16, 24), -(2.0**15))
    faults, _ = judged(folder)
    assert faults == [
        "out_otile2.txt agrees with --outputs raw alone, and 2 of the 3 files of its series with "
        "--outputs relu, expected one way for all of them"
    ]


def test_parts_that_are_equal_may_stand_for_one_another(wide):
    """Two tiles of the same weights have the same outputs, whichever the files are read as."""
    tiles, folder = wide
    for position in tiles.weights:
        position[16:24] = position[8:16]
    shutil.rmtree(folder)
    tiles.write_wide(folder)
    assert judged(folder) == ([], [])
