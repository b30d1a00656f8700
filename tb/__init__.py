"""cocotb benches: drivers, monitors, scoreboard, the simulators, and the main job."""
