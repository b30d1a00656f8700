"""Files are identified by name and contents, also those that hold a part of a layer."""

import re
from pathlib import Path

import numpy as np
import pytest

from pymodel.support.errors import InputError
from pymodel.tile_files.agreement import find_reading
from pymodel.tile_files.identify_files import read_folder
from pymodel.tile_files.inputs import Geometry
from pymodel.tile_files.layer import map_layer
from pymodel.tile_files.tests.plain_tiles import PlainTiles, word
from pymodel.tile_files.write_folder import FileNames, Written, write_folder

PLAIN = PlainTiles(4, 4)


def find(folder: Path, *ignore: str):
    """Returns what `find_reading` finds in the folder."""
    return find_reading(read_folder(folder, ignore), Geometry(), {})


@pytest.mark.parametrize(
    "names",
    [
        ("activation_ictile{i}.txt", "weight_octile{o}_ictile{i}_kij{k}.txt", "out_octile{o}.txt"),
        ("act_i{i}.txt", "w_i{i}_o{o}_kij{k}.txt", "out_o{o}.txt"),
        ("input_ic{i}.txt", "weights_ic{i}_oc{o}_{k}.txt", "output_oc{o}.txt"),
        ("activation_tile{i}.txt", "weight_itile{i}_otile{o}_{k}.txt", "out_tile{o}.txt"),
    ],
)
def test_names_of_tiles(tmp_path, names):
    rng = np.random.default_rng(2)
    codes = rng.integers(0, 16, (16, 4, 4)).astype(np.int8)
    weights = rng.integers(-7, 8, (16, 16, 3, 3)).astype(np.int8)
    of = dict(zip(("activations", "weights", "outputs"), names, strict=True))
    files = FileNames(**of, parts=("split",))
    write_folder(tmp_path, Written(codes, weights, Geometry(), names=files))
    for path in tmp_path.glob("psum*"):
        path.unlink()
    finding = find(tmp_path)
    assert finding.reading.share == 1
    assert not finding.stale
    assert finding.reading.layer.channels == (16, 16)


def channel_files(folder: Path, name: str, vectors: list[list[int]], first: int = 0) -> None:
    """Writes a file of 16-bit words for each channel."""
    for channel, column in enumerate(zip(*vectors, strict=True), first):
        lines = [word([value], 16) for value in column]
        (folder / name.format(c=channel)).write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize(
    ("outputs", "psums", "first"),
    [
        ("final_out_ch{c}.txt", "psum_ch{c}_kij{k}.txt", 0),
        ("out_{c}.txt", "psum_kij{k}_channel{c}.txt", 0),
        ("output_oc{c}.txt", "psum_oc{c}_{k}.txt", 1),
    ],
)
def test_a_file_for_each_channel(tmp_path, outputs, psums, first):
    """Eight files of one channel each are read as one file, and a wrong value is found."""
    folder = PLAIN.write(tmp_path, without=("psum", "out"))
    channel_files(folder, outputs, PLAIN.outputs, first)
    for k, position in enumerate(PLAIN.psums):
        channel_files(folder, psums.replace("{k}", str(k)), position, first)
    finding = find(folder)
    assert finding.reading.share == 1
    assert len(finding.reading.results) == 10
    path = folder / outputs.format(c=3 + first)
    lines = path.read_text().splitlines()
    lines[5] = word([PLAIN.outputs[5][3] ^ 1], 16)
    path.write_text("\n".join(lines) + "\n")
    (wrong,) = [r for r in find(folder).reading.results if r.agreeing < r.counting]
    assert np.argwhere(wrong.reading.values != wrong.expected).tolist() == [[5, 3]]


def test_a_channel_that_is_missing(tmp_path):
    """Seven files of one channel each cannot be joined, and are said to be no use."""
    folder = PLAIN.write(tmp_path, without=("psum", "out"))
    channel_files(folder, "out_ch{c}.txt", PLAIN.outputs)
    (folder / "out_ch4.txt").unlink()
    unusable = read_folder(folder).unusable
    assert len(unusable) == 7
    words = "16 bits in a line, expected 128 or 256, or such a file for each of 8 or 16 channels"
    assert all(fault.endswith(words) for fault in unusable.values())


@pytest.mark.parametrize("final", [True, False])
def test_sums_of_each_core(tmp_path, final):
    """Each core has half of the input channels, and leaves the psums and sums of its half."""
    halves = PLAIN, PlainTiles(4, 4, seed=2)
    total = np.zeros((16, 8), np.int64)
    for core, plain in enumerate(halves):
        files = plain.files()
        (tmp_path / f"activation_core{core}.txt").write_text("\n".join(files["activation.txt"]))
        (tmp_path / f"weight_core{core}.txt").write_text("\n".join(files["weight.txt"]))
        (tmp_path / f"psum_core{core}.txt").write_text("\n".join(files["psum.txt"]))
        padded = np.array(plain.padded).reshape(6, 6, 8).transpose(2, 0, 1).astype(np.int8)
        sums = map_layer(padded, np.array(plain.weights, np.int8)).sums
        total += sums
        text = "\n".join(word(row, 16) for row in sums.tolist())
        (tmp_path / f"out_core{core}.txt").write_text(text)
    if final:
        text = "\n".join(word(row, 16) for row in total.clip(0).tolist())
        (tmp_path / "out.txt").write_text(text)
    finding = find(tmp_path)
    assert finding.reading.share == 1
    assert finding.reading.layer.channels == (8, 16)
    assert not finding.reading.misfits
    kinds = {r.reading.file.name: r.reading.kind for r in finding.reading.results}
    assert kinds["out_core1.txt"] == "sums"


def test_a_name_to_ignore_may_be_a_pattern(tmp_path):
    folder = PLAIN.write(tmp_path)
    left = read_folder(folder, ["psum_kij?.txt", "w*"])
    assert {file.name for file in left.files("psum", "weight")} == {"psum.txt"}
    with pytest.raises(InputError, match=re.escape("no*.txt: not found, expected a file")):
        read_folder(folder, ["no*.txt"])
