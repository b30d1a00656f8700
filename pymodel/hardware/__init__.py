"""Defines what array and core take and give: tiles, jobs, packets, registers, thresholds."""
