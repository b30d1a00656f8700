"""Runs a trained network, or a folder of files, on the RTL: the commands that a user starts."""
