"""Runs everything that is too long for make test, and ends with one table."""
