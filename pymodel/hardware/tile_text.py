"""Reads and writes the text files of many hand-written array benches: eight binary numbers a line.

docs/tile-text-files.md describes the format.
"""

import re
from contextlib import ExitStack
from dataclasses import dataclass
from math import isqrt
from pathlib import Path

import numpy as np

from pymodel.support.errors import InputError
from pymodel.support.files import replacing

LANES = 8  # rows and columns of the arrays that these files are for
POSITIONS = 9  # positions of a 3 × 3 kernel; position k is ky · 3 + kx
HEADER_LINES = 3  # number of lines that benches skip without reading them


@dataclass(frozen=True)
class Kind:
    """A kind of file: what a line of it holds."""

    bits: int  # number of bits of each number
    signed: bool  # whether the numbers are in two's complement
    line: str  # the header's word for what a line stands for
    lane: str  # the header's word for what each number of a line stands for

    @property
    def header(self) -> str:
        """The three lines that usual exporters write above the data."""
        lines = [
            f"#{self.line}{n}{self.lane}7[msb-lsb],{self.line}{n}{self.lane}6[msb-lsb],....,"
            f"{self.line}{n}{self.lane}0[msb-lsb]#\n"
            for n in range(2)
        ]
        return "".join(lines) + "#................#\n"


ACTIVATION = Kind(4, False, "time", "row")
WEIGHT = Kind(4, True, "col", "row")
SUM = Kind(16, True, "time", "col")

# Where two names are in use, the first is written.
ACTIVATION_NAMES = ("activation.txt", "activation_tile0.txt")
OUTPUT_NAMES = ("out.txt", "output.txt")
JOINT_WEIGHTS, WEIGHTS = "weight.txt", "weight_itile0_otile0_kij{}.txt"
JOINT_PSUMS, PSUMS = "psum.txt", "psum_kij{}.txt"


@dataclass(frozen=True)
class TextFile:
    """The data of one file, and the line that each row of the data comes from."""

    path: Path
    values: np.ndarray  # int64 [lines of data, 8]; number 0 of a line is the last one in its text
    lines: list[int]  # the line of the file, from 1, of each row of `values`

    def place(self, index: int) -> str:
        """Returns the file and line of values[index], in words."""
        return f"{self.path}, line {self.lines[index]}"

    def expect(self, count: int, what: str) -> None:
        """Raises InputError unless there are `count` lines of data, one for each `what`."""
        found = len(self.values)
        if found < count:
            raise InputError(
                f"{self.place(-1)}: the data ends after {found} of {count} lines, one {what}"
            )
        if found > count:
            raise InputError(
                f"{self.place(count)}: one line too many, expected {count} lines of data, "
                f"one {what}, found {found}"
            )


@dataclass(frozen=True)
class TileText:
    """A layer, its psums and its outputs, as the files of one folder hold them."""

    activations: np.ndarray  # int8 [8, H + 2, W + 2], 0..15, padding included
    weights: np.ndarray  # int8 [8 outputs, 8 inputs, 3, 3], −8..7
    inputs: list[TextFile]  # the files of activations and weights
    psums: list[tuple[int, TextFile]]  # each file with the kernel position of its first line
    outputs: list[TextFile]  # files of outputs, of H · W lines each


def read_text(path: Path, kind: Kind) -> TextFile:
    """Reads one file, whose lines of data hold eight numbers of `kind` each.

    Lines that are blank or start with # are skipped. Among the first three lines any other text
    before the data is skipped too, unless it looks like a damaged word. Raises InputError, which
    names the line, if a line is not made of 0 and 1 or has the wrong length, and if the file cannot
    be read or holds no data.
    """
    width = LANES * kind.bits
    try:
        # Reading as text unifies line ends as editors count them; str.splitlines would split at
        # more characters.
        lines = path.read_text("utf-8-sig", errors="replace").split("\n")
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    words, numbers = [], []
    for number, line in enumerate(lines, 1):
        word = line.strip()
        if not word or word.startswith("#"):
            continue
        if odd := re.search("[^01]", word):
            if not words and number <= HEADER_LINES and not _like_a_word(word, width):
                continue
            shown = word if len(word) <= width else f"{word[:width]}…"
            raise InputError(
                f"{path}, line {number}: character {odd.start() + 1} of {shown!r} is {odd[0]!r}, "
                f"expected {width} characters 0 or 1"
            )
        if kind is SUM and len(word) == 2 * width:
            raise _two_bit_variant(f"{path}, line {number}: {len(word)} bits", f"{width}")
        if len(word) != width:
            raise InputError(f"{path}, line {number}: {len(word)} bits, expected {width}")
        words.append(word)
        numbers.append(number)
    if not words:
        raise InputError(f"{path}: no data, expected lines of {width} bits")
    starts = range(0, width, kind.bits)[::-1]
    values = np.array([[int(word[at : at + kind.bits], 2) for at in starts] for word in words])
    if kind.signed:
        values -= (values >> kind.bits - 1) << kind.bits
    return TextFile(path, values, numbers)


def format_text(values: np.ndarray, kind: Kind, header: bool = True) -> str:
    """Returns the text of a file that holds `values`, integers [lines, 8].

    Raises InputError for a value that does not fit the bits of `kind`, and TypeError for values
    that are no integers.
    """
    if not np.issubdtype(values.dtype, np.integer):
        # A float that is a little below 0 would become a word that is one bit too long.
        raise TypeError(f"values are {values.dtype}, expected integers")
    low = -(1 << kind.bits - 1) if kind.signed else 0
    high = low + (1 << kind.bits) - 1
    for value in (values.min(), values.max()):
        if not low <= value <= high:
            raise InputError(f"{value} does not fit in {kind.bits} bits, expected {low}..{high}")
    mask = (1 << kind.bits) - 1
    words = (
        "".join(f"{value & mask:0{kind.bits}b}" for value in reversed(row))
        for row in values.tolist()
    )
    return (kind.header if header else "") + "".join(f"{word}\n" for word in words)


def read_folder(folder: Path, height: int | None = None) -> TileText:
    """Reads a folder of tile text files, and ignores any other file in it.

    `height` is the height of the map without its padding, in pixels; by default the map is square.
    Raises InputError, which names file and line, for a file that is missing, is malformed, does not
    fit the map, or contradicts another file that holds the same activations or weights.
    """
    activations = _present(folder, ACTIVATION_NAMES, ACTIVATION)
    if not activations:
        raise InputError(f"{folder}: holds no {' or '.join(ACTIVATION_NAMES)}")
    rows, columns = _map_size(activations[0], height)
    for other in activations[1:]:
        other.expect(rows * columns, f"for each of {activations[0].path.name}")
        _agree(activations[0], [other])

    joint = _present(folder, [JOINT_WEIGHTS], WEIGHT)
    for text in joint:
        _expect_weights(text, POSITIONS * LANES)
    split = _per_position(folder, WEIGHTS, WEIGHT)
    for text in split:
        _expect_weights(text, LANES)
    if not joint and not split:
        raise InputError(f"{folder}: holds no {JOINT_WEIGHTS} and no {WEIGHTS.format('0..8')}")
    if joint and split:
        _agree(joint[0], split)
    weights = np.concatenate([text.values for text in joint or split])

    pixels = rows * columns
    shape = f"for the {rows - 2} × {columns - 2} map of {activations[0].path.name}"
    padded = f"a padded pixel {shape}"
    psums = [(0, text) for text in _present(folder, [JOINT_PSUMS], SUM)]
    for _, text in psums:
        text.expect(POSITIONS * pixels, f"a kernel position and {padded}")
    for position, text in enumerate(_per_position(folder, PSUMS, SUM)):
        text.expect(pixels, padded)
        psums.append((position, text))
    outputs = _present(folder, OUTPUT_NAMES, SUM)
    for text in outputs:
        text.expect((rows - 2) * (columns - 2), f"a pixel {shape}")
    return TileText(
        activations[0].values.T.reshape(LANES, rows, columns).astype(np.int8),
        weights.reshape(3, 3, LANES, LANES).transpose(2, 3, 0, 1).astype(np.int8),
        [*activations, *joint, *split],
        psums,
        outputs,
    )


def write_folder(
    folder: Path,
    activations: np.ndarray,
    weights: np.ndarray,
    psums: np.ndarray,
    outputs: np.ndarray,
    header: bool = True,
) -> list[str]:
    """Writes the joint files and those per kernel position, all or none, and returns their names.

    activations: int [8, H + 2, W + 2], padding included; weights: int [8, 8, 3, 3];
    psums: int [9, (H + 2) · (W + 2), 8]; outputs: int [H · W, 8]. Raises InputError for a value
    that does not fit its bits, or a folder that cannot be written.
    """
    by_position = weights.transpose(2, 3, 0, 1).reshape(POSITIONS, LANES, LANES)
    tables = {
        ACTIVATION_NAMES[0]: (activations.reshape(LANES, -1).T, ACTIVATION),
        JOINT_WEIGHTS: (by_position.reshape(-1, LANES), WEIGHT),
        **{WEIGHTS.format(k): (table, WEIGHT) for k, table in enumerate(by_position)},
        JOINT_PSUMS: (psums.reshape(-1, LANES), SUM),
        **{PSUMS.format(k): (table, SUM) for k, table in enumerate(psums)},
        OUTPUT_NAMES[0]: (outputs, SUM),
    }
    with ExitStack() as files:  # the files get their names when all of them are written
        for name, (table, kind) in tables.items():
            if (folder / name).is_dir():
                raise InputError(f"{folder / name}: is a folder, expected a file to replace")
            temporary = files.enter_context(replacing(folder / name))
            try:
                temporary.write_text(format_text(table, kind, header))
            except InputError as error:
                raise InputError(f"{folder / name}: not written, {error}") from None
    return list(tables)


def sums(psums: np.ndarray, height: int, width: int) -> np.ndarray:
    """Adds the nine psums of each output pixel. A ReLU of the sums gives the values of out.txt.

    psums: int [9, (height + 2) · (width + 2), 8], of a map of height × width pixels. Returns
    int [height · width, 8].
    """
    output, position = np.arange(height * width)[:, None], np.arange(POSITIONS)
    row, column = output // width + position // 3, output % width + position % 3
    return psums[position, row * (width + 2) + column].sum(1)


def _like_a_word(text: str, width: int) -> bool:
    """Returns whether `text` looks like a damaged word of `width` bits.

    It does if at least half of it, and half of `width` characters, are 0, 1, X or Z.
    """
    return 2 * len(re.findall("[01xXzZ]", text)) >= max(len(text), width)


def _two_bit_variant(found: str, expected: str) -> InputError:
    """Returns the error for a file of the variant with 2-bit activations."""
    return InputError(
        f"{found}, which is the variant with 2-bit activations and 16 output channels; it is not "
        f"supported, expected {expected}"
    )


def _expect_weights(text: TextFile, count: int) -> None:
    """Raises InputError unless the file of weights has `count` lines of data."""
    if len(text.values) == 2 * count:
        raise _two_bit_variant(f"{text.place(-1)}: {2 * count} lines of data", f"{count}")
    what = "a column" if count == LANES else "a kernel position and column"
    text.expect(count, what)


def _names(folder: Path) -> set[str]:
    """Returns the names of all that `folder` holds; InputError if it cannot be listed."""
    try:
        return {path.name for path in folder.iterdir()}
    except OSError as error:
        raise InputError(
            f"{folder}: {error.strerror}, expected a folder of tile text files"
        ) from None


def _present(folder: Path, names: list[str] | tuple[str, ...], kind: Kind) -> list[TextFile]:
    """Reads those files of `names` that are in `folder`."""
    there = _names(folder)
    return [read_text(folder / name, kind) for name in names if name in there]


def _per_position(folder: Path, name: str, kind: Kind) -> list[TextFile]:
    """Reads the nine files of one kind, or none; InputError if only some of them are there."""
    names = [name.format(position) for position in range(POSITIONS)]
    missing = sorted(set(names) - _names(folder))
    if 0 < len(missing) < POSITIONS:
        raise InputError(
            f"{folder}: {', '.join(missing)} not found, expected all of {name.format('0..8')} "
            f"or none"
        )
    return _present(folder, names, kind)


def _map_size(text: TextFile, height: int | None) -> tuple[int, int]:
    """Returns height and width of the padded map whose file has one line per pixel."""
    pixels = len(text.values)
    if height is None:
        side = isqrt(pixels)
        if side >= 3 and side**2 == pixels:
            return side, side
        fitting = " or ".join(str(s**2) for s in (side, side + 1) if s >= 3) or "9"
        raise InputError(
            f"{text.place(-1)}: the data ends after {pixels} lines, expected (H + 2)² for a square "
            f"map and padding 1, such as {fitting}; for another map give --height"
        )
    rows = height + 2
    if pixels % rows == 0 and pixels >= 3 * rows:
        return rows, pixels // rows
    raise InputError(
        f"{text.place(-1)}: the data ends after {pixels} lines, expected a multiple of {rows} from "
        f"{3 * rows} on, for a height of {height} and padding 1"
    )


def _agree(whole: TextFile, parts: list[TextFile]) -> None:
    """Raises InputError, which names both places, if `parts` in a row differ from `whole`."""
    places = [(part, line) for part in parts for line in range(len(part.values))]
    for index, (part, line) in enumerate(places):
        if (whole.values[index] != part.values[line]).any():
            raise InputError(
                f"{whole.place(index)} and {part.place(line)} differ, expected the same in both"
            )
