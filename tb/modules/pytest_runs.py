"""Gives the runs of the table to pytest."""

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from tb.modules.module_table import SIMULATORS, Run, runs_of


def each_run(bench: str) -> pytest.MarkDecorator:
    """Returns the mark by which a test function gets each `run` of a bench, and a `simulator`.

    Long runs have the mark `verify`, which leaves them to make verify.
    """
    return pytest.mark.parametrize(
        ("run", "simulator"),
        [
            pytest.param(
                run,
                simulator,
                id=f"{name(run)}-{simulator}",
                marks=[pytest.mark.verify] if run.long else [],
            )
            for run in runs_of(bench)
            for simulator in SIMULATORS
            if not run.simulators or simulator in run.simulators
        ],
    )


def name(run: Run) -> str:
    """Returns a run's name, with the module where a bench has several."""
    several = len({other.toplevel for other in runs_of(run.bench)}) > 1
    return f"{run.toplevel}-{run}" if several else str(run)


def first_few(values: Iterable[Any], count: int, named: Callable[[Any], str] = str) -> list[Any]:
    """Returns values for `pytest.mark.parametrize`, all but the first `count` with mark `verify`.

    `named` gives the name of a value's test.
    """
    return [
        pytest.param(value, id=named(value), marks=[pytest.mark.verify] if n >= count else [])
        for n, value in enumerate(values)
    ]
