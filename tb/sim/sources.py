"""Finds the Verilog sources of a run, and puts faults into copies of them."""

import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from pymodel.support.errors import InputError
from pymodel.support.files import ROOT
from tb.sim.files_read import files_read
from tb.sim.kept_results import digest

RTL = ROOT / "rtl"
COMMENT = r"//[^\n]*|/\*.*?\*/"
OPERATOR = r"<<<|>>>|===|!==|<<|>>|<=|>=|==|!=|&&|\|\||~&|~\||~\^|\^~|\*\*|\+:|-:|[^\w\s]"
TOKEN = re.compile(rf'{COMMENT}|"[^"\n]*"|[\w$]+|{OPERATOR}', re.DOTALL)


def check_sources(rtl: Path) -> list[Path]:
    """Returns the Verilog sources in folder `rtl`, sorted; raises InputError if there are none."""
    sources = sorted([*rtl.glob("*.v"), *rtl.glob("*.sv")])
    if not sources:
        raise InputError(f"{rtl}: holds no Verilog sources (*.v, *.sv), expected at least one")
    return sources


def rtl_digest(rtl: Path = RTL, simulator: str = "icarus") -> str:
    """Returns the hash of the Verilog in a folder, and of all that the simulator reads with it.

    A result about the RTL counts for the RTL with the same hash alone.
    """
    return sources_digest(check_sources(rtl), simulator)


def sources_digest(
    sources: Sequence[Path], simulator: str = "icarus", options: Sequence[str] = ()
) -> str:
    """Returns the hash of Verilog sources, and of all that the simulator reads with them.

    `options` are those of the compiler, by default those of sources without macros.
    Files with the same names and contents have the same hash in every folder.
    """
    files = files_read(simulator, sources, options).files
    return digest(*(part for file in files for part in (file.name, file.read_bytes())))[:16]


class Untouched:
    """Files that must stay as they are; nothing that changed and changed back counts as the same.

    A file's time of change (st_ctime) is compared, which no program can set; where the file is a
    symbolic link, also that of the link.
    """

    def __init__(self, files: Sequence[Path]):
        self._times = {file: _change_times(file) for file in files}

    @classmethod
    def of(cls, rtl: Path) -> "Untouched":
        """Returns the Verilog sources in folder `rtl`, with all that Icarus reads with them."""
        return cls(files_read("icarus", check_sources(rtl)).files)

    def check(self) -> None:
        """Raises InputError for the first file that was changed, or removed."""
        for file, times in self._times.items():
            if not file.exists() or _change_times(file) != times:
                raise InputError(f"{file}: changed while the command ran; run the command again")


def _change_times(file: Path) -> tuple[int, int]:
    return file.stat().st_ctime_ns, file.lstat().st_ctime_ns


def tokens(verilog: str) -> list[re.Match]:
    """Returns the tokens of a Verilog text, without its blanks and comments."""
    found = TOKEN.finditer(verilog)
    return [token for token in found if not token[0].startswith(("//", "/*"))]


def find_once(text: str, old: str, where: str) -> slice:
    """Returns where the tokens of `old` stand in the Verilog `text`; their spacing does not count.

    Raises InputError, with `where` as the text's name, unless there is exactly one such place.
    """
    found, wanted = tokens(text), [token[0] for token in tokens(old)]
    source = [token[0] for token in found]
    count = len(wanted)
    starts = [
        start
        for start in range(len(source) - count + 1)
        if count and source[start : start + count] == wanted
    ]
    if len(starts) != 1:
        what = " ".join(old.split())
        raise InputError(f"{where}: '{what}' occurs {len(starts)} times, expected once")
    return slice(found[starts[0]].start(), found[starts[0] + count - 1].end())


def replace_once(text: str, old: str, new: str, where: str) -> str:
    """Returns the Verilog `text` with `new` for `old`; raises InputError as `find_once` does."""
    place = find_once(text, old, where)
    return text[: place.start] + new + text[place.stop :]


def faulty_rtl(folder: Path, source: str, *replacements: tuple[str, str]) -> Path:
    """Copies `rtl/` into `folder`, with each (old, new) replaced in one source; returns its path.

    Raises InputError as `replace_once` does, if the source has changed so that a fault finds no
    place.
    """
    rtl = folder / "rtl"
    shutil.copytree(RTL, rtl, dirs_exist_ok=True)
    text = (rtl / source).read_text()
    for old, new in replacements:
        text = replace_once(text, old, new, f"rtl/{source}")
    (rtl / source).write_text(text)
    return rtl
