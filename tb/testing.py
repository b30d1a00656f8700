"""What the benches share: which simulators pytest uses, and seeded random numbers."""

import os

import cocotb
import numpy as np

# pytest runs the benches on Icarus, or on the simulator that SIM names.
SIMULATORS = [os.environ.get("SIM", "icarus")]


def random_generator() -> np.random.Generator:
    """Random numbers from the seed that cocotb prints and $COCOTB_RANDOM_SEED sets."""
    return np.random.default_rng(cocotb.RANDOM_SEED)
