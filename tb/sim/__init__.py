"""Compiles and runs a simulation, keeps what can be kept, and reports the outcome of the run."""
