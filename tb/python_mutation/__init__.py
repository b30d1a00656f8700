"""Puts faults into the Python that judges, and counts those that the tests find."""
