"""What the benches share: which simulators pytest uses, seeded random numbers, faulty RTL."""

import os
import shutil
from pathlib import Path

import cocotb
import numpy as np

from pymodel.core import Core
from tb.simulator import RTL

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


def faulty_rtl(folder: Path, source: str, *replacements: tuple[str, str]) -> Path:
    """A copy of `rtl/` in `folder`, with each (old, new) replaced in one source; its path."""
    rtl = folder / "rtl"
    shutil.copytree(RTL, rtl, dirs_exist_ok=True)
    text = (rtl / source).read_text()
    for old, new in replacements:
        assert text.count(old) == 1, f"the fault no longer applies: {old}"
        text = text.replace(old, new)
    (rtl / source).write_text(text)
    return rtl
