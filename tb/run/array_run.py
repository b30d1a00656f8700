"""Runs a bench that records every psum of the array, and repeats the run after a mismatch."""

import re
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from pymodel.support.command import quiet, tell
from pymodel.support.errors import InputError
from pymodel.support.files import publish
from tb.components.array_adapter import ArrayAdapter
from tb.components.tile_run import Record
from tb.run.mismatch_screen import cut_around, forget_mismatch, show_mismatch, watch_around
from tb.sim.errors import BenchError
from tb.sim.run_bench import run_bench
from tb.sim.waves import Watch


class Bar:
    """A bar of the psum vectors that came, drawn once a run is long enough to print a line."""

    def __init__(self):
        self._bar: tqdm | None = None

    def heard(self, line: str) -> None:
        """Takes a line that the simulation prints (tb/components/array_adapter.py)."""
        if not (found := re.search(r"cycle \d+: (\d+) of (\d+) psum vectors", line)):
            return
        came, total = map(int, found.groups())
        if self._bar is None:
            self._bar = tqdm(
                total=total, unit="psum vector", desc="on the array", disable=quiet() or None
            )
        self._bar.update(came - self._bar.n)

    def close(self) -> None:
        """Ends the bar."""
        if self._bar is not None:
            self._bar.close()


@dataclass(frozen=True)
class ArrayRun:
    """The simulation of one command: `job`, a LayerJob or ReplayJob, on the array of `dut`."""

    bench: str  # module of cocotb tests, which write results and record to the files of their job
    job: Any
    simulator: str
    dut: type[ArrayAdapter]
    variant: str = ""  # name of the array's variant, in the name of the build
    settings: Mapping[str, str] = field(default_factory=dict)  # more environment variables

    def start(self, folder: Path, watch: Watch | None = None) -> BenchError | None:
        """Runs the bench in `folder`; returns the error that ended the run, None if the run passed.

        The job's results and record lie in `folder` afterwards, and with `watch` the waveform.
        """
        settings = self._job_in(folder).settings() | dict(self.settings)
        settings |= watch.settings() if watch else {}
        try:
            with closing(Bar()) as bar:
                run_bench(
                    self.bench,
                    **self.dut.design(),
                    simulator=self.simulator,
                    waves=watch is not None,
                    settings=settings,
                    variant=self.variant,
                    folder=folder,
                    heard=bar.heard,
                )
        except BenchError as error:
            return error
        return None

    def results(self, folder: Path) -> Path:
        """Returns the path of the JSON file that a run in `folder` writes, if it gets that far."""
        return folder / Path(self.job.results).name

    def waveform(self, folder: Path) -> Path:
        """Returns the waveform that a watched run in `folder` writes."""
        return folder / f"{self.dut.TOPLEVEL}.fst"

    def record(self, folder: Path) -> Record | None:
        """Returns the record that a run in `folder` left, None if it left none."""
        path = self._job_in(folder).record
        return Record.load(path) if path.exists() else None

    def publish_record(self, folder: Path) -> None:
        """Copies the record of a run in `folder` to a file beside the job's results.

        The files that an earlier run left on a mismatch are removed, so that all files there belong
        to this run.
        """
        forget_mismatch()
        publish(self._job_in(folder).record, self.job.record)

    def explain(self, folder: Path) -> None:
        """Shows the first wrong psum of a run in `folder`, and repeats the run for a waveform.

        Nothing happens if the run in `folder` left no record.
        """
        record = self.record(folder)
        if record is None:
            return
        cycle = show_mismatch(record)
        again = folder / "again"
        again.mkdir()
        try:
            self.start(again, watch_around(record, cycle))
            cut_around(record, cycle, self.waveform(again))
        except InputError as error:  # the machine cannot write waveforms
            tell(f"No waveform: {error}")

    def _job_in(self, folder: Path) -> Any:
        """Returns the job with its results in `folder`."""
        return replace(self.job, results=str(self.results(folder)))
