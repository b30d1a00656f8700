"""Compiles and runs a simulation, keeps what can be kept, and says what became of the run."""
