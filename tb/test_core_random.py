"""Random layers run through the core with right results; half have pauses on all channels."""

import os

import cocotb
import numpy as np

from pymodel.hardware.cycles import cycles
from tb.components.axi_driver import check_layer, started
from tb.components.random_layers import random_data, random_layer
from tb.modules.module_table import PART
from tb.modules.pytest_runs import each_run

LAYERS = 30  # number of layers of each part


@cocotb.test()
async def random_layers(dut):
    """Layers have any geometry and extreme data; every second one has pauses on nine channels."""
    part = int(os.environ[PART])
    rng = np.random.default_rng([cocotb.RANDOM_SEED, part])
    bench = await started(dut)
    for number in range(LAYERS):
        layer = random_layer(rng, bench.core)
        data = random_data(layer, rng, bench.core)
        if number % 2:
            bench.disturb(rng)
            long = cocotb.start_soon(bench.block_now_and_then(rng)) if number % 4 == 1 else None
            got = await bench.run(layer, *data)
            bench.compare(layer, data, got)
            assert await bench.cycles() >= cycles(layer, bench.core)
            if long:
                long.cancel()
            bench.calm()
        else:
            await check_layer(bench, layer, data)
    await bench.quiet()


@each_run("tb.test_core_random")
def test_random_layers(run, simulator):
    run.on(simulator)
