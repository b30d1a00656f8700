"""Reads and writes the words of a tile text file: one binary word a line.

docs/tile-text-files.md describes the format.
"""

import codecs
import re
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from pymodel.support.errors import InputError

HEADER_LINES = 3  # number of lines that benches skip without reading them
# Largest size of a file that is read; a map of 224 × 224 with all its psums has 58 MB
MAX_BYTES = 64 << 20
# Largest number of lines of a file that is read; the psums of that map have 460,000
MAX_LINES = 500_000
ALIGNMENT = 4  # the width of a word is usually a multiple of this number of bits


@dataclass(frozen=True)
class Words:
    """The words of one file, and the line that each of them comes from."""

    path: Path
    width: int  # number of bits of a word
    bits: np.ndarray  # uint8 [words, width], 0 or 1, the most significant bit first
    lines: list[int]  # the line of the file, from 1, of each word
    malformed: dict[int, str]  # what is wrong with the word, by its index; its bits are zeros
    _numbers: dict = field(default_factory=dict)  # cache of `numbers`, by bits and sign

    def __len__(self) -> int:
        return len(self.lines)

    def __hash__(self) -> int:
        return hash(self.path)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Words) and self.path == other.path

    @cached_property
    def well_formed(self) -> np.ndarray:
        """Which words are well formed, bool [words]."""
        good = np.ones(len(self), bool)
        good[list(self.malformed)] = False
        return good

    def numbers(self, bits: int, signed: bool) -> np.ndarray:
        """Returns int64 [words, width / bits]; number 0 of a word is the last one in its text.

        Signed numbers are in two's complement. `bits` must divide the width.
        """
        if (bits, signed) not in self._numbers:
            groups = self.bits.reshape(len(self), -1, bits)[:, ::-1].astype(np.int64)
            weights = 1 << np.arange(bits)[::-1].astype(np.int64)
            if signed:
                weights[0] = -weights[0]
            self._numbers[bits, signed] = groups @ weights
        return self._numbers[bits, signed]

    def place(self, index: int) -> str:
        """Returns the file and line of the word at `index`, in words."""
        return f"{self.path}, line {self.lines[index]}"

    def first_fault(self) -> str:
        """Returns in words what is wrong with the first malformed word; there must be one."""
        index = min(self.malformed)
        return f"{self.place(index)}: {self.malformed[index]}"


def read_words(path: Path) -> Words | None:
    """Reads one file; returns None if no line of it is a word.

    A word is a line of nothing but 0 and 1, which spaces and underscores may divide into numbers.
    The width of the file is that of most of its words. Blank lines and lines that start with # or
    // are skipped. Lines of other text are skipped before the first word, unless they look like a
    damaged word. Every other line that is no word of the file's width is a malformed word. Raises
    InputError if the file cannot be read.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(
                f"{path}: {path.stat().st_size:,} bytes, expected {MAX_BYTES:,} at most"
            )
        lines = file_lines(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    if len(lines) > MAX_LINES:
        raise InputError(f"{path}: {len(lines):,} lines, expected {MAX_LINES:,} at most")
    words_of_lines = [_joined(line) for line in lines]
    lengths = Counter(len(word) for word in words_of_lines if re.fullmatch("[01]+", word))
    if not lengths:
        return None
    # Of two widths that are met equally often, a multiple of four is the likelier one.
    width = max(lengths, key=lambda length: (lengths[length], length % ALIGNMENT == 0, length))
    words, numbers, malformed = [], [], {}
    for number, word in enumerate(words_of_lines, 1):
        if not word or word.startswith(("#", "//")):
            continue
        fault = _fault(word, width)
        if fault and not words and set(word) - {"0", "1"} and not _like_a_word(word, width):
            continue
        if fault:
            malformed[len(words)] = fault
        words.append("0" * width if fault else word)
        numbers.append(number)
    text = np.frombuffer("".join(words).encode("ascii"), np.uint8)
    bits = (text - ord("0")).reshape(len(words), width)
    return Words(path, width, bits, numbers, malformed)


def file_lines(path: Path) -> list[str]:
    """Returns the lines of a text file, in UTF-8 or, with a byte order mark, in UTF-16.

    Raises OSError if the file cannot be read.
    """
    data = path.read_bytes()
    utf_16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    text = data.decode("utf-16" if utf_16 else "utf-8-sig", errors="replace")
    # Lines end as editors count them; str.splitlines would split at more characters.
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def _joined(line: str) -> str:
    """Returns the word of a line without what divides its numbers; other text stays as it is."""
    text, _, _ = line.partition("//")
    word = re.sub(r"[\s_]", "", text)
    return word if re.fullmatch("[01xXzZ]+", word) else line.strip()


def _fault(word: str, width: int) -> str:
    """Returns what makes `word` malformed, in words; empty if nothing does."""
    if odd := re.search("[^01]", word):
        shown = word if len(word) <= width else f"{word[:width]}…"
        return (
            f"character {odd.start() + 1} of {shown!r} is {odd[0]!r}, "
            f"expected {width} characters 0 or 1"
        )
    return "" if len(word) == width else f"{len(word)} bits, expected {width}"


def _like_a_word(text: str, width: int) -> bool:
    """Returns whether `text` looks like a damaged word of `width` bits.

    It does if at least half of it, and half of `width` characters, are 0, 1, X or Z.
    """
    return 2 * len(re.findall("[01xXzZ]", text)) >= max(len(text), width)


def format_words(values: np.ndarray, bits: int, signed: bool) -> list[str]:
    """Returns a word for each row of `values`, integers [words, numbers], number 0 last.

    Raises InputError for a value that does not fit in `bits`, and TypeError for values that are no
    integers.
    """
    if not np.issubdtype(values.dtype, np.integer):
        # A float that is a little below 0 would become a word that is one bit too long.
        raise TypeError(f"values are {values.dtype}, expected integers")
    low = -(1 << bits - 1) if signed else 0
    high = low + (1 << bits) - 1
    for value in (values.min(), values.max()):
        if not low <= value <= high:
            raise InputError(f"{value} does not fit in {bits} bits, expected {low}..{high}")
    mask = (1 << bits) - 1
    return [
        "".join(f"{value & mask:0{bits}b}" for value in reversed(row)) for row in values.tolist()
    ]
