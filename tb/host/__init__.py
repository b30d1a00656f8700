"""The fast Verilog host of the core, and what talks to it."""
