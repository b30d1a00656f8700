"""Writes programs of layers for the core in its host (core_host.v), and reads their results.

Python writes files, the host plays them, and Python reads a file: only the simulator works while
the core does. This module does not import PyTorch, so that a simulation starts quickly.
"""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pymodel.hardware import registers
from pymodel.hardware.core import (
    TABLE_MODES,
    Core,
    Layer,
    act_vectors,
    results,
    split,
    threshold_vectors,
    weight_vectors,
)
from pymodel.hardware.core_jobs import LoweredJob
from pymodel.hardware.registers import Error
from tb.components.core_results import result_lanes
from tb.components.packing import octets
from tb.components.scoreboard import beat_at
from tb.sim.errors import BenchError

CORE = Core(pool_width=32)  # the host's build: the default one, which can pool a map of CIFAR-10
# The sizes of the host's memories
MAX_BEATS = {"act": 2**18, "weight": 2**19, "threshold": 2**12}
MAX_JOBS = 8192


class CoreJob(NamedTuple):
    """A layer that fits into the core, and the part of a larger layer that it computes."""

    batch: int  # number of the job's batch; each batch sends the weights again
    images: slice  # the images of the larger layer
    channels: slice  # the output channels of the larger layer
    layer: Layer

    @property
    def rows(self) -> slice:
        """The rows of output pixels."""
        return slice(0, self.layer.result_size[0])

    @property
    def columns(self) -> slice:
        """The columns of output pixels."""
        return slice(0, self.layer.result_size[1])


# A job with its place in a larger layer
Job = CoreJob | LoweredJob


class HostJob(NamedTuple):
    """A job with what its packets hold."""

    layer: Layer
    codes: np.ndarray  # [n, C_in, H, W]
    weights: np.ndarray  # [C_out, C_in, k, k]
    table: np.ndarray | None = None  # tables [C_out, 16], for modes CODES and SCALED


class Status(NamedTuple):
    """The numbers that the host counted."""

    jobs: int
    beats: int  # number of beats of results
    cycles: int  # number of cycles from the first start to the last result
    counted: int  # sum of the jobs' own counts
    stalls: int


def result_bytes(core: Core) -> int:
    """Returns the bytes of a beat in results.bin: its data, and a word that marks the last one."""
    return core.cols * core.sum_width // 8 + 4


def jobs_of(layer: Layer, batches: int = 1) -> list[CoreJob]:
    """Returns the jobs that run `layer` on `batches` batches, one after another."""
    return [
        CoreJob(
            batch,
            slice(images.start + batch * layer.images, images.stop + batch * layer.images),
            channels,
            job,
        )
        for batch in range(batches)
        for images, channels, job in split(layer, CORE)
    ]


def write_program(
    folder: Path,
    jobs: Sequence[CoreJob],
    codes: np.ndarray,
    weights: np.ndarray,
    table: np.ndarray | None = None,
) -> dict[str, int]:
    """Writes the host's input files as `write_jobs` does, for the jobs of one layer.

    codes: [N, C_in, H, W]; weights: [C_out, C_in, k, k]; table: thresholds [C_out, 16], for mode
    CODES.
    """
    given: list[HostJob] = []
    before = None
    for job in jobs:
        same_images = before is not None and before.images == job.images
        same_weights = before is not None and (before.batch, before.channels) == (
            job.batch,
            job.channels,
        )
        of_job = None if table is None else table[job.channels]
        given.append(
            HostJob(
                job.layer,
                given[-1].codes if same_images else codes[job.images],
                given[-1].weights if same_weights else weights[job.channels],
                given[-1].table if same_weights else of_job,
            )
        )
        before = job
    return write_jobs(folder, given)


def write_jobs(folder: Path, jobs: Sequence[HostJob], core: Core = CORE) -> dict[str, int]:
    """Writes the host's input files; returns the number of beats of each stream, results included.

    Codes or weights of a job that are the very array of the job before are sent once. Raises
    ValueError if the host's memories are too small.
    """
    packets: dict[str, list[np.ndarray]] = {name: [] for name in MAX_BEATS}
    commands = []
    before = None
    for job, following in itertools.zip_longest(jobs, jobs[1:]):
        keep_acts = following is not None and following.codes is job.codes
        keep_weights = following is not None and following.weights is job.weights
        if before is None or before.codes is not job.codes:
            packets["act"].append(_packet(act_vectors(job.codes, core), core.act_width))
        if before is None or before.weights is not job.weights:
            vectors = weight_vectors(job.weights, core)
            packets["weight"].append(_packet(vectors, core.weight_width))
            if job.layer.mode in TABLE_MODES:
                vectors = threshold_vectors(job.table, core)
                packets["threshold"].append(_packet(vectors, core.sum_width))
        commands.append(_settings(job.layer, keep_acts, keep_weights, core))
        before = job
    beats = {name: sum(map(len, parts)) for name, parts in packets.items()}
    for name, limit in (*MAX_BEATS.items(), ("job", MAX_JOBS)):
        if (found := beats.get(name, len(commands))) > limit:
            raise ValueError(f"{found} {name} beats, the host holds {limit}: use fewer images")
    for name, parts in packets.items():
        (folder / f"{name}.bin").write_bytes(b"".join(part.tobytes() for part in parts))
    words = np.array(commands, ">u4")
    (folder / "jobs.bin").write_bytes(words.tobytes())
    beats["result"] = sum(_result_beats(job.layer, core) for job in jobs)
    return beats


def read_results(folder: Path, jobs: Sequence[CoreJob]) -> tuple[np.ndarray, Status]:
    """Returns sums or codes, int32 [N, C_out, H', W'], and the host's counts.

    Raises BenchError as `read_packets` does.
    """
    packets, status = read_packets(folder, jobs)
    images = max(job.images.stop for job in jobs)
    channels = max(job.channels.stop for job in jobs)
    whole = np.zeros((images, channels, *jobs[0].layer.result_size), np.int32)
    for job, packet in zip(jobs, packets, strict=True):
        whole[job.images, job.channels] = packet
    return whole, status


def read_packets(
    folder: Path, jobs: Sequence[Job], core: Core = CORE
) -> tuple[list[np.ndarray], Status]:
    """Returns the sums or codes of each job, int64 [n, C_out, H', W'], and the host's counts.

    Raises BenchError if the core hung, set an error, or sent X or Z, too much, too little or wrong
    packets.
    """
    numbers = map(int, (folder / "status.txt").read_text().split())
    *counts, error, unknown, unknown_beat, unknown_bit, hang = numbers
    status = Status(*counts)
    if hang:
        last = _words(jobs, max(status.jobs, 1) - 1)
        raise BenchError(
            f"the core hangs in job {status.jobs} of {len(jobs)}{last}: no more results came"
        )
    if error:
        raise BenchError(f"the core refuses a job: error {Error(error).name}")
    ends = np.cumsum([_result_beats(job.layer, core) for job in jobs])
    if unknown:
        where = _beat_words(jobs, ends, unknown_beat, unknown_bit, core)
        raise BenchError(f"{unknown} results have X or Z bits, the first is {where}")
    beats = np.fromfile(folder / "results.bin", np.uint8).reshape(-1, result_bytes(core))
    found = np.flatnonzero(beats[:, -4]) + 1
    if len(beats) != ends[-1] or not np.array_equal(found, ends):
        same = min(len(found), len(ends))
        wrong = int(np.append(found[:same] != ends[:same], True).argmax())  # packet
        if wrong == len(jobs):
            words = "the last of them came after the last job"
        else:
            came = np.diff(found, prepend=0)[wrong] if wrong < len(found) else 0
            words = f"{came} came in the packet of job {wrong + 1}{_words(jobs, wrong)}"
        raise BenchError(
            f"{len(beats)} results in {len(found)} packets came, expected {ends[-1]} in "
            f"{len(jobs)}: {words}"
        )
    packets = []
    for job, end in zip(jobs, ends.tolist(), strict=True):
        part = beats[end - _result_beats(job.layer, core) : end]
        size = core.cols * core.lane_width(job.layer.mode) // 8
        packets.append(results(result_lanes(part[:, :size], job.layer.mode, core), job.layer))
    return packets, status


def _words(jobs: Sequence[Job], number: int) -> str:
    """Returns in words which part of the layer a job computes."""
    images, channels = jobs[number].images, jobs[number].channels
    return (
        f" (images {images.start} to {images.stop - 1}, output channels {channels.start} to "
        f"{channels.stop - 1})"
    )


def _beat_words(jobs: Sequence[Job], ends: np.ndarray, beat: int, bit: int, core: Core) -> str:
    """Returns in words the pixel and channel of a bit of a result."""
    number = int(np.searchsorted(ends, beat, side="right"))
    if number == len(jobs):
        return "after the last one that was expected"
    job = jobs[number]
    first = int(ends[number - 1]) if number else 0
    tile, image, y, x = beat_at(beat - first, job.layer.images, job.layer.result_size)
    width = core.lane_width(job.layer.mode)
    channel = job.channels.start + tile * core.cols + bit // width
    pixel = f"({job.rows.start + y}, {job.columns.start + x})"
    return f"image {job.images.start + image}, pixel {pixel}, channel {channel}"


def _result_beats(layer: Layer, core: Core) -> int:
    """Returns the number of beats of a layer's results."""
    height, width = layer.result_size
    return layer.tiles(core)[1] * layer.images * height * width


def _packet(vectors: np.ndarray, width: int) -> np.ndarray:
    """Returns a packet's beats as the host reads them, uint8 [n, bytes]: last, then data."""
    beats = np.pad(octets(vectors, width)[:, ::-1], ((0, 0), (1, 0)))
    beats[-1, 0] = 1
    return beats


def _settings(layer: Layer, keep_acts: bool, keep_weights: bool, core: Core) -> tuple[int, ...]:
    """Returns the words of the layer's five registers."""
    inputs, outputs = layer.tiles(core)
    return (
        registers.MAP.pack(height=layer.height, width=layer.width),
        registers.KERNEL.pack(size=layer.kernel, stride=layer.stride, padding=layer.padding),
        registers.TILES.pack(input=inputs, output=outputs),
        registers.IMAGES.pack(count=layer.images),
        registers.OUTPUT.pack(
            mode=layer.mode,
            pool=layer.pool,
            keep_acts=keep_acts,
            keep_weights=keep_weights,
            keep_thresholds=keep_weights,
        ),
    )
