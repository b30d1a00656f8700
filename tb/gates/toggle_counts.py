"""Reads how often each net has toggled from a file in the Switching Activity Interchange Format.

Verilator writes such files with --trace-saif. The format is that of IEEE 1801-2018, annex I.
"""

from collections.abc import Iterator
from pathlib import Path

import sexpdata

from pymodel.support.errors import InputError

Place = tuple[str, ...]  # instances and scopes, from the top module on


def toggle_counts(path: Path) -> dict[Place, dict[str, int]]:
    """Returns the toggles of each bit, by its name, of each instance or scope.

    Raises InputError if the file is missing or is no such file.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}, expected a SAIF file") from None
    # Comments are those of C++.
    lines = (line for line in text.splitlines() if not line.lstrip().startswith("//"))
    # Brackets belong to names here, and to lists in the language that the parser is made for.
    plain = "\n".join(lines).replace("\\[", "{").replace("\\]", "}").replace("[", "{")
    try:
        whole = sexpdata.loads(plain.replace("]", "}"))
        if _word(whole[0]) != "SAIFILE":
            raise ValueError
        found = dict(_instances(whole[1:], ()))
    except (AssertionError, LookupError, TypeError, ValueError, sexpdata.ExpectClosingBracket):
        raise InputError(f"{path}: not what Verilator writes, expected a SAIF file") from None
    if not found:
        raise InputError(f"{path}: holds no instance, expected the nets of a design")
    return found


def _instances(items: list, place: Place) -> Iterator[tuple[Place, dict[str, int]]]:
    """Yields the instances among the items of an instance, at every depth, with their toggles."""
    for item in items:
        if not isinstance(item, list) or not item or _word(item[0]) != "INSTANCE":
            continue
        inner = (*place, _word(item[1]))
        nets = {}
        for part in item[2:]:
            if isinstance(part, list) and part and _word(part[0]) == "NET":
                for net in part[1:]:
                    counts = {_word(count[0]): count[1] for count in net[1:]}
                    nets[_word(net[0])] = int(counts["TC"])
        yield inner, nets
        yield from _instances(item[2:], inner)


def _word(symbol: object) -> str:
    """Returns a symbol or number as text, with the brackets of a name."""
    text = symbol.value() if isinstance(symbol, sexpdata.Symbol) else str(symbol)
    return text.replace("{", "[").replace("}", "]")
