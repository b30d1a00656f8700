"""Shows on one screen where a comparison failed first, the psums there, and the likely cause.

The waveform around that place is cut out for `make gtkwave WAVE=mismatch`.
"""

import os
from pathlib import Path

from rich import box
from rich.columns import Columns
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from pymodel.support.command import tell
from pymodel.support.files import RESULTS, write_json
from tb.components.tile_run import Record
from tb.run.likely_cause import LEAST_AGREEMENT, Diagnosis, diagnose
from tb.sim.wave_window import cut_waveform
from tb.sim.waves import SAVE_FILES, WAVES, Watch

SHOWN = 8  # number of psum vectors, and of columns, in a map
SUSPECTS = 3  # number of suspects in the table
CYCLES_AROUND = 50  # cycles of the waveform, before and after the first wrong psum
WAVEFORM = WAVES / "mismatch.fst"
MISMATCH = RESULTS / "mismatch.json"


def forget_mismatch() -> None:
    """Removes the files that an earlier run left on a mismatch."""
    for path in (MISMATCH, WAVEFORM, *map(WAVEFORM.with_suffix, SAVE_FILES.values())):
        path.unlink(missing_ok=True)


def show_mismatch(record: Record) -> int:
    """Prints the screen and writes `build/results/mismatch.json`; returns the cycle to look at.

    The cycle is that of the first wrong psum. If no psum is wrong, it is that of the last psum, and
    no screen is printed or written.
    """
    if found := diagnose(record):
        tell(*screen(record, found))
        write_json(MISMATCH, summary(record, found))
        return found.cycle
    # All psums that came are right: some are missing, or too many, or a later step is wrong.
    cycle = int(record.cycles[-1]) if len(record.cycles) else 0
    tell(f"All {len(record.received):,} psum vectors that came are right, up to cycle {cycle}.")
    return cycle


def watch_around(record: Record, cycle: int) -> Watch:
    """Returns the waveform to write when the run of `record` is repeated, with `cycle` in it."""
    return Watch(str(WAVEFORM), cycle + CYCLES_AROUND + 1, record.before_edge(cycle))


def cut_around(record: Record, cycle: int, whole: Path) -> None:
    """Writes the cycles around `cycle`, of the waveform `whole`, to `build/waves/mismatch.fst`.

    Raises InputError if `whole` is no waveform.
    """
    first, last = max(0, cycle - CYCLES_AROUND), cycle + CYCLES_AROUND
    cut_waveform(whole, WAVEFORM, record.time(first), record.time(last))
    where = os.path.relpath(WAVEFORM)
    tell(f"Waveform of cycles {first} to {last}: {where}; open it with: make gtkwave WAVE=mismatch")


def screen(record: Record, found: Diagnosis) -> list[RenderableType]:
    """Returns the parts of the screen: maps of expected and received psums, suspects, hint."""
    image, tile, y, x = record.run.at(found.index)
    title = (
        f"First wrong {record.run.shows}: image {image}, {record.run.tile_words(tile)}, "
        f"pixel ({y}, {x}), channel {_channel(record, found)} (column {found.column}), "
        f"cycle {found.cycle}"
    )
    maps = Columns([_map(record, found, "expected"), _map(record, found, "got")], padding=(0, 3))
    last = Text(f"Hint: {hint(record, found)}", "bold")
    between = Text("")
    return [between, Text(title, "bold"), maps, between, _suspects(found), between, last]


def _channel(record: Record, found: Diagnosis) -> int:
    """Returns the output channel of the first wrong psum."""
    _, tile, _, _ = record.run.at(found.index)
    return tile.output_group * record.received.shape[1] + found.column


def hint(record: Record, found: Diagnosis) -> str:
    """Returns one sentence that names the likely cause, or says that there is none."""
    if found.hint:
        how = f"explains {found.hint.explained:,} of {found.wrong:,} wrong psums"
        if found.hint.precision < LEAST_AGREEMENT:
            how += f"; only at times, {found.hint.precision:.0%} of what it predicts"
        return f"{found.hint.words} ({how})."
    if found.unknown:
        return f"{found.unknown}."
    return "none of the usual suspects explains it."


def summary(record: Record, found: Diagnosis) -> dict:
    """Returns the contents of the screen as a dictionary (the keys of mismatch.json)."""
    image, tile, y, x = record.run.at(found.index)
    return {
        "image": image,
        "kernel_position": [tile.ky, tile.kx],
        "input_group": tile.input_group,
        "output_group": tile.output_group,
        "pixel": [y, x],
        "column": found.column,
        "channel": _channel(record, found),
        "cycle": found.cycle,
        "expected": found.expected,
        "got": found.got,
        "wrong": found.wrong,
        "hint": hint(record, found),
        "suspects": [
            {
                "words": suspect.words,
                "explained": suspect.explained,
                "recall": suspect.recall,
                "precision": suspect.precision,
                "value": suspect.value,
            }
            for suspect in found.suspects[:SUSPECTS]
        ],
    }


def _map(record: Record, found: Diagnosis, side: str) -> Table:
    """Returns a map of psums around the first wrong one: a row for each psum vector.

    `side` says whether it shows the "expected" psums or those that were "got". Wrong ones have a
    star.
    """
    count, cols = record.received.shape
    columns = _around(found.column, cols)
    expected = record.run.expected.reshape(-1, cols)
    table = Table(title=side, box=None, padding=(0, 0, 0, 1))
    several = "group" in record.run.tile_words(record.run.tiles.tiles[0])
    of_tiles = record.run.shows == "psum"
    if of_tiles:
        table.add_column("tile", no_wrap=True)
    if several:
        table.add_column("groups", no_wrap=True)
    table.add_column("pixel", no_wrap=True)
    for column in columns:
        table.add_column(f"{column} ", justify="right", no_wrap=True)
    for row in _around(found.index, count):
        _, tile, y, x = record.run.at(row)
        cells = []
        for column in columns:
            unknown = record.unknown[row, column]
            wrong = unknown or record.received[row, column] != expected[row, column]
            if side == "got":
                value = "X" if unknown else record.received[row, column]
            else:
                value = expected[row, column]
            first = (row, column) == (found.index, found.column)
            style = "bold red reverse" if first else "red" if wrong else ""
            cells.append(Text(f"{value}{'*' if wrong else ' '}", style))
        places = [f"({tile.ky},{tile.kx})"] if of_tiles else []
        if several:
            before = f"{tile.input_group}→" if of_tiles else ""
            places.append(f"{before}{tile.output_group}")
        table.add_row(*places, f"({y},{x})", *cells)
    return table


def _suspects(found: Diagnosis) -> Table:
    """Returns the table of suspects: the psum that each predicts, and how many it explains."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column("suspect")
    for header in ("psum\nthere", "explains,\nof the wrong", "received,\nof predicted"):
        table.add_column(header, justify="right")
    table.add_row("none: what was expected", str(found.expected), "", "")
    table.add_row("received", "X" if found.got is None else str(found.got), "", "")
    for suspect in found.suspects[:SUSPECTS]:
        shares = f"{suspect.recall:.0%}", f"{suspect.precision:.0%}"
        table.add_row(suspect.words, str(suspect.value), *shares)
    return table


def _around(place: int, count: int) -> range:
    """Returns up to SHOWN indices from 0 to `count` − 1 around `place`."""
    start = min(max(0, place - SHOWN // 2), max(0, count - SHOWN))
    return range(start, min(count, start + SHOWN))
