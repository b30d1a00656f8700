"""Reads and writes text files of hand-written array benches, in the conventions that are met."""
