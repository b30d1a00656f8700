"""Random layers through the core, half of them with pauses on all AXI channels, against PyTorch."""

import os

import cocotb
import numpy as np
import pytest

from pymodel.hardware.cycles import cycles
from tb.components.builds import CORES, SIMULATORS
from tb.components.core_bench import check_layer, random_data, random_layer, reference, started
from tb.components.scoreboard import compare
from tb.sim.run import run_bench

PART = "SYSTOLIC_CORE_PART"  # environment: which of the random layers a simulation takes
LAYERS = 30  # of each part
PARTS = ("8x8", "8x8", "8x8", "8x8", "8x8", "4x4", "16x8", "8x16")


@cocotb.test()
async def random_layers(dut):
    """Any geometry and extreme data; every other layer with pauses on all nine AXI channels."""
    part = int(os.environ[PART])
    rng = np.random.default_rng([cocotb.RANDOM_SEED, part])
    bench = await started(dut)
    for number in range(LAYERS):
        layer = random_layer(rng, bench.core)
        data = random_data(layer, rng)
        if number % 2:
            bench.disturb(rng)
            long = cocotb.start_soon(bench.block_now_and_then(rng)) if number % 4 == 1 else None
            got = await bench.run(layer, *data)
            compare(reference(layer, *data), got, layer, bench.core)
            assert await bench.cycles() >= cycles(layer, bench.core)
            if long:
                long.cancel()
            bench.calm()
        else:
            await check_layer(bench, layer, data)
    await bench.quiet()


@pytest.mark.parametrize("simulator", SIMULATORS)
@pytest.mark.parametrize("part", range(len(PARTS)))
def test_random_layers(part, simulator):
    run_bench(
        "tb.test_core_random",
        "core",
        simulator=simulator,
        variant=str(part),
        parameters=CORES[PARTS[part]].parameters(),
        settings={PART: str(part)},
    )
