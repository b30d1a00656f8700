"""Asks a compiler which files it reads, so that what is kept follows from all of them.

The compiler's preprocessor answers: it knows include folders, macros in the names of files, and
what conditional compilation leaves out.
"""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from pymodel.support.files import temporary_folder
from tb.sim.errors import BenchError
from tb.sim.process import execute
from tb.sim.simulators import VERILATOR_ROOT, environment

# Suffixes of sources for Verilator that are no Verilog
NOT_VERILOG = (".cpp", ".cc", ".cxx", ".c", ".h", ".hpp", ".vlt")
OPTIONS = ("-I", "-D", "+incdir+", "+define+")  # options that the preprocessor needs
# System tasks by which a simulation reads and writes files while it runs; the first literal
# argument of some is the file's name.
RUN_TIME = re.compile(r'(\$readmem[bh]|\$sreadmem[bh]|\$fopen)\b(?:\s*\(\s*"([^"\n]*)")?')


@dataclass(frozen=True)
class FilesRead:
    """The files that a simulation follows from, and whether there are others that are not known."""

    files: tuple[Path, ...]  # absolute; the sources first, in their order
    # Calls such as "$fopen", whose files only the simulation knows, and how the preprocessor died
    unknown: tuple[str, ...] = ()


_found: dict[tuple, tuple[FilesRead, list[int]]] = {}


def files_read(simulator: str, sources: Sequence[Path], arguments: Sequence[str] = ()) -> FilesRead:
    """Returns the files that a simulator reads of Verilog sources and all that they include.

    `arguments` are those of the command that compiles, by default `compiler_options(sources)`. A
    file that `$readmemh` or `$readmemb` reads from a literal absolute path counts too. Where the
    sources do not compile, they are the only files. A preprocessor that dies or hangs
    raises nothing here, since the simulator's own run says it better.
    """
    sources = [source.absolute() for source in sources]
    options = [
        word
        for before, word in zip(("", *arguments), arguments, strict=False)
        if word.startswith(OPTIONS) or before in OPTIONS
    ]
    options = options or compiler_options(sources)
    asked = (simulator, *map(str, sources), *options)
    if asked in _found:
        read, times = _found[asked]
        if _times(read.files) == times:
            return read
    verilog = [str(source) for source in sources if source.suffix not in NOT_VERILOG]
    with temporary_folder("read") as folder:
        ask = _ask_verilator if simulator == "verilator" else _ask_icarus
        try:
            names, text = ask(folder, options, verilog)
        except BenchError as error:
            return FilesRead(tuple(sources), (str(error),))
        found = [(folder / name).resolve() for name in names]
    # A compiler looks in the folder that it works in, too, and may work in another one later.
    unknown = [f"`include {name}" for name in names if name and not Path(name).is_absolute()]
    for call, name in RUN_TIME.findall(text):
        if call != "$fopen" and Path(name).is_absolute() and Path(name).is_file():
            found.append(Path(name))
        else:
            unknown.append(call)
    known = {source.resolve() for source in sources}
    more = sorted({file for file in found if file not in known and file.is_file()})
    read = FilesRead((*sources, *more), tuple(dict.fromkeys(unknown)))
    _found[asked] = read, _times(read.files)
    return read


def compiler_options(
    sources: Sequence[Path],
    includes: Sequence[Path] = (),
    defines: Mapping[str, str | int] = MappingProxyType({}),
) -> list[str]:
    """Returns the options by which cocotb compiles `sources`: macros, and folders to search.

    `includes` are folders that are searched before those of the sources, `defines` values of
    macros, "" for one without a value.
    """
    folders = include_folders(sources, includes)
    # What cocotb defines may choose what is included.
    return ["-DCOCOTB_SIM=1", *map("-D{}".format, macros(defines)), *map("-I{}".format, folders)]


def include_folders(sources: Sequence[Path], includes: Sequence[Path] = ()) -> list[Path]:
    """Returns the folders `includes`, and after them the folders of the sources, sorted."""
    return list(dict.fromkeys([*includes, *sorted({source.parent for source in sources})]))


def macros(defines: Mapping[str, str | int]) -> list[str]:
    """Returns macros as compilers take them after -D.

    >>> macros({"WIDTH": 8, "SIGNED": ""})
    ['WIDTH=8', 'SIGNED']
    """
    return [f"{name}={value}" if value != "" else name for name, value in defines.items()]


def _ask_icarus(folder: Path, options: list[str], verilog: list[str]) -> tuple[list[str], str]:
    """Returns the names of the files that Icarus reads, and the text after its preprocessor."""
    listed, expanded = folder / "files.txt", folder / "expanded.v"
    command = ["iverilog", "-g2012", "-E", f"-Mall={listed}", "-o", str(expanded)]
    code = execute([*command, *options, *verilog], folder, dict(os.environ), lambda line: None)
    if code or not expanded.exists():
        return [], ""
    names = listed.read_text().split("\n")  # other characters that end lines may be in a name
    return names, expanded.read_text(errors="replace")


def _ask_verilator(folder: Path, options: list[str], verilog: list[str]) -> tuple[list[str], str]:
    """Returns the names of the files that Verilator reads, and the text after its preprocessor."""
    lines = []
    with environment("verilator"):
        program = str(VERILATOR_ROOT / "bin" / "verilator")
        command = ["perl", program, "-E", *options, *verilog]
        if execute(command, folder, dict(os.environ), lines.append):
            return [], ""
    names = [re.match(r'`line \d+ "([^"]+)"', line) for line in lines]
    return list(dict.fromkeys(name[1] for name in names if name)), "\n".join(lines)


def _times(files: Sequence[Path]) -> list[int]:
    """Returns when each file changed last, in ns, 0 for one that is gone."""
    return [file.stat().st_ctime_ns if file.exists() else 0 for file in files]
