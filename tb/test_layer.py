"""The main job: a trained layer on the array, every psum against PyTorch.

Runs inside the simulator. `tb/layer.py` starts it, checks its input, and prints what it found.
"""

import json
import os
import re
import time
from dataclasses import replace
from pathlib import Path

import cocotb
import numpy as np
import pytest
import torch

from pymodel.capture import Capture, capture
from pymodel.checkpoint import load_checkpoint
from pymodel.files import write_json
from pymodel.images import load_images
from pymodel.reference import integer_convolution, recover, step, tile_psums
from pymodel.tiling import cut, gather
from tb.array import ArrayBench
from tb.layer import MAX_ABS_ERROR, MAX_ERROR_STEPS, SETTINGS, LayerJob, report
from tb.schedule import schedule
from tb.scoreboard import BenchError
from tb.simulator import run_bench
from tb.testing import SIMULATORS


@cocotb.test()
async def every_psum_matches_pytorch(dut):
    """Each psum of each tile, each sum, and the next layer's input recovered from them."""
    job = LayerJob(**json.loads(os.environ[SETTINGS]))
    bench = ArrayBench(dut)
    torch.set_num_threads(1)
    model, _ = load_checkpoint(job.checkpoint)
    seen = capture(model, load_images().first(job.images).images, job.layer)
    layer = seen.layer
    codes, weights = layer.activation_codes(seen.input), layer.weight_codes()
    stride, padding = layer.stride[0], layer.padding[0]
    tiles = cut(codes.numpy(), weights.numpy(), stride, padding, bench.rows, bench.cols)
    reference = torch.stack(
        [
            tile_psums(codes, weights, tile, stride, padding, bench.rows, bench.cols)
            for tile in tiles.tiles
        ],
        dim=1,
    ).numpy()
    pixels = reference.shape[2]

    def place(index: int) -> str:
        image, rest = divmod(index, len(tiles.tiles) * pixels)
        number, pixel = divmod(rest, pixels)
        tile = tiles.tiles[number]
        y, x = divmod(pixel, tiles.output_size[1])
        groups = f", input group {tile.input_group}, output group {tile.output_group}"
        return (
            f"image {image}, kernel position ({tile.ky}, {tile.kx})"
            f"{groups if len(tiles.tiles) > layer.kernel_size[0] ** 2 else ''}, pixel ({y}, {x})"
        )

    def first_channel(index: int) -> int:
        return tiles.tiles[index // pixels % len(tiles.tiles)].output_group * bench.cols

    stimulus = schedule(
        np.tile(tiles.weights, (job.images, 1, 1)),
        list(tiles.activations.reshape(-1, pixels, bench.rows)),
    )
    began = time.monotonic()
    await bench.start()
    board, cycles = await bench.run(
        stimulus, reference.reshape(-1, bench.cols), place, first_channel
    )
    seconds = time.monotonic() - began
    if len(board.received) < len(board.expected) or not board.expected:
        board.finish()

    psums = bench.psums(board).reshape(reference.shape)
    sums = torch.from_numpy(gather(psums, tiles, layer.out_channels))
    whole = integer_convolution(codes, weights, stride, padding)
    error, error_steps = recovery_error(sums, seen)
    macs = sums.numel() * layer.weight[0].numel()
    result = {
        "simulator": job.simulator,
        "layer": job.layer,
        "images": job.images,
        "psums_checked": psums.size,
        "psum_mismatches": int((psums != reference).sum()),
        "outputs_checked": seen.next_input.numel(),
        "max_abs_error": error,
        "max_error_steps": error_steps,
        "cycles": cycles,
        "macs": macs,
        "utilisation": macs / (cycles * bench.rows * bench.cols),
        "seconds": seconds,
        "nonzero_share": (seen.next_input != 0).double().mean((0, 2, 3)).tolist(),
    }
    write_json(job.results, result)

    board.finish()
    if not torch.equal(sums, whole):
        raise BenchError("the sums over the tiles differ from PyTorch's integer convolution")
    if not (error < MAX_ABS_ERROR and error_steps < MAX_ERROR_STEPS):
        raise BenchError(
            f"recovered input of {seen.next_name} differs by {error:.3g} ({error_steps:.3g} steps) "
            f"from the captured one, expected below {MAX_ABS_ERROR:g} ({MAX_ERROR_STEPS:g} steps)"
        )


def recovery_error(sums: torch.Tensor, seen: Capture) -> tuple[float, float]:
    """Largest difference between recovered and captured input of the next convolution.

    In its own units, and in steps: the change that one unit of the integer sum makes there.
    """
    difference = (recover(sums, seen.layer, seen.between) - seen.next_input).abs()
    gain = step(seen.layer)
    for module in seen.between:
        if isinstance(module, torch.nn.BatchNorm2d):
            gain = (
                gain
                * (module.weight.abs() / (module.running_var + module.eps).sqrt())[:, None, None]
            )
    return difference.max().item(), (difference / gain).max().item()


def test_recovery_error_is_in_the_units_of_the_next_input_and_in_steps(shipped, images):
    seen = capture(shipped, images.images[:2])
    codes = seen.layer.activation_codes(seen.input)
    sums = integer_convolution(codes, seen.layer.weight_codes(), 1, 1)
    error, error_steps = recovery_error(sums, seen)
    assert error < 1e-5
    assert error_steps < 1e-3
    off = replace(seen, next_input=seen.next_input + 2e-3)
    error, error_steps = recovery_error(sums, off)
    assert error == pytest.approx(2e-3, rel=1e-2)
    assert error_steps == pytest.approx(2e-3 / step(seen.layer).min().item(), rel=1e-2)


def test_a_dead_channel_is_reported():
    numbers = ("images", "psums_checked", "psum_mismatches", "outputs_checked", "max_abs_error",
               "max_error_steps", "cycles", "macs", "utilisation", "seconds")  # fmt: skip
    result = {"simulator": "icarus", "layer": "features.27", **dict.fromkeys(numbers, 1)}
    assert "DEAD" not in report(result | {"nonzero_share": [0.5, 0.1]})
    assert re.search(r"DEAD CHANNELS +1: zero", report(result | {"nonzero_share": [0.5, 0.0]}))


# Verilator too, whatever SIM says: it starts registers from random values. features.24 is of many
# tiles, with BatchNorm before the next convolution.
JOBS = [("features.27", 3, simulator) for simulator in sorted({*SIMULATORS, "verilator"})]
JOBS += [("features.27", 1, SIMULATORS[0]), ("features.24", 1, SIMULATORS[0])]


@pytest.mark.parametrize(("layer", "images", "simulator"), JOBS)
def test_layer(layer, images, simulator, tmp_path):
    job = LayerJob(simulator, layer, images, results=str(tmp_path / "layer.json"))
    run_bench(
        "tb.test_layer", "systolic_array", simulator=simulator, settings=job.settings(),
        variant=f"{layer}-{images}",
    )  # fmt: skip
    result = json.loads(Path(job.results).read_text())
    tiles = {"features.27": 9, "features.24": 9 * 256 // 8}[layer]
    assert result["psums_checked"] == images * tiles * 16 * 8
    assert result["psum_mismatches"] == 0
    assert result["outputs_checked"] == images * 16 * 8
    assert result["max_abs_error"] < 1e-3
    assert result["max_error_steps"] < 0.01
