"""cocotb benches: drivers, monitors, scoreboard, the simulators, and the main job."""

import pymodel  # noqa: F401 - whose modules and ours are loaded from their sources
