"""Runs layers through the core in its host, as the cocotb bench that `tb.host.simulate` starts.

Python runs three times in each layer: to load, to start, and at the end. In between the simulator
works alone. `tb.host.simulate.write_layers` writes the input files into the working
folder.
"""

import json
import time
from pathlib import Path

import cocotb
import numpy as np
from cocotb.triggers import FallingEdge, RisingEdge

from pymodel.hardware.core import Layer
from pymodel.hardware.cycles import cycles
from tb.host.core_program import CORE, jobs_of, read_results, write_program
from tb.sim.errors import BenchError


@cocotb.test()
async def program(dut):
    """Runs all layers; the codes of each are the input of the next one."""
    folder = Path()
    arrays = np.load("program.npz", allow_pickle=False)
    codes, counts = arrays["codes"], []
    for number, settings in enumerate(json.loads(Path("program.json").read_text())):
        pools = settings.pop("pools")
        images, channels, height, width = codes.shape
        layer = Layer(height, width, channels, images=images, **settings)
        jobs = jobs_of(layer)
        table = arrays.get(f"thresholds.{number}")
        write_program(folder, jobs, codes, arrays[f"weights.{number}"], table)
        if number:
            dut.load.value = dut.go.value = 0
            await FallingEdge(dut.ready)
        dut.load.value = 1
        await RisingEdge(dut.ready)
        began = time.perf_counter()
        dut.go.value = 1
        await RisingEdge(dut.done)
        seconds = time.perf_counter() - began
        results, status = read_results(folder, jobs)
        predicted = sum(cycles(job.layer, CORE) for job in jobs)
        if status.counted - status.stalls != predicted:
            raise BenchError(f"layer {number}: {status.counted} cycles, the model says {predicted}")
        np.save(f"{number}.npy", results)
        # This line tells tb.sim.process that the run goes on.
        cocotb.log.info("layer %d: %d cycles", number, status.cycles)
        counts.append({**status._asdict(), "macs": layer.macs(), "seconds": seconds})
        codes = results
        for _ in range(pools):  # on the host: the maximum of 2 × 2 codes
            n, c, h, w = codes.shape
            codes = codes.reshape(n, c, h // 2, 2, w // 2, 2).max((3, 5))
    Path("counts.json").write_text(json.dumps(counts))
