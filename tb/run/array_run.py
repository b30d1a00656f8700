"""Runs a bench that records every psum of the array, and repeats the run after a mismatch."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pymodel.support.command import tell
from pymodel.support.errors import InputError
from pymodel.support.files import publish
from tb.components.array_adapter import ArrayAdapter
from tb.components.tile_run import Record
from tb.run.mismatch_screen import cut_around, forget_mismatch, show_mismatch, watch_around
from tb.sim.errors import BenchError
from tb.sim.run_bench import run_bench
from tb.sim.waves import Watch


@dataclass(frozen=True)
class ArrayRun:
    """One command's simulation: `job` (a LayerJob or ReplayJob) on the array of adapter `dut`."""

    bench: str  # module of cocotb tests, which leave results and record where their job says
    job: Any
    simulator: str
    dut: type[ArrayAdapter]
    sources: list[Path]
    variant: str = ""  # of the array, in the name of its build

    def start(self, folder: Path, watch: Watch | None = None) -> BenchError | None:
        """Runs the bench in `folder`; returns what went wrong, None if nothing did.

        The job's results and record lie in `folder` afterwards, and with `watch` the waveform.
        """
        settings = self._job_in(folder).settings() | (watch.settings() if watch else {})
        try:
            run_bench(
                self.bench,
                self.dut.TOPLEVEL,
                simulator=self.simulator,
                sources=self.sources,
                parameters=dict(self.dut.PARAMETERS),
                waves=watch is not None,
                settings=settings,
                variant=self.variant,
                folder=folder,
            )
        except BenchError as error:
            return error
        return None

    def results(self, folder: Path) -> Path:
        """Returns the JSON file that a run in `folder` writes, if it comes so far."""
        return folder / Path(self.job.results).name

    def waveform(self, folder: Path) -> Path:
        """Returns the waveform that a watched run in `folder` writes."""
        return folder / f"{self.dut.TOPLEVEL}.fst"

    def record(self, folder: Path) -> Record | None:
        """Returns what came out of a run in `folder`, None if it left no record."""
        path = self._job_in(folder).record
        return Record.load(path) if path.exists() else None

    def publish_record(self, folder: Path) -> None:
        """Copies the record of a run in `folder` to a file beside the job's results.

        What an earlier run left on a mismatch is removed: all files there belong to this run.
        """
        forget_mismatch()
        publish(self._job_in(folder).record, self.job.record)

    def explain(self, folder: Path) -> None:
        """Shows what went wrong first in a run in `folder`, which runs again for a waveform there.

        Nothing happens if that run left no record.
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
        except InputError as error:  # nothing to write a waveform with
            tell(f"No waveform: {error}")

    def _job_in(self, folder: Path) -> Any:
        return replace(self.job, results=str(self.results(folder)))
