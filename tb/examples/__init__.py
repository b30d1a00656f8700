"""Holds arrays that somebody else might have written, each with its adapter."""
