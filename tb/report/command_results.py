"""Reads the results that the commands have left in build/results, and sums them up in a table."""

import csv
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from pymodel.support.errors import InputError
from pymodel.support.files import ROOT
from pymodel.support.result_files import Verdict, read_verdict
from tb.sim.result_about import others


class Kind(NamedTuple):
    """A kind of value: a test of it, and its name in words."""

    words: str
    accepts: Callable[[Any], bool]


def _within(low: float, high: float) -> Callable[[Any], bool]:
    return lambda value: type(value) in (int, float) and low <= value <= high


LARGEST = 1e15  # no figure of this project is larger
NUMBER = Kind("a number from 0", _within(0, LARGEST))
NUMBER_OR_NULL = Kind("a number from 0, or null", lambda v: v is None or NUMBER.accepts(v))
POSITIVE = Kind("a number above 0", _within(1e-15, LARGEST))
SHARE = Kind("a share from 0 to 1", _within(0, 1))
PERCENT = Kind("a number from 0 to 100", _within(0, 100))
OBJECT = Kind("an object with entries", lambda value: isinstance(value, dict) and len(value) > 0)
TEXT = Kind("a text", lambda value: isinstance(value, str))
LINES = Kind("a list of lines", lambda v: isinstance(v, list) and all(map(TEXT.accepts, v)))
COUNT = Kind("a number or a list", lambda v: NUMBER.accepts(v) or isinstance(v, list))

LOG_COLUMNS = {
    "epoch": POSITIVE,
    "size": POSITIVE,
    "quantised": SHARE,
    "train_loss": NUMBER,
    "train_accuracy": SHARE,
    "test_accuracy_1000": SHARE,
}


@dataclass(frozen=True)
class Check:
    """The results file of a command, and how one line sums it up."""

    name: str  # name of the file, without .json
    target: str  # target of make that writes the file
    what: str  # in the table: what the command checks or measures
    keys: Mapping[str, Kind]  # keys that the file must have; a list of such objects if `several`
    summary: Callable[[Any], str]
    # Whether a value is wrong; None for a command that only measures
    wrong: Callable[[Any], bool] | None = None
    several: bool = False
    about: tuple[str, ...] = ("rtl", "bench")  # names of the hashes that a result needs

    def read(self, folder: Path) -> Any | None:
        """Returns the contents of the results file, or None without a file.

        Raises InputError if the file is damaged, or is not what the command writes.
        """
        path = folder / f"{self.name}.json"
        if not path.exists():
            return None
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(
                f"{shown(path)}: no readable JSON ({reason}); expected what make {self.target} "
                "writes, or no file"
            ) from None
        objects = value if self.several else [value]
        if not isinstance(objects, list) or not objects:
            raise self._foreign(path, f"holds {brief(value)}, expected a list of objects")
        for entry in objects:
            if not isinstance(entry, dict):
                raise self._foreign(path, f"holds {brief(entry)}, expected an object")
            for key, kind in self.keys.items():
                if key not in entry:
                    raise self._foreign(path, f"'{key}' is missing, expected {kind.words}")
                if not kind.accepts(entry[key]):
                    found = brief(entry[key])
                    raise self._foreign(path, f"'{key}' is {found}, expected {kind.words}")
        return value

    def state(self, value: Any, verdict: Verdict | None, now: Mapping[str, str]) -> tuple[str, str]:
        """Returns the state of the results' row, and words that its result ends with."""
        if self.wrong and self.wrong(value):
            return "wrong", ""
        if verdict is None:
            return "stale", f"; whether the run passed is not known: make {self.target} again"
        if not verdict.passed:
            return "wrong", f"; make {self.target} failed"
        if old := others(verdict.about, now, self.about):
            return "stale", f"; of {' and '.join(old)}: make {self.target} again"
        return ("right" if self.wrong else "measured"), ""

    def _foreign(self, path: Path, words: str) -> InputError:
        return InputError(f"{shown(path)}: {words}, as make {self.target} writes it")


class Row(NamedTuple):
    """A line of the verification table."""

    what: str
    result: str
    state: str  # "right", "wrong", "measured", "stale" or "missing"
    command: str
    written: str  # time of the result, or nothing


def brief(value: Any) -> str:
    """Returns a value as one line of at most 40 characters."""
    text = ascii(value)
    return text if len(text) <= 40 else text[:37] + "..."


def shown(path: Path) -> str:
    """Returns a path relative to the working directory."""
    return os.path.relpath(path)


def count(value: float | list) -> int:
    """Returns a number that was counted, or the length of a list."""
    return len(value) if isinstance(value, list) else int(value)


def _core(rows: list[dict]) -> str:
    least = min(row["limit_cycles"] / row["cycles"] for row in rows)
    largest = {row["layer"]: row for row in sorted(rows, key=lambda row: row["batch"])}.values()
    codes, differing = (sum(row[key] for row in largest) for key in ("codes", "codes_differing"))
    return (
        f"{len(rows)} runs, at least {least:.1%} of the limit; "
        f"{differing:,} of {codes:,} codes are not those of float32"
    )


def _layer(result: dict) -> str:
    shows, error = result.get("shows", "psum"), result["max_abs_error"]
    largest = "" if error is None else f"largest error {error:.1e}, "
    return (
        f"{result['psum_mismatches']:,} of {result['psums_checked']:,} {shows}s differ, {largest}"
        f"{result['images']:,} images, {result['simulator']}"
    )


def _percents(result: dict) -> str:
    names = ("line", "branch", "toggle", "functional")
    return ", ".join(f"{name} {result[name]:.1f}%" for name in names)


def _restricted(result: dict) -> str:
    return f"; {result['restricted']} for small sizes" if result.get("restricted") else ""


def _first_line(wrong: list[str]) -> str:
    """Returns the first line that says what is wrong, and how many there are; "" without one."""
    return f"; {wrong[0]} ({len(wrong)} such)" if wrong else ""


def _over_seeds(result: dict) -> Counter:
    """Returns the counts of the netlist mutants, summed over all seeds."""
    return sum((Counter(counts) for counts in result["seeds"].values()), Counter())


def _faults(result: dict) -> str:
    drawn = _over_seeds(result)
    seeds = f"seed{'s' * (len(result['seeds']) > 1)} {', '.join(result['seeds'])}"
    return (
        f"{result['named']} named, {drawn['netlist']:,} drawn ({seeds}): "
        f"{result['survived'] + result['broken']} and {drawn['survived'] + drawn['broken']} not "
        f"found; {drawn['equivalent']} of the drawn change nothing, which is proven"
    )


CORE = Check(
    "core",
    "bench",
    "Every quantised layer on the core, results and cycles",
    {
        "layer": TEXT,
        "batch": POSITIVE,
        "cycles": POSITIVE,
        "limit_cycles": POSITIVE,
        "dense_limit_cycles": POSITIVE,
        "codes": NUMBER,
        "codes_differing": NUMBER,
    },
    _core,
    several=True,
    about=("rtl", "checkpoint", "bench"),
)
EVALUATE = Check(
    "evaluate",
    "evaluate",
    "Accuracy, squeezed layer in float and in integers",
    {
        "images": POSITIVE,
        "accuracy": SHARE,
        "accuracy_integer_layer": SHARE,
        "predictions_differing": NUMBER,
    },
    lambda r: (
        f"{r['accuracy']:.2%} and {r['accuracy_integer_layer']:.2%} on {r['images']:,} "
        f"images, {r['predictions_differing']:,} predictions differ"
    ),
    about=("checkpoint",),
)
ACCURACY = Check(
    "accuracy",
    "accuracy",
    "Accuracy, squeezed layer on the RTL core",
    {
        "images": POSITIVE,
        "accuracy_rtl": SHARE,
        "sums_checked": POSITIVE,
        "sum_mismatches": NUMBER,
        "predictions_differing": NUMBER,
    },
    lambda r: (
        f"{r['accuracy_rtl']:.2%} on {r['images']:,} images, {r['sum_mismatches']:,} of "
        f"{r['sums_checked']:,} sums and {r['predictions_differing']:,} predictions differ"
    ),
    lambda r: r["sum_mismatches"] + r["predictions_differing"] > 0,
    about=("rtl", "checkpoint", "bench"),
)
NETWORK = Check(
    "network",
    "network",
    "All quantised layers on the RTL core",
    {
        "images": POSITIVE,
        "accuracy_rtl": SHARE,
        "codes_checked": POSITIVE,
        "code_mismatches": NUMBER,
        "predictions_differing": NUMBER,
    },
    lambda r: (
        f"{r['accuracy_rtl']:.2%} on {r['images']:,} images, {r['code_mismatches']:,} of "
        f"{r['codes_checked']:,} codes and {r['predictions_differing']:,} predictions differ"
    ),
    lambda r: r["code_mismatches"] + r["predictions_differing"] > 0,
    about=("rtl", "checkpoint", "bench"),
)
PNR = Check(
    "pnr",
    "pnr",
    "Clock on an ECP5, worst of its seeds",
    {"mhz": POSITIVE},
    lambda r: f"{r['mhz']:.1f} MHz",
)
CHECKS = (
    Check(
        "layer",
        "layer",
        "A layer on the array, every psum (the last run of make)",
        {
            "simulator": TEXT,
            "images": POSITIVE,
            "psums_checked": POSITIVE,
            "psum_mismatches": NUMBER,
            "max_abs_error": NUMBER_OR_NULL,
            "max_error_steps": NUMBER_OR_NULL,
            "max_error_share": NUMBER_OR_NULL,
        },
        _layer,
        lambda r: r["psum_mismatches"] > 0 or (r["max_error_share"] or 0) >= 1,
        about=("rtl", "checkpoint", "adapter", "bench"),
    ),
    CORE,
    NETWORK,
    ACCURACY,
    EVALUATE,
    Check(
        "mutation",
        "mutate",
        "Faults put into the RTL on purpose",
        {
            "named": NUMBER,
            "killed": NUMBER,
            "survived": NUMBER,
            "equivalent": NUMBER,
            "broken": NUMBER,
            "seeds": OBJECT,
        },
        _faults,
        lambda r: r["survived"] + r["broken"] + _over_seeds(r)["survived"] > 0,
    ),
    Check(
        "python_mutation",
        "mutate-python",
        "Faults put into the Python that judges",
        {"mutants": COUNT, "killed": NUMBER, "harmless": NUMBER, "survived": NUMBER},
        lambda r: (
            f"{r['survived']:,} of {count(r['mutants']):,} in {r['modules']} modules not found; "
            f"{r['harmless']:,} are listed that change no verdict"
        ),
        lambda r: r["survived"] > 0,
        about=("bench",),
    ),
    Check(
        "formal",
        "formal",
        "Formal properties",
        {"properties": COUNT, "proven": COUNT, "failed": COUNT, "unbounded": COUNT, "wrong": LINES},
        lambda r: (
            f"{count(r['proven']):,} of {count(r['properties']):,} proven, "
            f"{count(r['unbounded']):,} of them unbounded, {count(r['failed']):,} failed"
            f"{_restricted(r)}{_first_line(r['wrong'])}"
        ),
        lambda r: (
            count(r["failed"]) + len(r["wrong"]) > 0 or count(r["proven"]) < count(r["properties"])
        ),
    ),
    Check(
        "coverage",
        "coverage",
        "Coverage of the RTL by the benches",
        {"line": PERCENT, "branch": PERCENT, "toggle": PERCENT, "functional": PERCENT},
        _percents,
    ),
    Check(
        "soak",
        "soak",
        "Faults around the bench",
        {"tries": POSITIVE, "failed": NUMBER, "checkpoints_refused": NUMBER},
        lambda r: (
            f"{r['failed']:,} of {r['tries']:,} tries did harm, "
            f"{r['checkpoints_refused']:,} damaged checkpoints refused"
        ),
        lambda r: r["failed"] > 0,
        about=("bench",),
    ),
    Check(
        "bench",
        "bench",
        "Speed with cocotb, of the same host without it",
        {"simulator": TEXT, "ratio": POSITIVE},
        lambda rows: ", ".join(f"{row['simulator']} {row['ratio']:.2f}" for row in rows),
        several=True,
    ),
    Check(
        "synth",
        "synth",
        "Cells of the core on an ECP5",
        {"total": POSITIVE},
        lambda r: f"{r['total']:,} cells",
    ),
    PNR,
    Check(
        "netlist",
        "netlist",
        "Gate-level netlist of array and core under the same benches",
        {"gates": OBJECT, "tests": POSITIVE, "failed": NUMBER, "psums_checked": NUMBER},
        lambda r: (
            f"{r['tests']:,} tests on {len(r['gates'])} netlists, {r['failed']:,} failed; "
            f"{r['psums_checked']:,} psums of the layer"
        ),
        lambda r: r["failed"] > 0,
    ),
)


def read_all(folder: Path) -> dict[str, Any]:
    """Returns the contents of all results files, by name; raises InputError if one is damaged."""
    found = {check.name: check.read(folder) for check in CHECKS}
    return {name: value for name, value in found.items() if value is not None}


def table(folder: Path, results: Mapping[str, Any], now: Mapping[str, str]) -> list[Row]:
    """Returns a row for each check whose command exists or has left results in `folder`.

    A result is right only if its verdict says that the run passed, and that it is about what lies
    here `now`: the hashes of RTL, checkpoint and adapter by these names. Otherwise the row says of
    what it is instead. A bench's hash is found here.
    """
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    rows = []
    for check in CHECKS:
        command = f"make {check.target}"
        if check.name in results:
            value, path = results[check.name], folder / f"{check.name}.json"
            state, words = check.state(value, read_verdict(path), now)
            written = datetime.fromtimestamp(path.stat().st_mtime, UTC)
            said = f"{check.summary(value)}{words}"
            rows.append(Row(check.what, said, state, command, utc_text(written)))
        elif check.target in targets:
            rows.append(Row(check.what, f"not run yet: {command}", "missing", command, ""))
    return rows


def up_to_date(folder: Path, results: Mapping[str, Any], now: Mapping[str, str]) -> dict[str, Any]:
    """Returns the results whose rows in `table` are neither wrong nor stale."""
    return {
        check.name: results[check.name]
        for check in CHECKS
        if check.name in results
        and check.state(results[check.name], read_verdict(folder / f"{check.name}.json"), now)[0]
        in ("right", "measured")
    }


def utc_text(time: datetime) -> str:
    """Returns a UTC time as text, such as "2026-01-31 09:05 UTC"."""
    return time.strftime("%Y-%m-%d %H:%M UTC")


def read_log(path: Path) -> list[dict[str, float]]:
    """Returns the log of a training, a dictionary for each epoch, or [] without a file.

    Raises InputError if the file is damaged or no such log.
    """
    if not path.exists():
        return []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            lines = list(csv.DictReader(file))
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"{shown(path)}: no readable CSV ({error}), expected a log") from None
    if not lines:
        raise InputError(f"{shown(path)}: holds no epoch, expected the log of a training")
    rows = []
    for line, found in enumerate(lines, 2):
        row = {}
        for name, kind in LOG_COLUMNS.items():
            text = found.get(name)
            try:
                row[name] = float(text)
            except (TypeError, ValueError):
                row[name] = None
            if not kind.accepts(row[name]):
                raise InputError(
                    f"{shown(path)}: line {line}: {name} is {brief(text)}, expected {kind.words}"
                )
        rows.append(row)
    return rows
