"""Holds programs that stand in the place of a simulator, and fail in one way each."""
