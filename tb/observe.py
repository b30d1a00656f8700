"""Runs a batch on the core once more, every beat and every cycle observed, with a waveform."""

import json
import os
import shutil
import tempfile
from pathlib import Path

import cocotb
import numpy as np
import torch

from pymodel.core import Core, Layer
from pymodel.files import ROOT, replacing
from pymodel.integer import InnerStage, Stage
from pymodel.registers import Mode
from tb.core import check_layer, started
from tb.scoreboard import BenchError, Place
from tb.simulator import RTL, run_bench
from tb.waves import WAVES

BATCH = "SYSTOLIC_BATCH"  # environment variable: file of the batch
WAVEFORM = WAVES / "core.fst"


@cocotb.test()
async def batch(dut):
    """The layer of the file that the environment names."""
    torch.set_num_threads(1)
    arrays = np.load(os.environ[BATCH], allow_pickle=False)
    settings = json.loads(str(arrays["layer"]))
    layer = Layer(**settings | {"mode": Mode(settings["mode"])})
    bench = await started(dut)
    await check_layer(bench, layer, (arrays["codes"], arrays["weights"], arrays.get("table")))


def explain(stage: Stage, codes: torch.Tensor, place: Place, rtl: Path) -> str:
    """Run the image and the output tile of `place` again; what is seen there, in one line.

    codes: the image's input of the stage, [1, C_in, H, W].
    """
    first = place.channel // Core().cols * Core().cols
    channels = slice(first, first + Core().cols)
    weights = stage.weights[channels].numpy()
    table = stage.table[channels] if isinstance(stage, InnerStage) else None
    settings = stage.settings | {"out_channels": len(weights)}
    settings.pop("pools")
    _, in_channels, height, width = codes.shape
    layer = Layer(height, width, in_channels, **settings)
    print(f"Running image and output tile again, fully observed, on Icarus: {layer}")
    with tempfile.TemporaryDirectory() as folder:
        message = observe(Path(folder), layer, codes.numpy(), weights, table, rtl)
    seen = message or "nothing is wrong there: it takes what came before"
    return f"again, that image and tile alone: {seen}; waveform: {WAVEFORM.relative_to(ROOT)}"


def observe(
    folder: Path, layer: Layer, codes: np.ndarray, weights: np.ndarray, table: np.ndarray | None,
    rtl: Path = RTL,
) -> str | None:  # fmt: skip
    """What the observing bench says about `layer` on Icarus, None if all is right there.

    The waveform is in `WAVEFORM` afterwards; `folder` takes the batch.
    """
    arrays = {"codes": codes, "weights": weights} | ({} if table is None else {"table": table})
    path = folder / "batch.npz"
    np.savez(path, layer=np.array(json.dumps(vars(layer))), **arrays)
    message = None
    try:
        build = run_bench(
            "tb.observe", "core", simulator="icarus", rtl=rtl, settings={BATCH: str(path)},
            waves=True, variant="observe",
        )  # fmt: skip
    except BenchError as error:
        message, build = str(error), error.build
    with replacing(WAVEFORM) as temporary:
        shutil.copy(build / "core.fst", temporary)
    return message
