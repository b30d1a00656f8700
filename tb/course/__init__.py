"""Runs the course's sequence: both precisions and both dataflows in one simulation."""
