"""Tile text files are read and written exactly, and bad ones are refused with the line."""

import re

import numpy as np
import pytest

from pymodel.hardware.tests.plain_tiles import USUAL_HEADER, PlainTiles
from pymodel.hardware.tile_text import (
    ACTIVATION,
    SUM,
    WEIGHT,
    format_text,
    read_folder,
    read_text,
    sums,
    write_folder,
)
from pymodel.support.errors import InputError

PLAIN = PlainTiles(4, 4)
NINE = [f"weight_itile0_otile0_kij{k}.txt" for k in range(9)]


@pytest.fixture
def folder(tmp_path):
    """Returns a folder that holds every file of a 4 × 4 map, with the usual header."""
    return PLAIN.write(tmp_path / "tiles")


def arrays(plain: PlainTiles, height: int, width: int) -> tuple[np.ndarray, ...]:
    """Returns activations, weights, psums and outputs as `write_folder` takes them."""
    activations = np.array(plain.padded).reshape(height + 2, width + 2, 8).transpose(2, 0, 1)
    weights = np.zeros((8, 8, 3, 3), int)
    for k, position in enumerate(plain.weights):
        weights[:, :, k // 3, k % 3] = position
    return activations, weights, np.array(plain.psums), np.array(plain.outputs)


def same(found, plain: PlainTiles, height: int, width: int) -> bool:
    """Returns whether all that was read is what the plain loops computed."""
    activations, weights, psums, outputs = arrays(plain, height, width)
    pairs = [(found.activations, activations), (found.weights, weights)]
    for first, text in found.psums:
        lines = psums[first:].reshape(-1, 8)[: len(text.values)]
        pairs.append((text.values, lines))
    pairs += [(text.values, outputs) for text in found.outputs]
    return all(np.array_equal(*pair) for pair in pairs)


def refused_at(place: str, *words: str, folder, height: int | None = None) -> None:
    """Asserts that reading the folder is refused in one line that starts with `place`."""
    with pytest.raises(InputError) as refusal:
        read_folder(folder, height)
    message = str(refusal.value)
    assert message.startswith((f"{folder}/{place}: ", f"{folder}/{place} "))
    assert "\n" not in message
    for expected in words:
        assert expected in message


@pytest.mark.parametrize(
    ("height", "width", "told"),
    [(4, 4, None), (1, 1, None), (16, 16, None), (2, 5, 2), (5, 2, 5), (1, 10, 1)],
)
def test_any_map(tmp_path, height, width, told):
    plain = PlainTiles(height, width)
    found = read_folder(plain.write(tmp_path), told)
    assert [first for first, _ in found.psums] == [0, *range(9)]
    assert len(found.inputs) == 11
    assert len(found.outputs) == 1
    assert same(found, plain, height, width)


@pytest.mark.parametrize(
    "without",
    [("weight.txt",), tuple(NINE), ("psum.txt",), ("psum_",), ("psum",), ("out",), ("psum", "out")],
)
def test_each_kind_of_file_on_its_own(tmp_path, without):
    assert same(read_folder(PLAIN.write(tmp_path, without=without)), PLAIN, 4, 4)


def test_the_other_names(folder):
    (folder / "activation.txt").rename(folder / "activation_tile0.txt")
    (folder / "out.txt").rename(folder / "output.txt")
    (folder / "activation_tile1.txt").write_text("of another input tile\n")
    assert same(read_folder(folder), PLAIN, 4, 4)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "\n\n\n",
        USUAL_HEADER,
        "exported by\nsomebody\n2024-10-01\n",
        "18x18\n",
        "time0row7,time0row6\n\nactivations\n",
        "# " + 32 * "1" + "\n" * 9,
        "\ufeff",
        "\ufeff# é\n",
    ],
)
def test_header(tmp_path, header):
    assert same(read_folder(PLAIN.write(tmp_path, header)), PLAIN, 4, 4)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("\n", " \t\n"),
        lambda text: text.rstrip("\n"),
        lambda text: text + "\n\n \n",
        lambda text: text + "# end\n",
    ],
    ids=["windows", "trailing spaces", "no last newline", "blank lines", "comment"],
)
def test_line_ends(folder, change):
    for path in folder.iterdir():
        path.write_text(change(path.read_text()), newline="")
    assert same(read_folder(folder), PLAIN, 4, 4)


def test_nine_files_with_headers_one_after_another(tmp_path):
    PLAIN.write(tmp_path)
    (tmp_path / "weight.txt").write_text("".join((tmp_path / n).read_text() for n in NINE))
    assert same(read_folder(tmp_path), PLAIN, 4, 4)


# The number of a line, the change of that line, and words of the message. Data starts at line 4.
MALFORMED = [
    (7, lambda word: word[:-1], "31 bits, expected 32"),
    (7, lambda word: word + "0", "33 bits, expected 32"),
    (7, lambda word: word[:8], "8 bits, expected 32"),
    (7, lambda word: word[:5] + "x" + word[6:], "character 6 of '"),
    (7, lambda word: 32 * "z", "'zzzz"),
    (4, lambda word: word[:5] + "O" + word[6:], "expected 32 characters 0 or 1"),
    (4, lambda word: "comment", "'comment'"),
    (4, lambda word: 32 * "X", "'XXXX"),
    (7, lambda word: word[:16] + " " + word[16:], "expected 32 characters 0 or 1"),
    (7, lambda word: word + ",", "is ',', expected 32 characters 0 or 1"),
    (7, lambda word: word[:16] + "_" + word[16:], "expected 32 characters 0 or 1"),
    (7, lambda word: "a header in the middle", "'a header in the middle'"),
    (11, lambda word: "the end", "'the end'"),
    (7, lambda word: "-" + word[1:], "expected 32"),
    (7, lambda word: "２" + word[1:], "expected 32"),
    (7, lambda word: "9" * 500, "9…' is '9', expected 32"),
    (1, lambda word: 32 * "x", "'xxxx"),
    (2, lambda word: "0" * 31 + "l", "expected 32"),
    (3, lambda word: "101", "3 bits, expected 32"),
]


@pytest.mark.parametrize(("line", "change", "words"), MALFORMED)
@pytest.mark.parametrize("name", ["activation.txt", "weight.txt", NINE[5]])
def test_a_malformed_line(folder, name, line, change, words):
    lines = (folder / name).read_text().splitlines()
    lines[line - 1] = change(lines[line - 1])
    (folder / name).write_text("\n".join(lines))
    refused_at(f"{name}, line {line}", words, folder=folder)


def test_other_text_after_the_first_word_is_no_header(tmp_path):
    PLAIN.write(tmp_path, header="")
    lines = (tmp_path / "activation.txt").read_text().splitlines()
    (tmp_path / "activation.txt").write_text("\n".join([lines[0], "comment", *lines[1:]]))
    refused_at("activation.txt, line 2", "'comment'", folder=tmp_path)


@pytest.mark.parametrize("name", ["psum.txt", "psum_kij8.txt", "out.txt"])
@pytest.mark.parametrize("change", ["17 bits", "x", "short"])
def test_a_malformed_line_of_sums(folder, name, change):
    """A known exporter writes 17 bits for a float of −1e-7."""
    lines = (folder / name).read_text().splitlines()
    word = lines[9]
    lines[9] = {"17 bits": "1" + word, "x": "x" + word[1:], "short": word[1:]}[change]
    (folder / name).write_text("\n".join(lines))
    refused_at(f"{name}, line 10", "expected 128", folder=folder)


@pytest.mark.parametrize("text", ["", "\n\n", USUAL_HEADER, "\ufeff", "one\ntwo\nthree\n"])
@pytest.mark.parametrize("name", ["activation.txt", "weight.txt", NINE[0], "psum.txt", "out.txt"])
def test_no_data(folder, name, text):
    (folder / name).write_text(text)
    refused_at(name, "no data", folder=folder)


def test_not_text(folder):
    (folder / "activation.txt").write_bytes(bytes(range(256)) * 10)
    refused_at("activation.txt, line", "expected 32", folder=folder)


def test_utf_16(folder):
    """A redirection with `>` in an old PowerShell writes UTF-16."""
    path = folder / "activation.txt"
    path.write_text(path.read_text(), encoding="utf-16")
    refused_at("activation.txt, line", "expected 32", folder=folder)


def resize(path, lines: int) -> None:
    """Changes the file to `lines` lines of data after the header."""
    data = path.read_text().splitlines()[3:]
    path.write_text(USUAL_HEADER + "\n".join((data + data)[:lines]) + "\n")


@pytest.mark.parametrize(
    ("name", "lines", "line", "words"),
    [
        ("activation.txt", 35, 38, "after 35 lines, expected (H + 2)²"),
        ("activation.txt", 37, 40, "such as 36 or 49"),
        ("activation.txt", 8, 11, "such as 9"),
        ("activation.txt", 4, 7, "such as 9"),
        ("activation.txt", 1, 4, "such as 9"),
        ("weight.txt", 71, 74, "after 71 of 72 lines"),
        ("weight.txt", 73, 76, "one line too many, expected 72"),
        (NINE[3], 7, 10, "after 7 of 8 lines"),
        (NINE[3], 9, 12, "one line too many, expected 8"),
        ("psum.txt", 323, 326, "after 323 of 324 lines"),
        ("psum.txt", 325, 328, "4 × 4 map of activation.txt"),
        ("psum_kij7.txt", 35, 38, "after 35 of 36 lines"),
        ("psum_kij7.txt", 37, 40, "one line too many, expected 36"),
        ("out.txt", 15, 18, "after 15 of 16 lines"),
        ("out.txt", 17, 20, "one line too many, expected 16"),
    ],
)
def test_a_wrong_count(folder, name, lines, line, words):
    resize(folder / name, lines)
    refused_at(f"{name}, line {line}", words, folder=folder)


def test_activations_of_another_map_than_the_sums(folder):
    resize(folder / "activation.txt", 25)
    refused_at("psum.txt, line 229", "too many, expected 225", "3 × 3 map", folder=folder)


@pytest.mark.parametrize("height", [3, 11, 16, 35, 10**9])
def test_a_height_that_does_not_fit(folder, height):
    refused_at("activation.txt, line 39", f"multiple of {height + 2}", folder=folder, height=height)


@pytest.mark.parametrize(
    ("name", "lines"), [(NINE[0], 16), ("weight.txt", 144), ("psum.txt", None), ("out.txt", None)]
)
def test_the_variant_with_two_bit_activations(folder, name, lines):
    path = folder / name
    if lines:
        resize(path, lines)
    else:
        path.write_text("".join(f"{line}{line}\n" for line in path.read_text().splitlines()[3:]))
    refused_at(f"{name}, line", "variant with 2-bit activations", "not supported", folder=folder)


@pytest.mark.parametrize("name", [NINE[4], "psum_kij4.txt"])
def test_one_of_nine_is_missing(folder, name):
    (folder / name).unlink()
    with pytest.raises(InputError, match=f"{folder}: {name} not found, expected all of"):
        read_folder(folder)


def test_nothing_to_run(folder):
    for name in [*NINE, "weight.txt"]:
        (folder / name).unlink()
    with pytest.raises(InputError, match=r"holds no weight.txt and no weight_itile0"):
        read_folder(folder)
    (folder / "activation.txt").unlink()
    with pytest.raises(InputError, match=r"holds no activation.txt or activation_tile0.txt"):
        read_folder(folder)
    with pytest.raises(InputError, match=r"none: No such file or directory, expected a folder"):
        read_folder(folder / "none")
    with pytest.raises(InputError, match=r"out.txt: Not a directory, expected a folder"):
        read_folder(folder / "out.txt")


def test_a_folder_in_place_of_a_file(folder):
    (folder / "psum.txt").unlink()
    (folder / "psum.txt").mkdir()
    refused_at("psum.txt", "cannot be read", folder=folder)


def flip(path, line: int) -> None:
    """Changes the last bit of line `line` of the file."""
    lines = path.read_text().splitlines()
    lines[line - 1] = lines[line - 1][:-1] + "10"[int(lines[line - 1][-1])]
    path.write_text("\n".join(lines))


def test_weights_that_contradict_each_other(folder):
    flip(folder / NINE[2], 6)
    refused_at("weight.txt, line 22", f"and {folder}/{NINE[2]}, line 6 differ", folder=folder)


def test_activations_that_contradict_each_other(folder):
    (folder / "activation_tile0.txt").write_text((folder / "activation.txt").read_text())
    assert same(read_folder(folder), PLAIN, 4, 4)
    flip(folder / "activation_tile0.txt", 20)
    refused_at("activation.txt, line 20", "activation_tile0.txt, line 20 differ", folder=folder)
    resize(folder / "activation_tile0.txt", 25)
    refused_at("activation_tile0.txt, line 28", "after 25 of 36", folder=folder)


@pytest.mark.parametrize(("height", "width"), [(4, 4), (1, 1), (2, 5)])
def test_written_files_are_those_of_the_plain_loops(tmp_path, height, width):
    plain = PlainTiles(height, width)
    plain.write(tmp_path / "plain", header="")
    written = tmp_path / "new" / "written"
    names = write_folder(written, *arrays(plain, height, width), header=False)
    assert sorted(names) == sorted(path.name for path in written.iterdir())
    for path in (tmp_path / "plain").iterdir():
        assert (written / path.name).read_text() == path.read_text(), path.name


def test_written_header(tmp_path):
    """The header has no spaces: `$fscanf("%s")` in a bench that skips three lines stops at them."""
    write_folder(tmp_path, *arrays(PLAIN, 4, 4))
    assert same(read_folder(tmp_path), PLAIN, 4, 4)
    for path in tmp_path.iterdir():
        lines = path.read_text().splitlines()
        assert all(line.startswith("#") and " " not in line for line in lines[:3])
        assert set(lines[3]) <= {"0", "1"}
    first = (tmp_path / "activation.txt").read_text()
    assert re.match(r"#time0row7\[msb-lsb\],.*\n#time1row7.*\n#\.{16}#\n", first)


@pytest.mark.parametrize(
    ("kind", "value", "limits"),
    [
        (ACTIVATION, 16, "0..15"),
        (ACTIVATION, -1, "0..15"),
        (WEIGHT, 8, "-8..7"),
        (WEIGHT, -9, "-8..7"),
        (SUM, 2**15, "-32768..32767"),
        (SUM, -(2**15) - 1, "-32768..32767"),
    ],
)
def test_a_value_that_does_not_fit(kind, value, limits):
    with pytest.raises(InputError, match=f"{value} does not fit in {kind.bits} bits.*{limits}"):
        format_text(np.full((1, 8), value), kind)


@pytest.mark.parametrize("kind", [ACTIVATION, WEIGHT, SUM])
def test_the_ends_of_the_range_come_back(tmp_path, kind):
    low = -(2 ** (kind.bits - 1)) if kind.signed else 0
    values = np.array([[low, low + 2**kind.bits - 1, 0, 1, 2, 3, 4, 5]])
    path = tmp_path / "text"
    path.write_text(format_text(values, kind))
    assert np.array_equal(read_text(path, kind).values, values)


def test_floats_are_not_written():
    with pytest.raises(TypeError, match="float64, expected integers"):
        format_text(np.full((1, 8), -1e-7), SUM)


def test_all_files_or_none(tmp_path):
    (tmp_path / "activation.txt").write_text("of somebody")
    activations, weights, psums, outputs = arrays(PLAIN, 4, 4)
    with pytest.raises(InputError, match=r"out.txt: not written, 40000 does not fit in 16 bits"):
        write_folder(tmp_path, activations, weights, psums, outputs * 0 + 40000)
    (tmp_path / "out.txt").mkdir()
    with pytest.raises(InputError, match=r"out.txt: is a folder"):
        write_folder(tmp_path, activations, weights, psums, outputs)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["activation.txt", "out.txt"]
    assert (tmp_path / "activation.txt").read_text() == "of somebody"


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"file/activation.txt: cannot be written \(File exists\)"):
        write_folder(tmp_path / "file", *arrays(PLAIN, 4, 4))


@pytest.mark.parametrize(("height", "width"), [(4, 4), (1, 1), (2, 5)])
def test_sums(height, width):
    plain = PlainTiles(height, width)
    psums, outputs = arrays(plain, height, width)[2:]
    assert np.array_equal(sums(psums, height, width).clip(0), outputs)
