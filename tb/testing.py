"""What the benches share: which simulators pytest uses, and seeded random numbers."""

import os

import cocotb
import numpy as np

from pymodel.core import Core

# pytest runs the benches on Icarus, or on the simulator that SIM names.
SIMULATORS = [os.environ.get("SIM", "icarus")]

# Builds of the core: the default, one that is small in everything, and two that are not square.
CORES = {
    "8x8": Core(),
    "4x4": Core(4, 4, 16, act_words=64, weight_words=144, threshold_tiles=2, pixels=50),
    "16x8": Core(16, 8),
    "8x16": Core(8, 16, pixels=200),
}


def random_generator() -> np.random.Generator:
    """Random numbers from the seed that cocotb prints and $COCOTB_RANDOM_SEED sets."""
    return np.random.default_rng(cocotb.RANDOM_SEED)
