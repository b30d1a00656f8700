"""Writes the generated files of this repository."""
