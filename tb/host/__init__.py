"""Holds the fast Verilog host of the core, and the programs that talk to it."""
