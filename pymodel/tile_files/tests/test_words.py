"""Words of tile text files are read exactly, and what is no word is named by its line."""

import re

import numpy as np
import pytest

from pymodel.support.errors import InputError
from pymodel.tile_files.tests.plain_tiles import USUAL_HEADER
from pymodel.tile_files.words import format_words, read_words

VALUES = np.random.default_rng(1).integers(0, 16, (6, 8))
LINES = format_words(VALUES, 4, False)


def written(tmp_path, lines, header=USUAL_HEADER):
    """Returns the path of a file with these lines."""
    path = tmp_path / "words.txt"
    path.write_text(header + "".join(f"{line}\n" for line in lines), newline="")
    return path


@pytest.mark.parametrize(
    "header",
    [
        "",
        "\n\n\n",
        USUAL_HEADER,
        "exported by\nsomebody\n2024-10-01\n",
        "18x18\n",
        "time0row7,time0row6\n\nactivations\n",
        "// a comment of Verilog\n",
        "one\ntwo\nthree\nfour\nfive\n",
        "# " + 32 * "1" + "\n" * 9,
        "\ufeff",
        "\ufeff# é\n",
    ],
)
def test_any_header(tmp_path, header):
    words = read_words(written(tmp_path, LINES, header))
    assert np.array_equal(words.numbers(4, False), VALUES)
    assert not words.malformed


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("\n", " \t\n"),
        lambda text: text.rstrip("\n"),
        lambda text: text + "\n\n \n",
        lambda text: text + "# end\n",
        lambda text: re.sub("([01]{4})", r"\1 ", text),
        lambda text: re.sub("([01]{16})(?=[01])", r"\1_", text),
        lambda text: re.sub("([01]{32})", r"\1  // a pixel", text),
    ],
    ids=[
        "windows",
        "trailing spaces",
        "no last newline",
        "blank lines",
        "comment",
        "spaces",
        "underscores",
        "comments",
    ],
)
def test_line_ends(tmp_path, change):
    path = written(tmp_path, LINES)
    path.write_text(change(path.read_text()), newline="")
    words = read_words(path)
    assert np.array_equal(words.numbers(4, False), VALUES)
    assert not words.malformed


# The number of a line, the change of that line, and words of the message. Data starts at line 4.
MALFORMED = [
    (7, lambda word: word[:-1], "31 bits, expected 32"),
    (7, lambda word: word + "0", "33 bits, expected 32"),
    (7, lambda word: word[:8], "8 bits, expected 32"),
    (7, lambda word: word[:5] + "x" + word[6:], "character 6 of '"),
    (7, lambda word: 32 * "z", "'zzzz"),
    (4, lambda word: word[:5] + "O" + word[6:], "expected 32 characters 0 or 1"),
    (4, lambda word: 32 * "X", "'XXXX"),
    (7, lambda word: word + ",", "is ',', expected 32 characters 0 or 1"),
    (7, lambda word: "a header in the middle", "'a header in the middle'"),
    (9, lambda word: "the end", "'the end'"),
    (7, lambda word: "-" + word[1:], "expected 32"),
    (7, lambda word: "２" + word[1:], "expected 32"),
    (7, lambda word: "9" * 500, "9…' is '9', expected 32"),
    (1, lambda word: 32 * "x", "'xxxx"),
    (2, lambda word: "0" * 31 + "l", "expected 32"),
    (3, lambda word: "101", "3 bits, expected 32"),
]


@pytest.mark.parametrize(("line", "change", "text"), MALFORMED)
def test_a_malformed_word_is_named_and_the_others_are_read(tmp_path, line, change, text):
    path = written(tmp_path, LINES)
    lines = path.read_text().splitlines()
    lines[line - 1] = change(lines[line - 1])
    path.write_text("\n".join(lines))
    words = read_words(path)
    assert len(words.malformed) == 1
    assert words.first_fault().startswith(f"{path}, line {line}: ")
    assert text in words.first_fault()
    good = words.numbers(4, False)[words.well_formed]
    assert {tuple(row) for row in good.tolist()} <= {tuple(row) for row in VALUES.tolist()}
    assert len(good) >= 5


@pytest.mark.parametrize("text", ["", "\n\n", USUAL_HEADER, "\ufeff", "one\ntwo\nthree\n"])
def test_a_file_without_words(tmp_path, text):
    assert read_words(written(tmp_path, [], text)) is None


def test_bytes_that_are_no_text(tmp_path):
    path = tmp_path / "bytes"
    path.write_bytes(bytes(range(256)) * 10)
    assert read_words(path) is None


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
def test_text_with_a_byte_order_mark(tmp_path, encoding):
    """PowerShell writes UTF-16 where it redirects output."""
    path = tmp_path / "file.txt"
    path.write_text("\r\n".join(LINES), encoding=encoding)
    assert len(read_words(path)) == len(LINES)


def test_a_file_that_is_too_large(tmp_path, monkeypatch):
    monkeypatch.setattr("pymodel.tile_files.words.MAX_BYTES", 100)
    with pytest.raises(InputError, match=r"words.txt: \d+ bytes, expected 100 at most"):
        read_words(written(tmp_path, LINES))


def test_a_folder_in_place_of_a_file(tmp_path):
    with pytest.raises(InputError, match="cannot be read: Is a directory"):
        read_words(tmp_path)


@pytest.mark.parametrize(
    ("bits", "signed", "value", "limits"),
    [
        (4, False, 16, "0..15"),
        (4, False, -1, "0..15"),
        (4, True, 8, "-8..7"),
        (4, True, -9, "-8..7"),
        (16, True, 2**15, "-32768..32767"),
        (16, True, -(2**15) - 1, "-32768..32767"),
    ],
)
def test_a_value_that_does_not_fit(bits, signed, value, limits):
    with pytest.raises(InputError, match=f"{value} does not fit in {bits} bits.*{limits}"):
        format_words(np.full((1, 8), value), bits, signed)


@pytest.mark.parametrize(("bits", "signed"), [(2, False), (4, False), (4, True), (16, True)])
def test_the_ends_of_the_range_come_back(tmp_path, bits, signed):
    low = -(2 ** (bits - 1)) if signed else 0
    values = np.array([[low, low + 2**bits - 1, 0, 1, *4 * [1]]])
    words = read_words(written(tmp_path, format_words(values, bits, signed)))
    assert np.array_equal(words.numbers(bits, signed), values)


def test_floats_are_not_written():
    """A float that is a little below 0 became −32768 in somebody's file."""
    with pytest.raises(TypeError, match="float64, expected integers"):
        format_words(np.full((1, 8), -1e-7), 16, True)
