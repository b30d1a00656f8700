"""Folders as people have them are read under the reading that agrees, and faults are named."""

import re
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from pymodel.support.errors import InputError
from pymodel.tile_files.agreement import find_reading, listed
from pymodel.tile_files.identify_files import read_folder
from pymodel.tile_files.inputs import Geometry
from pymodel.tile_files.layer import map_layer
from pymodel.tile_files.tests.plain_tiles import PlainTiles, word

PLAIN = PlainTiles(4, 4)
# The output channel with the most outputs above zero.
BUSY = int(np.count_nonzero(PLAIN.outputs, axis=0).argmax())
NINE = [f"weight_itile0_otile0_kij{k}.txt" for k in range(9)]


def find(folder: Path, *ignore: str, height: int | None = None, **fixed: str):
    """Returns what `find_reading` finds in the folder."""
    return find_reading(read_folder(folder, ignore), Geometry(height=height), fixed)


def is_plain(finding, plain: PlainTiles = PLAIN) -> bool:
    """Returns whether the reading has the activations, weights and sums of the plain loops."""
    layer = finding.reading.layer
    outputs = np.array(plain.outputs)
    return (
        np.array_equal(layer.streams[0].T, plain.padded)
        and np.array_equal(layer.weights, plain.weights)
        and np.array_equal(layer.psums(), plain.psums)
        and np.array_equal(layer.add_up(layer.psums()), layer.sums)
        and np.array_equal(layer.sums.clip(0), outputs)
    )


@pytest.fixture
def folder(tmp_path):
    """Returns a folder that holds every file of a 4 × 4 map, with the usual header."""
    return PLAIN.write(tmp_path / "tiles")


def change(path: Path, line: int, edit) -> None:
    """Changes one line of the file, counted from 1."""
    lines = path.read_text().splitlines()
    lines[line - 1] = edit(lines[line - 1])
    path.write_text("\n".join(lines) + "\n")


def flip(path: Path, line: int, bit: int = -1) -> None:
    """Inverts one bit of a line; bit −1 is the lowest of number 0."""

    def edit(text: str) -> str:
        at = bit % len(text)
        return text[:at] + "10"[int(text[at])] + text[at + 1 :]

    change(path, line, edit)


@pytest.mark.parametrize(
    ("height", "width", "told"),
    [(4, 4, None), (1, 1, None), (16, 16, None), (2, 5, 2), (5, 2, 5), (1, 10, 1)],
)
def test_any_map(tmp_path, height, width, told):
    plain = PlainTiles(height, width)
    finding = find(plain.write(tmp_path), height=told)
    assert is_plain(finding, plain)
    assert finding.reading.share == 1
    assert finding.decided_by == "results"
    assert len(finding.reading.results) == 11


@pytest.mark.parametrize(
    "without",
    [("weight.txt",), tuple(NINE), ("psum.txt",), ("psum_",), ("psum",), ("out",), ("psum", "out")],
)
def test_each_kind_of_file_on_its_own(tmp_path, without):
    finding = find(PLAIN.write(tmp_path, without=without))
    assert is_plain(finding)
    assert not finding.stale
    assert not finding.faults
    assert finding.decided_by == ("nothing" if len(without) == 2 else "results")


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize(
    "name",
    [
        "weight_itile0_otile0_kij{}.txt",
        "weight_kij{}.txt",
        "weight_{}.txt",
        "weight{}.txt",
        "w{}.txt",
        "k{}.txt",
        "vgg16_quant_weight_kij{}.txt",
        "resnet20_w{}.txt",
        "weights/{}.txt",
    ],
)
def test_names_of_weights(tmp_path, name, first):
    folder = PLAIN.write(tmp_path, without=("weight.txt",))
    for k, old in reversed(list(enumerate(NINE))):
        new = folder / name.format(k + first)
        new.parent.mkdir(exist_ok=True)
        (folder / old).rename(new)
    assert is_plain(find(folder))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("activation.txt", "activation_tile0.txt"),
        ("activation.txt", "act_t.txt"),
        ("activation.txt", "act.txt"),
        ("activation.txt", "vgg_input.txt"),
        ("activation.txt", "inputs/x.txt"),
        ("activation.txt", "vgg_k3_activation.txt"),
        ("activation.txt", "conv_filter_act.txt"),
        ("activation.txt", "resnet20_w4a4_activation_kij0.txt"),
        ("activation.txt", "data.txt"),
        ("out.txt", "output.txt"),
        ("out.txt", "out_relu.txt"),
        ("out.txt", "golden/relu.txt"),
        ("psum.txt", "psum_all.txt"),
    ],
)
def test_names_of_other_files(folder, old, new):
    (folder / new).parent.mkdir(exist_ok=True)
    (folder / old).rename(folder / new)
    finding = find(folder)
    assert is_plain(finding)
    assert finding.reading.share == 1
    names = [f.name for f in finding.reading.activations.files]
    names += [r.reading.file.name for r in finding.reading.results]
    assert new in names


def test_psums_from_one(folder):
    for k in range(8, -1, -1):
        (folder / f"psum_kij{k}.txt").rename(folder / f"net_{k + 1}_psum.txt")
    finding = find(folder)
    assert finding.reading.share == 1
    assert [r.reading.position for r in finding.reading.results[1:10]] != list(range(1, 10))


def test_files_that_have_no_role_are_listed(folder):
    (folder / "notes.txt").write_text("to do\n")
    (folder / "tb.v").write_text("1010\n")
    (folder / "a.out").write_text("1010\n")
    (folder / "result.txt").write_text("All tests passed\n")
    (folder / "weight_old.txt").write_text("")
    (folder / "input_instr.txt").write_text("0" * 34 + "\n")
    (folder / "out.txt~").write_text("1010\n")
    (folder / "sub").mkdir()
    (folder / "sub" / "image.txt").write_text("3\n5\n")
    files = read_folder(folder)
    assert files.unused == [
        "a.out",
        "input_instr.txt",
        "notes.txt",
        "out.txt~",
        "result.txt",
        "sub/image.txt",
        "tb.v",
        "weight_old.txt",
    ]
    assert not files.unusable
    assert is_plain(find(folder))


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("out_relu.txt", "", "no data"),
        ("out.txt", "0101\n", "4 bits, expected 128 or 256"),
        ("psum_kij3.txt", "x\n", "no data"),
        ("psum_4.txt", "xxxx\n", "no data"),
        ("weight.txt", 31 * "0" + "x\n" + 32 * "1" + "\n", "line 1: character 32"),
    ],
)
def test_a_file_that_cannot_be_used_blocks_nothing(folder, name, text, words):
    (folder / name).write_text(text)
    files = read_folder(folder)
    assert list(files.unusable) == [name]
    assert words in files.unusable[name]
    assert str(folder / name) in files.unusable[name]
    assert is_plain(find(folder))
    assert read_folder(folder, [name]).unusable == {}


def test_a_result_of_a_wrong_length_is_a_misfit(folder):
    lines = (folder / "out.txt").read_text().splitlines()
    (folder / "out.txt").write_text("\n".join(lines[:-1]) + "\n")
    finding = find(folder)
    assert is_plain(finding)
    assert [file.name for file in finding.reading.misfits] == ["out.txt"]


def test_psum_txt_with_finished_sums(folder):
    """In some projects psum.txt holds the sums of the outputs before ReLU."""
    layer = find(folder).reading.layer
    lines = "".join(f"{word(row, 16)}\n" for row in layer.sums.tolist())
    (folder / "psum.txt").write_text(lines)
    finding = find(folder)
    assert finding.reading.share == 1
    assert [
        r.reading.kind for r in finding.reading.results if r.reading.file.name == "psum.txt"
    ] == ["sums"]


def test_a_stale_joint_file(folder):
    """A weight.txt of another run lies beside nine good files."""
    other = PlainTiles(4, 4, seed=2).files()
    (folder / "weight.txt").write_text("\n".join(other["weight.txt"]) + "\n")
    (folder / "activation_tile0.txt").write_text("\n".join(other["activation.txt"]) + "\n")
    finding = find(folder)
    assert is_plain(finding)
    assert finding.stale == ("activation_tile0.txt", "weight.txt")
    assert not finding.faults


def test_a_stale_file_of_eight_lines(folder):
    lines = (folder / NINE[3]).read_text()
    (folder / "weight.txt").write_text(lines)
    finding = find(folder)
    assert is_plain(finding)
    assert finding.stale == ("weight.txt",)


def test_a_copy_is_not_stale(tmp_path):
    """Of two tiles that hold the same, one is the layer's, and the other is named as the same."""
    folder = PLAIN.write(tmp_path)
    first = (folder / "activation.txt").rename(folder / "activation_tile0.txt")
    (folder / "activation_tile1.txt").write_text(first.read_text())
    finding = find(folder)
    assert is_plain(finding)
    assert (finding.stale, finding.faults) == ((), ())
    assert "activation_tile1.txt" in finding.same


def test_stale_files_without_results_are_refused(tmp_path):
    folder = PLAIN.write(tmp_path, without=("psum", "out"))
    flip(folder / NINE[2], 6)
    words = (
        rf"weight.txt, line 22 and .*{NINE[2]}, line 6 differ, .*--ignore \S+kij0.txt or "
        r"--ignore weight.txt"
    )
    with pytest.raises(InputError, match=words):
        find(folder)
    assert find(folder, *NINE).reading.weights.series.names == ["weight.txt"]
    other = PlainTiles(4, 4, seed=2).files()["activation.txt"]
    (folder / "activation_tile0.txt").write_text("\n".join(other) + "\n")
    with pytest.raises(InputError, match=r"activation.*--ignore activation"):
        find(folder, "weight.txt")


def test_a_fault_in_one_of_two_files_with_the_same_weights(folder):
    flip(folder / "weight.txt", 22)
    finding = find(folder)
    assert is_plain(finding)
    right = f"{folder}/{NINE[2]}, line 6"
    (fault,) = finding.faults
    assert fault.startswith(f"{folder}/weight.txt, line 22: number 8 of 8 is ")
    assert right in fault


@pytest.mark.parametrize("results", [("psum", "out"), ("psum",), ("out",)])
@pytest.mark.parametrize(
    ("name", "line", "number"),
    [("activation.txt", 3 + 15, 2), (NINE[4], 4 + BUSY, 1), ("w", 4 + BUSY, 1)],
)
def test_one_wrong_input_is_named_at_its_place(tmp_path, results, name, line, number):
    """One wrong weight or activation changes many sums; the file and line are named instead."""
    joint = name == "w"
    without = [n for n in ("psum", "out") if n not in results]
    without += NINE if joint else ["weight.txt"]
    folder = PLAIN.write(tmp_path, without=tuple(without))
    path = folder / ("weight.txt" if joint else name)
    flip(path, line, bit=-1 - 4 * number)
    finding = find(folder)
    fault = finding.fault
    assert fault, finding.reading.share
    assert fault.text() in finding.faults
    at = (fault.file.words.path, fault.file.words.lines[fault.word], fault.number)
    assert at == (path, line, number)
    assert abs(fault.found - fault.expected) == 1


@pytest.mark.parametrize("name", ["psum.txt", "psum_kij7.txt", "out.txt"])
def test_one_wrong_result_is_its_own_fault(folder, name):
    flip(folder / name, 3 + 9)
    finding = find(folder)
    assert is_plain(finding)
    assert finding.fault is None
    (wrong,) = [r for r in finding.reading.results if r.agreeing < r.counting]
    assert wrong.reading.file.name == name
    assert np.argwhere(wrong.reading.values != wrong.expected).tolist() == [[8, 0]]


@pytest.mark.parametrize("edit", [lambda w: "1" + w, lambda w: w[1:], lambda w: "x" + w[1:]])
def test_a_malformed_result_is_one_word(folder, edit):
    """A known exporter writes 17 bits for a float of −1e-7."""
    change(folder / "psum.txt", 10, edit)
    finding = find(folder)
    assert finding.reading.share == 1
    (words,) = [
        r.reading.file.words for r in finding.reading.results if r.reading.file.words.malformed
    ]
    assert words.first_fault().startswith(f"{folder}/psum.txt, line 10: ")


def test_outputs_of_another_run(tmp_path):
    """Where no reading agrees, the usual one is taken, and the nearest are named."""
    folder = PLAIN.write(tmp_path, without=("psum",))
    other = PlainTiles(4, 4, seed=3).files()["out.txt"]
    (folder / "out.txt").write_text("\n".join(other) + "\n")
    finding = find(folder)
    assert finding.decided_by == "no agreement"
    assert is_plain(finding)
    assert len(finding.nearest) == 3
    assert all(reading.share < 0.5 for reading in finding.nearest)


def test_zeros_decide_nothing(tmp_path):
    """Outputs that are zero on both sides are no agreement."""
    plain = PlainTiles(4, 4)
    plain.weights = [[[-1] * 8] * 8] * 9
    plain.outputs = [[0] * 8] * 16
    folder = plain.write(tmp_path, without=("psum",))
    assert find(folder).decided_by == "nothing"


def test_readings_that_agree_equally_and_differ_are_refused(tmp_path):
    """One file of outputs is of one file of weights, the other one of another."""
    folder = PLAIN.write(tmp_path, without=("psum", *NINE))
    lines = PLAIN.files()["weight.txt"]
    rolled = [lines[k * 8 + (o + 1) % 8] for k in range(9) for o in range(8)]
    (folder / "weights_b.txt").write_text("\n".join(rolled) + "\n")
    outputs = np.roll(PLAIN.outputs, -1, axis=1).tolist()
    (folder / "out_b.txt").write_text("".join(f"{word(row, 16)}\n" for row in outputs))
    words = "two readings agree with .*with weight.txt, or .*with weights_b.txt: choose"
    with pytest.raises(InputError, match=words):
        find(folder)
    assert is_plain(find(folder, "weights_b.txt", "out_b.txt"))


@pytest.mark.parametrize("seed", range(6))
def test_a_result_of_another_run_hides_behind_no_tie(tmp_path, seed):
    """A bad file agrees with no reading; it does not make two equal readings of the good ones."""
    folder = PLAIN.write(tmp_path)
    other = PlainTiles(4, 4, seed=10 + seed).files()
    (folder / "out_old.txt").write_text("\n".join(other["out.txt"]) + "\n")
    (folder / "psum_kij4.txt").write_text("\n".join(other["psum_kij4.txt"]) + "\n")
    finding = find(folder)
    assert is_plain(finding)
    shares = {r.reading.file.name: r.share for r in finding.reading.results}
    wrong = {name for name, share in shares.items() if share < 1}
    assert wrong == {"out_old.txt", "psum_kij4.txt"}


def test_outputs_that_are_cut_are_a_misfit(folder):
    """Eight lines are the outputs of an output-stationary array only if the activations are too."""
    lines = (folder / "out.txt").read_text().splitlines()[:11]
    (folder / "out.txt").write_text("\n".join(lines) + "\n")
    assert [file.name for file in find(folder).reading.misfits] == ["out.txt"]


@pytest.mark.parametrize("shared", [True, False])
def test_two_cores_with_the_same_activations(tmp_path, shared):
    """Each core has half of the output channels; they share activations, or have copies."""
    a, b = PLAIN, PlainTiles(4, 4, seed=2)
    folder = a.write(tmp_path, without=("psum", "weight", "out"))
    text = (folder / "activation.txt").read_text()
    padded = np.array(a.padded).reshape(6, 6, 8).transpose(2, 0, 1).astype(np.int8)
    for core, plain in enumerate((a, b)):
        (folder / f"core{core}_weight.txt").write_text("\n".join(plain.files()["weight.txt"]))
        if not shared:
            (folder / f"core{core}_activation.txt").write_text(text)
        rows = map_layer(padded, np.array(plain.weights, np.int8)).sums.clip(0).tolist()
        (folder / f"core{core}_out.txt").write_text("".join(f"{word(r, 16)}\n" for r in rows))
    if not shared:
        (folder / "activation.txt").unlink()
    finding = find(folder)
    assert finding.reading.share == 1
    assert finding.reading.layer.channels == (16, 8)
    assert not finding.stale


def test_several_sets_in_one_folder(tmp_path):
    for name in ("4bit", "os"):
        PLAIN.write(tmp_path / name)
    with pytest.raises(InputError, match=r"holds 2 sets .*DIR=.*/4bit or DIR=.*/os"):
        find(tmp_path)


def test_too_many_candidates(folder):
    for number in range(70):
        (folder / f"activation_copy{number}x.txt").write_text("0" * 32 + "\n")
    with pytest.raises(InputError, match="files or series can be activations, expected 64"):
        find(folder)


def test_a_fixed_convention_is_obeyed(folder):
    finding = find(folder, weights="rows")
    assert finding.reading.conventions.weights == "rows"
    assert finding.decided_by == "no agreement"
    assert asdict(find(folder, weights="columns").reading.conventions)["weights"] == "columns"


@pytest.mark.parametrize(
    ("name", "lines", "line", "words"),
    [
        ("activation.txt", 35, 38, "after 35 lines of 32 bits, expected a line for each"),
        ("activation.txt", 37, 40, "such as 36 or 49"),
        ("weight.txt", 71, 74, "71 lines of 32 bits, expected 72"),
        ("weight.txt", 73, 76, "73 lines .*expected 72 for 8 input channels and 8 output"),
    ],
)
def test_a_wrong_number_of_lines(tmp_path, name, lines, line, words):
    folder = PLAIN.write(tmp_path, without=tuple(NINE))
    data = (folder / name).read_text().splitlines()
    (folder / name).write_text("\n".join(data[:3] + (data[3:] * 2)[:lines]) + "\n")
    with pytest.raises(InputError, match=f"{name}, line {line}: the data ends .*{words}"):
        find(folder)


def test_one_of_nine_is_missing(tmp_path):
    folder = PLAIN.write(tmp_path, without=("weight.txt",))
    (folder / NINE[4]).unlink()
    with pytest.raises(InputError, match="weights of kernel positions 4 not found"):
        find(folder)


@pytest.mark.parametrize("height", [11, 16, 35, 10**9])
def test_a_height_that_does_not_fit(folder, height):
    with pytest.raises(InputError, match=f"expected a multiple of {height + 2} with padding"):
        find(folder, height=height)


@pytest.mark.parametrize(
    ("height", "width"),
    [(2, 5), *(pytest.param(*size, marks=pytest.mark.verify) for size in ((5, 2), (3, 7)))],
)
def test_the_outputs_say_the_height(tmp_path, height, width):
    """A map that is not square is read by its outputs; without them the height is asked for."""
    plain = PlainTiles(height, width)
    finding = find(plain.write(tmp_path / "all"))
    assert finding.reading.geometry.height == height
    assert finding.reading.share == 1
    assert is_plain(finding, plain)
    for without in (("out",), ("out", "psum")):
        folder = plain.write(tmp_path / "-".join(without), without=without)
        with pytest.raises(InputError, match="for another map give --height"):
            find(folder)


@pytest.mark.verify
def test_a_height_that_fits_other_files(folder):
    """36 pixels without padding can be 3 × 12; the psums at the middle of the kernel agree so."""
    finding = find(folder, height=3)
    assert finding.decided_by == "no agreement"
    assert [file.name for file in finding.reading.misfits] == ["out.txt"]


def test_nothing_to_run(tmp_path):
    with pytest.raises(InputError, match="holds no file of activations"):
        find(tmp_path)
    PLAIN.write(tmp_path, without=("weight",))
    with pytest.raises(InputError, match=f"{tmp_path}: holds no file of weights"):
        find(tmp_path)
    with pytest.raises(InputError, match=r"none: No such file or directory, expected a folder"):
        find(tmp_path / "none")
    with pytest.raises(InputError, match=r"out.txt: Not a directory, expected a folder"):
        find(tmp_path / "out.txt")
    with pytest.raises(InputError, match=r"x.txt: not found, expected a file for --ignore"):
        find(tmp_path, "x.txt")


def test_a_malformed_input_that_is_the_only_one_is_refused(tmp_path):
    folder = PLAIN.write(tmp_path, without=tuple(NINE))
    change(folder / "weight.txt", 9, lambda text: "x" + text[1:])
    with pytest.raises(InputError, match=r"weight.txt, line 9: character 1 of 'x"):
        find(folder)


def test_names_in_a_row():
    names = [f"psum_kij{k}_itile{i}.txt" for i in range(11) for k in range(9)]
    assert listed(["out.txt", *names]) == "out.txt, psum_kij0..8_itile0..10.txt"
    assert listed(["k0.txt", "k1.txt", "k3.txt"]) == "k0..1,3.txt"
    assert re.search("^$", listed([]))
