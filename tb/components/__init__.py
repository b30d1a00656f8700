"""What a bench is made of, inside the simulator: drivers, monitors, adapters, scoreboard, tiles."""
