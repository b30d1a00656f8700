"""Synthesises array and core to gates, and runs their benches on the gates."""
