"""Says what each file of a folder can be: names are hints, width and number of words decide."""

import fnmatch
import re
from collections import defaultdict
from dataclasses import dataclass, field
from math import isqrt
from pathlib import Path

import numpy as np

from pymodel.support.errors import InputError
from pymodel.tile_files.words import Words, file_lines, read_words

ACTIVATION, WEIGHT, PSUM, OUTPUT = "activation", "weight", "psum", "output"
RESULTS = (PSUM, OUTPUT)
# What a name says, by the beginnings of its words.
HINTS = {
    PSUM: ("psum", "partial"),
    WEIGHT: ("weight", "wgt", "kernel", "filter"),
    OUTPUT: ("out", "relu", "norelu", "result", "golden", "expected", "actual", "ofmap"),
    ACTIVATION: ("act", "input", "ifmap"),
}
WHOLE_HINTS = {WEIGHT: ("w", "wt", "k", "kij"), ACTIVATION: ("x", "a"), OUTPUT: ("o", "y")}
SUM_BITS = 16  # bits of a psum or an output
RESULT_WIDTHS = (128, 256)  # 8 or 16 sums of 16 bits
WEIGHT_WIDTHS = (32, 64)  # 8 or 16 weights of 4 bits
ACTIVATION_WIDTHS = (16, 32, 64)  # 8 or 16 activations of 2 or 4 bits
# Suffixes of the files that are read
SUFFIXES = (".txt", ".mem", ".dat", ".data", ".bin", ".list", "")


@dataclass(frozen=True)
class TileFile:
    """A file of words, what it can be, and which part of the layer its name says it holds."""

    words: Words
    name: str  # relative to the folder
    role: str | None  # None if neither name nor width says it
    numbers: dict[str, int] = field(hash=False, compare=False)  # itile, otile, core, position
    series: str = ""  # the name without those numbers; files of one series belong together


@dataclass(frozen=True)
class Series:
    """Files of one role that belong together, such as the nine files of the kernel positions."""

    files: list[TileFile]

    @property
    def names(self) -> list[str]:
        """Names of the files, relative to the folder."""
        return [file.name for file in self.files]


@dataclass(frozen=True)
class TileFolder:
    """The files of a folder, by what they can be."""

    path: Path
    series: dict[str, list[Series]]  # series of files by role
    unusable: dict[str, str]  # what is wrong with a damaged file, by its name
    unused: list[str]  # names of the files that are not needed
    # By role: what is wrong with files of that role, damaged or not; said where no other is there.
    faults: dict[str, list[str]]

    def files(self, *roles: str) -> list[TileFile]:
        """Returns all files of these roles."""
        return [file for role in roles for group in self.series[role] for file in group.files]


def read_folder(folder: Path, ignore: list[str] | tuple[str, ...] = ()) -> TileFolder:
    """Reads the text files of `folder` and of the folders in it, except for the names in `ignore`.

    Of files in deeper folders, and of links that lead nowhere, those count as damaged whose names
    say that they hold results, and the others as not needed. A name in `ignore` is relative to
    `folder`, and may have * and ? for any text. Raises InputError if the folder or a file cannot be
    read, or a name of `ignore` is not there.
    """
    try:
        next(folder.iterdir(), None)  # raises an error for what is no folder
        paths = sorted(p for p in folder.rglob("*") if p.is_file() or p.is_symlink())
    except OSError as error:
        raise InputError(
            f"{folder}: {error.strerror}, expected a folder of tile text files"
        ) from None
    names = {str(path.relative_to(folder)): path for path in paths}
    for pattern in ignore:
        if not fnmatch.filter(names, pattern):
            raise InputError(f"{folder}/{pattern}: not found, expected a file for --ignore to name")
    series, unusable, unused, faults = defaultdict(list), {}, [], defaultdict(list)
    for name, path in names.items():
        if any(fnmatch.fnmatch(name, pattern) for pattern in ignore):
            continue
        suffix = "" if path.is_dir() else path.suffix.lower()  # a link to a folder may have dots
        if suffix not in SUFFIXES or not name.isprintable():
            unused.append(repr(name)[1:-1])
            continue
        hints = _hints(name)
        if len(Path(name).parts) > 2 or not path.exists():
            if hints[:1] and hints[0] in RESULTS:
                why = "deeper than one folder" if path.exists() else "a link that leads nowhere"
                unusable[name] = f"{path}: {why}, expected a file of {hints[0]}s in {folder}"
            else:
                unused.append(name)
            continue
        words = read_words(path)
        roles = [role for role in hints or _likely(words) if words and _fits(words, role)]
        role = next(iter(roles or hints), None)
        if roles and (role in RESULTS or not words.malformed):
            series[role].append(_tile_file(words, name, role))
            continue
        if role is None or (words is None and not _should_hold_words(path)):
            unused.append(name)
            continue
        if words is None:
            fault, damaged = f"{path}: no data, expected lines of 0 and 1", role in RESULTS
        elif roles:
            fault, damaged = words.first_fault(), True
        else:
            fault = f"{words.place(0)}: {words.width} bits, expected {_widths(role)}"
            fault, damaged = f"{fault} in a file of {role}s", role in RESULTS
        faults[role].append(fault)
        if damaged:
            unusable[name] = fault
        else:
            unused.append(name)
    for role in RESULTS:
        series[role], left = _with_channels_joined(series[role])
        for file in left:
            fault = f"{file.words.path}: {SUM_BITS} bits in a line, expected {_widths(role)}, or "
            fault += "such a file for each of 8 or 16 channels"
            faults[role].append(fault)
            unusable[file.name] = fault
    _refuse_several_sets(folder, series)
    grouped = {role: _grouped(series[role]) for role in HINTS}
    return TileFolder(folder, grouped, unusable, unused, faults)


def _refuse_several_sets(folder: Path, series: dict[str, list[TileFile]]) -> None:
    """Raises InputError if several folders in `folder` hold a whole set each.

    The folders of the cores of one layer are one set.
    """
    places = [{Path(f.name).parent for f in series[role]} for role in (ACTIVATION, WEIGHT)]
    sets = sorted(str(place) for place in places[0] & places[1] if "core" not in str(place))
    if len(sets) > 1 and "." not in sets:
        choices = " or ".join(f"DIR={folder / name}" for name in sets)
        raise InputError(f"{folder}: holds {len(sets)} sets of files, expected one: {choices}")


def _should_hold_words(path: Path) -> bool:
    """Returns whether a file without a word is an empty or damaged file of words.

    It is one if nothing but a header is there, or a line that looks like a word with other
    characters in it; otherwise it is somebody's notes.
    """
    lines = [line.strip() for line in file_lines(path)]
    lines = [line for line in lines if line and not line.startswith(("#", "//"))]
    return not lines or any(re.fullmatch("[01xXzZ]+", line) for line in lines)


def _hints(name: str) -> list[str]:
    """Returns the roles that the name of a file hints at, or else the name of its folder.

    The last word that hints counts first, and a single letter counts only if no word does:
    `conv_filter_activation_kij0` holds activations, and `psums/k0` holds psums.
    """
    parts = reversed(Path(name.lower()).with_suffix("").parts)
    tokens = [re.findall("[a-z]+", part)[::-1] for part in parts]
    words = [[r for t in one for r in HINTS if t.startswith(HINTS[r])] for one in tokens]
    letters = [[r for t in one for r, short in WHOLE_HINTS.items() if t in short] for one in tokens]
    return list(dict.fromkeys(next(filter(None, [*words, *letters]), [])))


def _likely(words: Words | None) -> tuple[str, ...]:
    """Returns the roles, the likeliest first, of a file whose name hints at none.

    A square map has a square number of pixels; so do few weights.
    """
    if words and isqrt(len(words)) ** 2 == len(words):
        return (PSUM, ACTIVATION, WEIGHT, OUTPUT)
    return tuple(HINTS)


def _fits(words: Words, role: str) -> bool:
    """Returns whether the width of the words is one that a file of this role can have."""
    if role in RESULTS:
        return words.width in (*RESULT_WIDTHS, SUM_BITS)
    if role == WEIGHT:
        return words.width in WEIGHT_WIDTHS
    # A transposed map has a word for each channel, as wide as the map has pixels.
    few = len(words) <= 16 and words.width % 4 == 0 and words.width >= 36
    return words.width in ACTIVATION_WIDTHS or few


def _widths(role: str) -> str:
    """Returns the widths of the words of a role, in words."""
    widths = {WEIGHT: WEIGHT_WIDTHS, ACTIVATION: ACTIVATION_WIDTHS}.get(role, RESULT_WIDTHS)
    return " or ".join(map(str, widths))


def _tile_file(words: Words, name: str, role: str) -> TileFile:
    """Returns the file with the numbers in its name: of the tile, the core, the kernel position."""
    stem, numbers = str(Path(name).with_suffix("")).lower(), {}
    for key, pattern in {
        "itile": r"(?<![a-z])(?:(?:i|ic|ich|in|input)_?tile|ic|ich|i)_?(\d+)",
        "otile": r"(?<![a-z])(?:(?:o|oc|och|out|output)_?tile|oc|och|o)_?(\d+)",
        "core": r"(?<![a-z])core_?(\d+)",
        "tile": r"(?<![a-z])tile_?(\d+)",
    }.items():
        if found := re.search(pattern, stem):
            numbers[key] = int(found[1])
            stem = f"{stem[: found.start(1)]}#{stem[found.end(1) :]}"
    if (tile := numbers.pop("tile", None)) is not None:
        numbers.setdefault("otile" if role == OUTPUT else "itile", tile)
    short = "|".join([*HINTS[role], *WHOLE_HINTS.get(role, ())])
    patterns = [
        r"(?<![a-z])kij_?(\d+)",
        rf"(?<![a-z])(?:{short})[a-z]*_?(\d+)(?![a-z0-9])",
        r"(?<![a-z0-9])(\d+)(?![a-z0-9])(?!.*(?<![a-z0-9])\d+(?![a-z0-9]))",
        r"(?<![a-z])[a-z]_?(\d+)$",  # a letter alone, as in psums/k0
    ]
    found = next((f for p in patterns if (f := re.search(p, stem))), None)
    if found:
        numbers["position"] = int(found[1])
        stem = f"{stem[: found.start(1)]}#{stem[found.end(1) :]}"
    return TileFile(words, name, role, numbers, stem)


def _with_channels_joined(files: list[TileFile]) -> tuple[list[TileFile], list[TileFile]]:
    """Returns the files with those of single channels joined, and those that cannot be joined.

    A file of one number a line is of one output channel, which its name gives. Eight or sixteen of
    these, from channel 0 or 1 on, become one file, in whose words the last channel comes first.
    """
    whole = [file for file in files if file.words.width != SUM_BITS]
    single = [file for file in files if file.words.width == SUM_BITS]
    groups: dict[tuple, dict[int, TileFile]] = defaultdict(dict)
    for file in single:
        channel, others = _channel(file)
        if channel is not None:
            groups[re.sub(r"\d+", "#", file.name), *sorted(others.items())][channel] = file
    for (_, *numbers), group in groups.items():
        order = [group[channel] for channel in sorted(group)]
        words = [file.words for file in order]
        whole_set = len(order) * SUM_BITS in RESULT_WIDTHS and min(group) <= 1
        if not whole_set or max(group) - min(group) >= len(order):
            continue
        if len({len(w) for w in words}) > 1:
            continue
        tokens = [re.findall(r"\d+|\D+", file.name) for file in order]
        name = "".join(t[0] if len(set(t)) == 1 else "*" for t in zip(*tokens, strict=True))
        joined = Words(
            words[0].path.with_name(Path(name).name),
            len(order) * SUM_BITS,
            np.concatenate([w.bits for w in reversed(words)], 1),
            words[0].lines,
            {at: text for w in words for at, text in w.malformed.items()},
        )
        whole.append(TileFile(joined, name, order[0].role, dict(numbers), name))
        single = [file for file in single if file not in order]
    return whole, single


def _channel(file: TileFile) -> tuple[int | None, dict[str, int]]:
    """Returns the output channel that the name of a file gives, and the other numbers in it."""
    others = dict(file.numbers)
    found = re.search(r"(?<![a-z])(?:channel|chan|ch)_?(\d+)", file.name.lower())
    for name in ("otile", *(["position"] if file.role == OUTPUT else [])):
        if not found and name in others:
            return others.pop(name), others
    if found and file.role == OUTPUT:
        others.pop("position", None)  # it is the channel; outputs have no kernel position
    return int(found[1]) if found else None, others


def _grouped(files: list[TileFile]) -> list[Series]:
    """Returns the files in series, each sorted by its numbers."""
    groups = defaultdict(list)
    for file in files:
        groups[file.series].append(file)
    order = ("core", "otile", "itile", "position")
    return [
        Series(sorted(group, key=lambda file: [file.numbers.get(key, 0) for key in order]))
        for group in groups.values()
    ]
