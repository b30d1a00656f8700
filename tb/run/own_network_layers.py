"""Computes the sums of layers of any network on the core, and checks each of them.

A layer is lowered to jobs (pymodel/hardware/core_jobs.py), which the core in its host runs one
after another without cocotb.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pymodel.hardware.core import Core, packet_lengths
from pymodel.hardware.core_jobs import LoweredJob, lower
from pymodel.hardware.cycles import cycles
from pymodel.reference.layer_data import LayerData
from pymodel.reference.numpy_convolution import numpy_convolution
from pymodel.support.files import temporary_folder
from tb.components.scoreboard import first_difference
from tb.host.compile_host import prepare_host
from tb.host.core_program import MAX_BEATS, MAX_JOBS, HostJob, read_packets, write_jobs
from tb.host.speed import play
from tb.sim.errors import BenchError


@dataclass
class OnTheCore:
    """Computes sums of layers by the RTL of the core, and notes what each layer took."""

    simulator: str
    rtl: Path
    core: Core
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)  # row of each layer, by name
    first: dict[str, Any] | None = None  # place, codes and weights of the first wrong sum

    def sums(self, data: LayerData) -> Tensor:
        """Returns the sums of a layer, int64 [N, C_out, H', W'], as the core computes them.

        Its codes are those that the core takes.
        Every sum is compared with PyTorch's. Raises BenchError if the core hangs, sets an error or
        needs other cycles than the model says.
        """
        expected = data.sums()
        codes, weights = data.activation_codes.numpy(), data.weight_codes.numpy()
        lowered = lower(codes, weights, data.convolution, self.core, data.zero)
        simulation = prepare_host(self.simulator, rtl=self.rtl, core=self.core)
        results, counted = [], 0
        for jobs in _loads(lowered.jobs, self.core):
            with temporary_folder("network") as folder:
                write_jobs(
                    folder, [HostJob(job.layer, job.codes, job.weights) for job in jobs], self.core
                )
                play(simulation, folder)
                packets, status = read_packets(folder, jobs, self.core)
            predicted = sum(cycles(job.layer, self.core) for job in jobs)
            if status.counted - status.stalls != predicted:
                raise BenchError(
                    f"{data.name}: {status.counted} cycles, the model says {predicted}"
                )
            results += packets
            counted += status.cycles
        sums = torch.from_numpy(lowered.together(results))
        differing = int((sums != expected).sum())
        self.rows[data.name] = {
            "layer": data.name,
            "lowering": lowered.words,
            "activation_bits": data.activation_bits,
            "weight_bits": data.weight_bits,
            "zero": data.zero,
            "jobs": len(lowered.jobs),
            "cycles": counted,
            "macs": expected.numel() * data.weight_codes[0].numel(),
            "sums": expected.numel(),
            "not_zero": int(expected.count_nonzero()),
            "mismatches": differing,
        }
        if differing and not self.first:
            self.first = self._first_wrong(data.name, lowered.jobs, results, expected, sums)
        return sums

    def _first_wrong(
        self,
        name: str,
        jobs: Sequence[LoweredJob],
        results: Sequence[np.ndarray],
        expected: Tensor,
        sums: Tensor,
    ) -> dict[str, Any]:
        """Returns the first wrong sum in words, and its job, cut to the image of that sum."""
        place = first_difference(expected.numpy(), sums.numpy(), self.core)
        for job, result in zip(jobs, results, strict=True):
            right = numpy_convolution(job.codes, job.weights, job.layer.stride, job.layer.padding)
            inside = all(
                one in range(part.start, part.stop)
                for one, part in (
                    (place.image, job.images),
                    (place.channel, job.channels),
                    (place.y, job.rows),
                    (place.x, job.columns),
                )
            )
            if inside and not np.array_equal(result, right):
                image = place.image - job.images.start
                return {
                    "words": f"{name}, {place.describe(self.core)}",
                    "layer": vars(replace(job.layer, images=1)),
                    "codes": job.codes[image : image + 1],
                    "weights": job.weights,
                }
        raise AssertionError(
            "sums of the layer differ from PyTorch's, although the sums of each job are right"
        )


def _loads(jobs: Sequence[LoweredJob], core: Core) -> Iterator[list[LoweredJob]]:
    """Yields the jobs in parts that the memories of the host hold."""
    part: list[LoweredJob] = []
    held = {"act": 0, "weight": 0}
    for job in jobs:
        acts, weights, _ = packet_lengths(job.layer, core)
        needed = {"act": held["act"] + acts, "weight": held["weight"] + weights}
        if part and (len(part) == MAX_JOBS or any(needed[n] > MAX_BEATS[n] for n in needed)):
            yield part
            part, needed = [], {"act": acts, "weight": weights}
        part.append(job)
        held = needed
    yield part
