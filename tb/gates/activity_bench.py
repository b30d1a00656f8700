"""Plays tiles on an array whose input bits toggle at a given rate, and checks every psum.

This bench runs inside the simulator; `tb/gates/switching_activity.py` starts it.
"""

import json
import os
from pathlib import Path

import cocotb
import numpy as np

from pymodel.support.files import write_json
from tb.components.array_adapter import ArrayAdapter
from tb.components.random_tiles import random_generator
from tb.run.array_bench import check, started

# Environment variable with `share`, `tiles`, `pixels` and `results`, as JSON
SETTINGS = "SYSTOLIC_ACTIVITY_JOB"
STEPS = 72  # taps of a block, where an array adds taps inside: those of the squeezed layer


def toggling(
    rng: np.random.Generator, steps: int, lanes: int, bits: int, share: float
) -> np.ndarray:
    """Returns codes, unsigned [steps, lanes], each bit of which toggles in `share` of the steps."""
    flips = rng.random((steps, lanes, bits)) < share
    flips[0] = rng.random((lanes, bits)) < 0.5  # the values at the start
    return (np.cumsum(flips, axis=0) % 2) @ (1 << np.arange(bits))


def tiles(
    array: ArrayAdapter, rng: np.random.Generator, count: int, pixels: int, share: float
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Returns `count` tiles, or blocks, whose operands toggle from each vector to the next.

    `array` is connected by our own adapter, or by that of the reconfigurable array. The result is
    the weights, int [count, rows, cols], and for each tile int [pixels, rows]. A block, of an array
    that adds taps inside, has STEPS taps in place of the rows, and as many pixels as it has rows.
    """
    width = array.weight_width
    if array.depth:  # a column of weights enters in a cycle, the last one first; or a pixel
        columns = toggling(rng, count * array.cols, array.depth, width, share)
        weights = columns.reshape(count, array.cols, array.depth)[:, ::-1].transpose(0, 2, 1)
        acts = toggling(rng, count * pixels, array.depth, array.act_width, share)
        activations = list(acts.reshape(count, pixels, array.depth))
    else:  # in a step a tap of each pixel enters, or two halves, with the weights
        taps, pixels = 1 + array.halves, array.driver.sizes.rows
        steps = count * STEPS // taps
        weights = toggling(rng, steps, taps * array.cols, width, share)
        weights = weights.reshape(count, STEPS, array.cols)
        acts = toggling(rng, steps, taps * pixels, array.act_width, share)
        activations = list(acts.reshape(count, STEPS, pixels).transpose(0, 2, 1))
    return weights - (weights >> width - 1 << width), activations


@cocotb.test()
async def bits_that_toggle(dut):
    """Every psum of the tiles is right; the numbers of cycles, MACs and zeros are written."""
    job = json.loads(os.environ[SETTINGS])
    array = await started(dut)
    weights, activations = tiles(
        array, random_generator(), job["tiles"], job["pixels"], job["share"]
    )
    cycles = await check(array, weights, activations)
    acts = np.concatenate(activations)
    counted = {
        "cycles": cycles,
        "macs": acts.size * array.cols,
        "zero_share": float((acts == 0).mean()),
    }
    write_json(Path(job["results"]), counted)
