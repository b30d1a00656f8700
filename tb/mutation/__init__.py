"""Puts faults into the RTL, named and drawn ones, and counts those that the benches find."""
