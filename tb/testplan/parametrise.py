"""Gives the runs of the table to pytest."""

import pytest

from tb.testplan.modules import SIMULATORS, Run, runs_of


def each_run(bench: str) -> pytest.MarkDecorator:
    """Returns the mark by which a test function gets each `run` of a bench, and a `simulator`.

    Long runs are left to make verify.
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
