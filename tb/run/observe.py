"""Runs a batch on the core once more, with every beat and cycle observed, and with a waveform."""

import json
import os
from dataclasses import replace
from pathlib import Path

import cocotb
import numpy as np
import torch

from pymodel.hardware.core import Core, Layer
from pymodel.hardware.registers import Mode
from pymodel.reference.integer_network import InnerStage, Stage
from pymodel.support.command import tell
from pymodel.support.files import ROOT, publish, temporary_folder
from tb.components.axi_driver import check_layer, started
from tb.components.scoreboard import Difference
from tb.host.core_program import CORE, jobs_of
from tb.sim.errors import BenchError
from tb.sim.run_bench import run_bench
from tb.sim.sources import RTL, check_sources
from tb.sim.waves import WAVES

BATCH = "SYSTOLIC_BATCH"  # environment variable that names the file of the batch
WAVEFORM = WAVES / "core.fst"


@cocotb.test()
async def batch(dut):
    """Runs the layer of the file that the environment names, and checks it."""
    torch.set_num_threads(1)
    arrays = np.load(os.environ[BATCH], allow_pickle=False)
    settings = json.loads(str(arrays["layer"]))
    layer = Layer(**settings | {"mode": Mode(settings["mode"])})
    bench = await started(dut)
    await check_layer(bench, layer, (arrays["codes"], arrays["weights"], arrays.get("table")))


def explain(stage: Stage, codes: torch.Tensor, place: Difference, rtl: Path) -> str:
    """Runs the part of a job that is wrong at `place` again; returns the findings in one line.

    First the image and the output tile of `place` run alone, which is quick; if they are right, the
    whole job runs. `codes`, [N, C_in, H, W], are the input of the stage for the images
    that `place` counts.
    """
    settings = {name: value for name, value in stage.settings.items() if name != "pools"}
    images, in_channels, height, width = codes.shape
    layer = Layer(height, width, in_channels, images=images, **settings)
    tile = slice(
        place.channel // CORE.cols * CORE.cols, (place.channel // CORE.cols + 1) * CORE.cols
    )
    alone = slice(place.image, place.image + 1)
    job = next(
        job
        for job in jobs_of(layer)
        if place.image in range(job.images.stop)[job.images]
        and place.channel in range(job.channels.stop)[job.channels]
    )
    for name, some, channels in (
        ("that image and tile", alone, tile),
        ("the whole job", job.images, job.channels),
    ):
        weights = stage.weights[channels].numpy()
        table = stage.table[channels] if isinstance(stage, InnerStage) else None
        sizes = {"images": len(codes[some]), "out_channels": len(weights)}
        part = replace(layer, **sizes, mode=Mode(layer.mode))
        tell(f"Running {name} again, fully observed, on Icarus: {part}")
        with temporary_folder("observe") as folder:
            message = observe(folder, part, codes[some].numpy(), weights, table, rtl)
        if message:
            where = f"images from {some.start}, channels from {channels.start}"
            return f"again, {name} ({where}): {message}; waveform: {WAVEFORM.relative_to(ROOT)}"
    return "again: the job is right when it runs alone, so the fault needs the jobs before it"


def observe(
    folder: Path,
    layer: Layer,
    codes: np.ndarray,
    weights: np.ndarray,
    table: np.ndarray | None,
    rtl: Path = RTL,
    core: Core = CORE,
) -> str | None:
    """Runs `layer` in `folder` on Icarus; returns the message of the observing bench, or None.

    None means that everything is right. codes: [N, C_in, H, W]; weights: [C_out, C_in, k, k];
    table: thresholds [C_out, 16] or None. The waveform is in `WAVEFORM` afterwards.
    """
    arrays = {"codes": codes, "weights": weights} | ({} if table is None else {"table": table})
    path = folder / "batch.npz"
    np.savez(path, layer=np.array(json.dumps(vars(layer))), **arrays)
    message = None
    try:
        run_bench(
            "tb.run.observe",
            "core",
            simulator="icarus",
            sources=check_sources(rtl),
            parameters=core.parameters() if core != CORE else {},
            settings={BATCH: str(path)},
            waves=True,
            folder=folder,
        )
    except BenchError as error:
        message = str(error)
    publish(folder / "core.fst", WAVEFORM)
    return message
