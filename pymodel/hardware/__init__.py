"""Defines what the array and the core take and give: tiles, packets, registers, thresholds."""
