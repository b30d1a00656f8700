"""Says what a simulation of Verilog sources does not show of the hardware that they become."""

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from pymodel.support.errors import InputError
from tb.sim.sources import COMMENT

CONDITION = r"`(?:ifdef|ifndef|elsif)\s+"
# A condition on a macro that cocotb, a simulator, Yosys or synthesis defines, and the comment by
# which synthesis leaves out what follows
SIMULATION_MACRO = re.compile(
    CONDITION + r"(COCOTB_SIM|VERILATOR|__ICARUS__|SYNTHESIS|YOSYS|FORMAL)\b"
    r"|(?:synthesis|synopsys|pragma)\s+(translate_off)\b"
)
# A constant that holds Z, but not the ? of casez, and no pattern of casez
DRIVEN_Z = re.compile(r"[=?:{,(]\s*\d*'s?(?:[bodh][\da-fx_]*)?z", re.IGNORECASE)


def source_notes(
    files: Sequence[Path], simulator: str, options: Sequence[str], sources: Iterable[Path] = ()
) -> list[str]:
    """Returns notes on the files that a simulator reads, compiled with `options`.

    `sources` are those of the files that the compiler is given by path; others are included. Raises
    InputError if a file is included of which the options' folders have another one.
    """
    given = {source.resolve() for source in sources}
    _refuse_two_of_one_name([file for file in files if file.resolve() not in given], options)
    texts = {file: file.read_text(errors="replace") for file in files}
    return [
        *_on_macros(texts.items()),
        *_on_given_macros(texts.items(), options),
        *(_on_z(texts.items()) if simulator == "verilator" else ()),
    ]


def refuse_in_sources(
    sources: Iterable[Path], words: re.Pattern, expected: str, *, comments: bool = False
) -> None:
    """Raises InputError for the first place in Verilog sources that holds `words`.

    What stands in comments counts with `comments` alone. `expected` ends the message.
    """
    for file in sources:
        text = file.read_text(errors="replace")
        if not comments:
            text = re.sub(COMMENT, lambda found: "\n" * found[0].count("\n"), text, flags=re.DOTALL)
        if found := words.search(text):
            line = text.count("\n", 0, found.start()) + 1
            raise InputError(f"{file}, line {line}: '{found[0]}', expected {expected}")


def _on_macros(texts: Iterable[tuple[Path, str]]) -> Iterator[str]:
    """Yields a note for each file whose text depends on whether a simulator reads it."""
    for file, text in texts:
        macros = sorted({macro or comment for macro, comment in SIMULATION_MACRO.findall(text)})
        if macros:
            yield (
                f"note: {file.name} depends on {', '.join(macros)}, which simulation, proofs and "
                "synthesis know differently: what is simulated is not all that becomes hardware"
            )


def _on_given_macros(texts: Iterable[tuple[Path, str]], options: Sequence[str]) -> Iterator[str]:
    """Yields a note for each file whose text depends on a macro of the options."""
    given = {word[2:].partition("=")[0] for word in options if word.startswith("-D")}
    for file, text in texts:
        found = sorted((given - {"COCOTB_SIM"}) & set(re.findall(CONDITION + r"(\w+)", text)))
        if found:
            yield (
                f"note: {file.name} depends on {', '.join(found)} of DEFINES: it is this hardware "
                "only if synthesis gets the same"
            )


def _on_z(texts: Iterable[tuple[Path, str]]) -> Iterator[str]:
    """Yields a note for each file that drives Z, which Verilator takes for 0."""
    for file, text in texts:
        if DRIVEN_Z.search(text):
            yield f"note: {file.name} drives Z, which Verilator takes for 0; SIM=icarus shows it"


def _refuse_two_of_one_name(files: Sequence[Path], options: Sequence[str]) -> None:
    """Raises InputError if a folder of the options has another file of a file's name."""
    folders = [Path(word[2:]) for word in options if word.startswith("-I")]
    for file in files:
        for other in (folder / file.name for folder in folders):
            if other.is_file() and other.read_bytes() != file.read_bytes():
                raise InputError(
                    f"{file} and {other} have one name and are not the same; a simulator takes "
                    "the first that it finds, expected one file of this name"
                )
