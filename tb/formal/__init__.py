"""Proves properties of the RTL, and that each proof can fail."""
