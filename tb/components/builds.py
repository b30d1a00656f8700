"""The simulators that the benches run on, and the builds of the core."""

import os

from pymodel.hardware.core import Core

# pytest runs the benches on Icarus, or on the simulator that SIM names.
SIMULATORS = [os.environ.get("SIM", "icarus")]
# Builds of the core: the default, one that is small in everything (a kernel of 7 × 7 fits; after a
# reset it is soon ready), and two that are not square.
CORES = {
    "8x8": Core(),
    "4x4": Core(4, 4, 16, act_words=120, weight_words=200, threshold_tiles=2, pixels=100),
    "16x8": Core(16, 8),
    "8x16": Core(8, 16, pixels=200),
}
