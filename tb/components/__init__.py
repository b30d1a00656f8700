"""Holds the parts of a bench in the simulator: drivers, monitors, adapters, scoreboard, tiles."""
