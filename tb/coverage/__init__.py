"""Measures which lines, branches, toggles and functional points of the RTL the benches reach."""
